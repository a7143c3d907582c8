/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* A configuration is written by people; one larger than this is a mistake. */
#define CONFIG_FILE_MAX (1u << 20)

#define STOP_GRACE_MAX 86400u /* seconds; husk_vm_stop() takes weeks, in ms */

static const char help[] =
    "Usage: husk run [OPTIONS] [KERNEL]\n"
    "\n"
    "Boots KERNEL (bzImage or ELF vmlinux) and exits when the guest does. Without KERNEL, boots\n"
    "the kernel that this host runs, if its image in /boot can be read.\n"
    "\n"
    "  --kernel FILE      the same as KERNEL\n"
    "  --initrd FILE      initial RAM disk\n"
    "  --append TEXT      kernel arguments, added to Husk's defaults; an argument with the same\n"
    "                     name replaces the default\n"
    "  --cmdline TEXT     kernel arguments instead of all defaults\n"
    "  --cpus N           virtual CPUs, 1 to 64 (default 1)\n"
    "  --cpu-without LIST features to keep from the guest's processors: sve, pauth, pmu (aarch64)\n"
    "  --memory SIZE      RAM, for example 512M or 6G (default 256M)\n"
    "  --disk PATH[,ro][,serial=TEXT][,cache=writeback|none|unsafe][,queues=N]...\n"
    "                     a raw image or block device as /dev/vda, the next as /dev/vdb, ...;\n"
    "                     cache=none goes past this host's page cache, with cache=unsafe a flush\n"
    "                     does nothing; bps=SIZE, iops=N (with bps_burst, iops_burst) limit it;\n"
    "                     engine=io_uring|sync says how requests reach this host. SIGUSR1 makes\n"
    "                     husk look at the sizes again: truncate -s +1G IMAGE; kill -USR1 PID\n"
    "  --iothreads N      threads that serve the queues of disks and networks, 0 to 16 (default 0:\n"
    "                     one thread serves all devices)\n"
    "  --net user[,hostfwd=tcp|udp:[HOSTADDR]:HOSTPORT:[GUESTADDR]:GUESTPORT]...[,restrict]\n"
    "        [,egress=deny][,allow=[tcp:|udp:]CIDR|NAME|*.NAME|host|any[:PORT[-PORT]]]...\n"
    "                     a network by NAT, with DHCP and DNS; takes no privilege. The guest reaches\n"
    "                     what this host reaches, and the host itself as 10.0.2.2; with restrict,\n"
    "                     nothing. A forward leads a port of this host (of 127.0.0.1, if no address\n"
    "                     is given) to the guest. With egress=deny or allow= the guest reaches what\n"
    "                     is allowed and nothing else; host:PORT is a port of this host's 127.0.0.1\n"
    "  --net tap=NAME|stream=PATH|fd=N[,queues=N][,vhost=on|off]\n"
    "                     a network: a tap interface, a stream socket as passt's, or a descriptor\n"
    "                     of either. With vhost=on the host's kernel moves a tap's frames\n"
    "  --net ...[,mac=ADDRESS][,mtu=N][,rx_bps=SIZE]...\n"
    "                     for all: rx_ and tx_ with bps, bps_burst, pps and pps_burst limit it\n"
    "  --share TAG=PATH[,ro][,one_file_system][,program=PATH]\n"
    "                     a directory of this host, live; in the guest: mount -t virtiofs TAG /mnt.\n"
    "                     virtiofsd serves it (on Debian 12 qemu-system-common has it, for root). With\n"
    "                     ro the host lets nobody write; with one_file_system the guest does not see\n"
    "                     what is mounted below it\n"
    "  --share TAG=PATH,socket\n"
    "                     what a virtiofsd that listens on the Unix socket PATH shares\n"
    "  --vsock PATH[,cid=N]\n"
    "                     connections between programs of this host and of the guest: who connects\n"
    "                     to the Unix socket PATH and writes \"CONNECT PORT\" reaches the guest's\n"
    "                     vsock port; the guest reaches PATH_PORT as port PORT of CID 2. The guest\n"
    "                     is CID N (default 3)\n"
    "  --balloon[=on|off] memory that the guest does not use comes back to this host\n"
    "  --rings split|packed\n"
    "                     how the queues between guest and devices are kept; a guest that does not\n"
    "                     know packed rings has split ones (default split)\n"
    "  --console serial|virtio|off\n"
    "                     the guest's console on standard input and output (default serial)\n"
    "  --bus mmio|pci     what carries the devices (default mmio, which boots faster; pci saves the\n"
    "                     guest the cost of acknowledging interrupts)\n"
    "  --stop-grace SECONDS\n"
    "                     SIGTERM and SIGINT press the guest's power button (x86_64), and end husk only\n"
    "                     if it still runs that much later; a second one, or Ctrl-a x, ends it at\n"
    "                     once (default 0: the first one does)\n"
    "  --timing[=FILE]    print when each phase of the start was reached; write it to FILE as JSON\n"
    "  --stats FILE       write what was counted (exits, kicks, interrupts, requests, bytes) to FILE\n"
    "                     as JSON when the guest has ended\n"
    "  --verbose          also say what is no problem, such as a protection that this host lacks\n"
    "  --config FILE      read a configuration in JSON; other options override it\n"
    "  --print-config     print the configuration as JSON and exit\n"
    "  -h, --help         this text\n"
    "\n"
    "On a terminal, Ctrl-a x quits and Ctrl-a h helps.\n"
    "\n"
    "Exit status: 0 guest powered off, 1 Husk failed, 2 bad usage or input, 3 host cannot,\n"
    "4 guest reset, 5 guest panic, 6 guest triple fault, 128+N ended by signal N.\n"
    "\n"
    "Examples:\n"
    "  husk run vmlinuz --initrd initrd.img --append 'loglevel=7'\n"
    "  husk run vmlinuz --initrd initrd.img --disk rootfs.img --memory 1G --cpus 2\n"
    "  husk run vmlinuz --initrd initrd.img --net user,hostfwd=tcp::2222::22\n"
    "  husk run --config machine.json --timing\n";

enum { OPTION_KERNEL = 256, OPTION_INITRD, OPTION_APPEND, OPTION_CMDLINE, OPTION_CPUS,
       OPTION_CPU_WITHOUT, OPTION_MEMORY, OPTION_DISK, OPTION_NET, OPTION_VSOCK, OPTION_BALLOON,
       OPTION_SHARE, OPTION_IOTHREADS, OPTION_RINGS, OPTION_CONSOLE, OPTION_BUS, OPTION_STOP_GRACE,
       OPTION_TIMING, OPTION_STATS, OPTION_VERBOSE, OPTION_CONFIG, OPTION_PRINT_CONFIG };

static const struct option long_options[] = {
    {"kernel", required_argument, NULL, OPTION_KERNEL},
    {"initrd", required_argument, NULL, OPTION_INITRD},
    {"append", required_argument, NULL, OPTION_APPEND},
    {"cmdline", required_argument, NULL, OPTION_CMDLINE},
    {"cpus", required_argument, NULL, OPTION_CPUS},
    {"cpu-without", required_argument, NULL, OPTION_CPU_WITHOUT},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"disk", required_argument, NULL, OPTION_DISK},
    {"net", required_argument, NULL, OPTION_NET},
    {"share", required_argument, NULL, OPTION_SHARE},
    {"vsock", required_argument, NULL, OPTION_VSOCK},
    {"balloon", optional_argument, NULL, OPTION_BALLOON},
    {"iothreads", required_argument, NULL, OPTION_IOTHREADS},
    {"rings", required_argument, NULL, OPTION_RINGS},
    {"console", required_argument, NULL, OPTION_CONSOLE},
    {"bus", required_argument, NULL, OPTION_BUS},
    {"stop-grace", required_argument, NULL, OPTION_STOP_GRACE},
    {"timing", optional_argument, NULL, OPTION_TIMING},
    {"stats", required_argument, NULL, OPTION_STATS},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"print-config", no_argument, NULL, OPTION_PRINT_CONFIG},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool complain(const char *message)
{
    fprintf(stderr, "husk: %s\n", message);
    return false;
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(CONFIG_FILE_MAX + 1) : NULL;

    if (text) {
        *size = fread(text, 1, CONFIG_FILE_MAX + 1, file);
        if (ferror(file) || *size > CONFIG_FILE_MAX) {
            errno = ferror(file) ? errno : EFBIG;
            free(text);
            text = NULL;
        }
    }
    if (!text)
        fprintf(stderr, "husk: configuration \"%s\": cannot read: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
    return text;
}

static bool load_config(struct run_options *options, const char *path)
{
    struct husk_err err;
    size_t size;

    if (options->config_text)
        return complain("--config can be given once");
    options->config_text = read_file(path, &size);
    if (!options->config_text)
        return false;
    if (husk_config_parse_json(&options->config, options->config_text, size, path, &err))
        return complain(err.message);
    return true;
}

static bool set_count(uint32_t *count, const char *option, const char *text, unsigned least,
                      unsigned most)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least || value > most) {
        fprintf(stderr, "husk: %s %s: give a number from %u to %u\n", option, text, least, most);
        return false;
    }
    *count = (uint32_t)value;
    return true;
}

static bool set_memory(struct husk_config *config, const char *text)
{
    struct husk_err err;

    if (husk_parse_size(text, &config->memory, &err)) {
        fprintf(stderr, "husk: --memory %s: %s\n", text, err.message);
        return false;
    }
    return true;
}

/* Which of `names` the text is; -1, after a message that lists `all`, if it is none. */
static int choose(const char *option, const char *text, const char *const *names, int count,
                  const char *all)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    fprintf(stderr, "husk: %s %s: give %s\n", option, text, all);
    return -1;
}

static bool set_console(struct husk_config *config, const char *text)
{
    static const char *const names[] = {
        [HUSK_CONSOLE_SERIAL] = "serial",
        [HUSK_CONSOLE_VIRTIO] = "virtio",
        [HUSK_CONSOLE_OFF] = "off",
    };
    int choice = choose("--console", text, names, 3, "serial, virtio or off");

    config->console = choice < 0 ? config->console : (enum husk_console)choice;
    return choice >= 0;
}

static bool set_rings(struct husk_config *config, const char *text)
{
    static const char *const names[] = {
        [HUSK_RINGS_SPLIT] = "split",
        [HUSK_RINGS_PACKED] = "packed",
    };
    int choice = choose("--rings", text, names, 2, "split or packed");

    config->rings = choice < 0 ? config->rings : (enum husk_rings)choice;
    return choice >= 0;
}

static bool set_bus(struct husk_config *config, const char *text)
{
    static const char *const names[] = {
        [HUSK_BUS_MMIO] = "mmio",
        [HUSK_BUS_PCI] = "pci",
    };
    int choice = choose("--bus", text, names, 2, "mmio or pci");

    config->bus = choice < 0 ? config->bus : (enum husk_bus)choice;
    return choice >= 0;
}

static bool set_balloon(struct husk_config *config, const char *text)
{
    static const char *const names[] = {"off", "on"};
    int choice = choose("--balloon", text ? text : "on", names, 2, "on or off");

    config->balloon = choice < 0 ? config->balloon : choice == 1;
    return choice >= 0;
}

static bool add_disk(struct husk_config *config, const char *text)
{
    struct husk_err err;

    return husk_config_add_disk(config, text, &err) == 0 || complain(err.message);
}

static bool add_net(struct husk_config *config, const char *text)
{
    struct husk_err err;

    return husk_config_add_net(config, text, &err) == 0 || complain(err.message);
}

static bool add_share(struct husk_config *config, const char *text)
{
    struct husk_err err;

    return husk_config_add_share(config, text, &err) == 0 || complain(err.message);
}

static bool set_vsock(struct husk_config *config, const char *text)
{
    struct husk_err err;

    return husk_config_set_vsock(config, text, &err) == 0 || complain(err.message);
}

static bool apply(struct run_options *options, int option, const char *value)
{
    struct husk_config *config = &options->config;

    switch (option) {
    case OPTION_KERNEL:
        config->kernel = value;
        return true;
    case OPTION_INITRD:
        config->initrd = value;
        return true;
    case OPTION_APPEND:
        config->append = value;
        return true;
    case OPTION_CMDLINE:
        config->command_line = value;
        return true;
    case OPTION_CPUS:
        return set_count(&config->cpus, "--cpus", value, 1, HUSK_CPUS_MAX);
    case OPTION_CPU_WITHOUT:
        config->cpu_without = value;
        return true;
    case OPTION_MEMORY:
        return set_memory(config, value);
    case OPTION_DISK:
        return add_disk(config, value);
    case OPTION_NET:
        return add_net(config, value);
    case OPTION_SHARE:
        return add_share(config, value);
    case OPTION_VSOCK:
        return set_vsock(config, value);
    case OPTION_BALLOON:
        return set_balloon(config, value);
    case OPTION_IOTHREADS:
        return set_count(&config->iothreads, "--iothreads", value, 0, HUSK_IOTHREADS_MAX);
    case OPTION_CONSOLE:
        return set_console(config, value);
    case OPTION_RINGS:
        return set_rings(config, value);
    case OPTION_BUS:
        return set_bus(config, value);
    case OPTION_STOP_GRACE:
        return set_count(&options->stop_grace, "--stop-grace", value, 0, STOP_GRACE_MAX);
    case OPTION_TIMING:
        options->timing = true;
        options->timing_file = value;
        return true;
    case OPTION_STATS:
        options->stats_file = value;
        return true;
    case OPTION_VERBOSE:
        options->verbose = true;
        return true;
    case OPTION_CONFIG: /* was read before the others */
        return true;
    case OPTION_PRINT_CONFIG:
        options->print_config = true;
        return true;
    default:
        return complain("'husk run --help' lists the options");
    }
}

/* One pass over the options; the first applies only --config, so that the rest override it. */
static bool pass(struct run_options *options, int argc, char **argv, bool first, bool *helped)
{
    int option;

    optind = 0; /* glibc: start anew, for a vector that was permuted before */
    opterr = !first;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            *helped = true;
            return true;
        }
        if (first ? option == OPTION_CONFIG && !load_config(options, optarg)
                  : !apply(options, option, optarg))
            return false;
    }
    return true;
}

static bool take_kernel(struct run_options *options, int argc, char **argv)
{
    struct husk_config *config = &options->config;
    struct utsname host;

    if (argc - optind > 1) {
        fprintf(stderr, "husk: \"%s\" is one argument too many; quote what has spaces\n",
                argv[optind + 1]);
        return false;
    }
    if (optind < argc)
        config->kernel = argv[optind];
    if (config->kernel)
        return true;
    uname(&host);
    snprintf(options->default_kernel, sizeof options->default_kernel, "/boot/vmlinuz-%s",
             host.release);
    if (access(options->default_kernel, R_OK) != 0) {
        fprintf(stderr, "husk: no kernel given, and this host's own, %s, cannot be read: %s; "
                        "try 'husk run KERNEL'\n",
                options->default_kernel, strerror(errno));
        return false;
    }
    config->kernel = options->default_kernel;
    fprintf(stderr, "husk: no kernel given; booting this host's, %s\n", options->default_kernel);
    return true;
}

enum options_result options_parse(struct run_options *options, int argc, char **argv)
{
    bool helped = false;

    *options = (struct run_options){0};
    husk_config_init(&options->config);
    if (!pass(options, argc, argv, true, &helped))
        return OPTIONS_BAD;
    if (helped) {
        fputs(help, stdout);
        return OPTIONS_DONE;
    }
    if (!pass(options, argc, argv, false, &helped) || !take_kernel(options, argc, argv))
        return OPTIONS_BAD;
    return OPTIONS_RUN;
}

void options_release(struct run_options *options)
{
    husk_config_release(&options->config);
    free(options->config_text);
}
