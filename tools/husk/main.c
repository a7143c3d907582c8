/* SPDX-License-Identifier: Apache-2.0 */
/* husk(1): picks the command. */
#include "commands.h"
#include "status.h"

#include "husk.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: husk COMMAND [ARGUMENTS]\n"
    "\n"
    "Runs Linux kernels in small virtual machines.\n"
    "\n"
    "Commands:\n"
    "  run      boot a kernel:  husk run vmlinuz --disk rootfs.img\n"
    "  sandbox  run a command in a machine of its own:  husk sandbox -- make check\n"
    "  doctor   find out whether this host can run Husk, and what to do if not\n"
    "  version  print the version\n"
    "  help     print this text\n"
    "\n"
    "Of sandboxes that run (husk sandbox --detach):\n"
    "  ps       list them\n"
    "  exec     run one more command in one\n"
    "  cp       copy files into it or out of it\n"
    "  logs     show what its command wrote\n"
    "  stop     end it\n"
    "  rm       forget one that has ended\n"
    "\n"
    "'husk COMMAND --help' tells more of a command, 'man husk' tells everything.\n";

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/*
 * A standard descriptor that is closed would become the next thing that is opened, and the guest
 * would write to that. It gets one that fails where it is used, as if it were still closed.
 */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static int version_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("husk %s\n", husk_version());
    return 0;
}

static int help_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fputs(help, stdout);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"doctor", doctor_command},   {"exec", exec_command},       {"ps", ps_command},
    {"cp", cp_command},           {"logs", logs_command},       {"stop", stop_command},
    {"rm", rm_command},           {"version", version_command}, {"--version", version_command},
    {"help", help_command},       {"--help", help_command},     {"-h", help_command},
};

int main(int argc, char **argv)
{
    uint64_t start = now();
    const char *command = argc > 1 ? argv[1] : "";

    signal(SIGCHLD, SIG_DFL); /* who started us may ignore it, and the ends of helpers were lost */
    fill_standard_descriptors();
    if (strcmp(command, "run") == 0)
        return run_command(argc - 1, argv + 1, start);
    if (strcmp(command, "sandbox") == 0)
        return sandbox_command(argc - 1, argv + 1, start);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(command, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "husk: there is no command \"%s\"; 'husk help' lists them\n", command);
    else
        fputs(help, stderr);
    return STATUS_USAGE;
}
