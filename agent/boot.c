/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot.h"

#include "agent/frame.h"
#include "agent/network.h"
#include "agent/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONFIG_MAX (1u << 20)

/* linux/module.h, which is newer than some C libraries' headers. */
#define MODULE_COMPRESSED_FILE 4

struct config {
    char *bytes;
    size_t size;
};

static const char *value(const struct config *config, const char *key)
{
    return field(config->bytes, config->size, key);
}

static void read_config(struct report *report, struct config *config)
{
    int fd = open("/" AGENT_CONFIG_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t size;

    config->bytes = malloc(CONFIG_MAX);
    size = fd >= 0 && config->bytes ? read(fd, config->bytes, CONFIG_MAX) : -1;
    if (size <= 0 || config->bytes[size - 1] != '\0')
        report_failure(report, size < 0 ? errno : EPROTO, "cannot read /" AGENT_CONFIG_PATH);
    config->size = (size_t)size;
    close(fd);
}

/* --- modules --- */

/* The file of a module; its memory comes back when the file is closed. */
static int open_module(const char *name)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "/" AGENT_MODULES_PATH "/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    return fd;
}

/* Files of distributions may be compressed, and begin like no ELF file then. */
static bool load(int fd)
{
    char magic[4] = "";
    bool plain = pread(fd, magic, sizeof magic, 0) == sizeof magic &&
                 memcmp(magic, "\x7f" "ELF", sizeof magic) == 0;

    return syscall(SYS_finit_module, fd, "", plain ? 0 : MODULE_COMPRESSED_FILE) == 0 ||
           errno == EEXIST;
}

static void load_modules(struct report *report, const struct config *config)
{
    const char *name;
    size_t at = 0;

    while ((name = field_next(config->bytes, config->size, "module", &at))) {
        int fd = open_module(name);

        if (fd < 0 || !load(fd))
            report_failure(report, errno, "cannot load the module %s", name);
        close(fd);
    }
}

static void open_late_modules(const struct config *config, struct late_modules *late)
{
    const char *name;
    size_t at = 0;

    while (late->count < LATE_MODULES_MAX &&
           (name = field_next(config->bytes, config->size, "late_module", &at))) {
        int fd = open_module(name);

        if (fd >= 0)
            late->files[late->count++] = fd;
    }
}

void boot_load_late(struct late_modules *late)
{
    const struct sched_param none = {0};
    bool child = late->count > 0 && fork() == 0;

    if (child) /* commands come first */
        sched_setscheduler(0, SCHED_IDLE, &none);

    for (unsigned i = 0; i < late->count; i++) {
        if (child)
            load(late->files[i]);
        close(late->files[i]);
    }
    late->count = 0;
    if (child)
        _exit(0);
}

/* --- mounts --- */

/* mkdir -p; what is there already stays. */
static void make_folders(const char *path)
{
    char part[PATH_MAX];

    for (const char *end = path; end && *end;) {
        end = strchr(end + 1, '/');
        snprintf(part, sizeof part, "%.*s", end ? (int)(end - path) : PATH_MAX - 1, path);
        mkdir(part, 0755);
    }
}

static void must_mount(struct report *report, const char *source, const char *target,
                       const char *type, unsigned long flags, const char *options)
{
    make_folders(target);
    if (mount(source, target, type, flags, options) < 0)
        report_failure(report, errno, "cannot mount %s (%s) at %s", source, type, target);
}

/* What every Linux program expects of its root. */
static void mount_system(struct report *report, const char *root)
{
    static const struct {
        const char *type, *target;
        unsigned long flags;
        const char *options;
    } mounts[] = {
        {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
        {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
        {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
        {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
        {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    };

    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        char target[PATH_MAX];

        snprintf(target, sizeof target, "%s%s", root, mounts[i].target);
        must_mount(report, mounts[i].type, target, mounts[i].type, mounts[i].flags,
                   mounts[i].options);
    }
}

/* "TYPE SOURCE" of the configuration. */
static void split(struct report *report, const char *text, char type[64], char source[256])
{
    if (!text || sscanf(text, "%63s %255[^\n]", type, source) != 2)
        report_failure(report, EPROTO, "bad configuration \"%s\"", text ? text : "");
}

/* A disk that was not unmounted is mounted without its journal, which could not be written. */
static void mount_lower(struct report *report, const struct config *config)
{
    char type[64], source[256];

    split(report, value(config, "root"), type, source);
    make_folders("/lower");
    if (strcmp(type, "ext4") == 0 && mount(source, "/lower", type, MS_RDONLY, "noload") == 0)
        return;
    must_mount(report, source, "/lower", type, MS_RDONLY, NULL);
}

static void mount_merged(struct report *report, const struct config *config)
{
    char type[64], source[256];

    mount_lower(report, config);
    split(report, value(config, "upper"), type, source);
    must_mount(report, source, "/upper", type, 0, value(config, "upper_options"));
    make_folders("/upper/files");
    make_folders("/upper/work");
    must_mount(report, "overlay", "/merged", "overlay", 0,
               "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work");
}

static void mount_binds(struct report *report, const struct config *config)
{
    const char *bind;
    size_t at = 0;

    while ((bind = field_next(config->bytes, config->size, "bind", &at))) {
        char mode[3], tag[64];
        int path = 0;

        if (sscanf(bind, "%2s %63s %n", mode, tag, &path) != 2 || path == 0)
            report_failure(report, EPROTO, "bad configuration \"%s\"", bind);
        must_mount(report, tag, bind + path, "virtiofs", strcmp(mode, "ro") == 0 ? MS_RDONLY : 0, NULL);
    }
}

/* The initramfs cannot be unmounted; the sandbox's root is moved over it. */
static void enter_root(struct report *report)
{
    if (chdir("/merged") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        report_failure(report, errno, "cannot enter the root");
}

/* --- the rest --- */

/* Tries to; a root may have no /etc that files can be made in. */
static void write_line(const char *path, const char *key, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd >= 0) {
        dprintf(fd, "%s%s\n", key, text);
        close(fd);
    }
}

static void set_hostname(struct report *report, const struct config *config)
{
    const char *name = value(config, "hostname");
    int hosts;

    if (!name)
        return;
    if (sethostname(name, strlen(name)) < 0)
        report_failure(report, errno, "cannot be called \"%s\"", name);
    write_line("/etc/hostname", "", name);
    hosts = open("/etc/hosts", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (hosts >= 0) {
        dprintf(hosts, "127.0.0.1 localhost\n127.0.1.1 %s\n", name);
        close(hosts);
    }
}

static void start_network(struct report *report, const struct config *config)
{
    const char *address = value(config, "address"), *gateway = value(config, "gateway");
    const char *nameserver = value(config, "nameserver");
    int rc = network_up_loopback();

    if (rc == 0 && address)
        rc = network_up("eth0", address, gateway);
    if (rc)
        report_failure(report, -rc, "cannot bring up the network");
    if (nameserver) {
        unlink("/etc/resolv.conf"); /* often a link to what a service of the host would write */
        write_line("/etc/resolv.conf", "options edns0\nnameserver ", nameserver); /* longer answers */
    }
}

void boot(struct report *report, struct late_modules *late)
{
    struct config config;

    must_mount(report, "devtmpfs", "/dev", "devtmpfs", 0, NULL);
    read_config(report, &config);
    load_modules(report, &config);
    open_late_modules(&config, late);
    report_connect(report);
    report_stage(report, "mounting the root");
    mount_merged(report, &config);
    mount_system(report, "/merged");
    enter_root(report); /* before binds, whose paths may go through the root's own absolute links */
    report_stage(report, "mounting shared folders");
    mount_binds(report, &config);
    report_stage(report, "bringing up the network");
    set_hostname(report, &config);
    start_network(report, &config);
    free(config.bytes);
}
