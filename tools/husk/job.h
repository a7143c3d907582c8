/* SPDX-License-Identifier: Apache-2.0 */
/* One command in a sandbox, on this process's streams, terminal and signals. */
#ifndef HUSK_TOOLS_JOB_H
#define HUSK_TOOLS_JOB_H

#include "husk.h"

struct job {
    struct husk_sandbox *sandbox;
    struct husk_command command;
    int64_t timeout_ms; /* negative: none */
    int signal_fd;      /* job_signals() */
    bool given_up;      /* out: it was killed, by a second signal or past its timeout */
};

/*
 * Blocks what ends a program and reads it from the descriptor that is returned instead (-1, with
 * errno); before there are threads.
 */
int job_signals(void);

/*
 * After job_signals(), a descriptor that is readable once a signal asks to end, before there is a
 * command to pass others to. -1, with errno.
 */
int job_ending_signals(void);

/* From here on signals end this process again, as by default. */
void job_release_signals(void);

/* The status of the whole: the command's, 124, 125 or 128+signal. What is wrong is said. */
int job_run(struct job *job);

#endif
