/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent tells of its start: to the host by vsock once that works, before by the kernel's
 * log, whose end the host shows.
 */
#ifndef HUSK_AGENT_REPORT_H
#define HUSK_AGENT_REPORT_H

#include <stdint.h>

struct report {
    int fd; /* connection to the host; -1: none yet */
};

/* Connects to the host; what follows goes there. */
void report_connect(struct report *report);

void report_stage(struct report *report, const char *stage);

/* The last thing that is told when all is well. */
void report_ready(struct report *report);

/* Why the sandbox cannot start. It ends the machine. */
_Noreturn void report_failure(struct report *report, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
