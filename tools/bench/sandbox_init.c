/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of the sandbox benchmark's peer: it does what husk-agent does up to the sandbox's
 * root, with the same code, then runs one command whose output goes to the console, and reboots, which
 * ends the monitor. Nothing connects to a host.
 */
#include "agent/boot.h"
#include "agent/mark.h"
#include "agent/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

void report_connect(struct report *report)
{
    (void)report;
}

void report_stage(struct report *report, const char *stage)
{
    (void)report;
    (void)stage;
}

_Noreturn void report_failure(struct report *report, int code, const char *format, ...)
{
    va_list arguments;

    (void)report;
    va_start(arguments, format);
    vdprintf(STDOUT_FILENO, format, arguments);
    va_end(arguments);
    dprintf(STDOUT_FILENO, ": %s\n", strerror(code));
    reboot(RB_AUTOBOOT);
    _exit(1);
}

/* `arguments` are the kernel's command line behind "--". */
int main(int count, char **arguments)
{
    struct report report = {.fd = -1};
    struct late_modules late = {0};

    mark();
    boot(&report, &late);
    if (count > 1 && fork() == 0) {
        execv(arguments[1], arguments + 1);
        _exit(127);
    }
    wait(NULL);
    reboot(RB_AUTOBOOT);
}
