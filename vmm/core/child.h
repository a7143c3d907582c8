/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process that serves this one and has nothing of it but what it is given: no other
 * descriptor, no signal's state, no environment; nor is it in the group that a terminal interrupts.
 *
 * It is held by a descriptor and waited for by nothing else, so it neither takes nor leaves another's
 * child; but SIGCHLD comes, as for any child. That it ends with this process is its own affair: what
 * it serves is a socket that has an end then. (PR_SET_PDEATHSIG would be of no use: it follows the
 * thread that made the child.)
 */
#ifndef HUSK_CORE_CHILD_H
#define HUSK_CORE_CHILD_H

#include "core/err.h"

struct child {
    int pidfd; /* -1: there is none */
};

#define CHILD_NONE {.pidfd = -1}

/* What -ECHILD means. */
#define CHILD_LOST "it has ended, but how is not known: this process ignores SIGCHLD, or waits for " \
                   "children that are not its own"
#define CHILD_DESCRIPTORS_MAX 8u

struct child_command {
    const char *program;
    const char *const *arguments; /* its name first, NULL last */
    const int *descriptors;       /* what it has as 0, 1, 2 and so on; -1: /dev/null */
    unsigned descriptor_count;    /* at most CHILD_DESCRIPTORS_MAX */
};

/*
 * Starts it, in what the calling thread has for namespaces. Errors: what spawning gives; -ECHILD as from
 * child_wait().
 */
int child_start(struct child *child, const struct child_command *command, struct err *err);

/*
 * Waits until it has ended by itself: its exit status, or 128 and the signal that ended it. -ECHILD:
 * that is lost, for this process ignores SIGCHLD or waits for all of its children.
 */
int child_wait(struct child *child);

/* Ends it and its own children, and waits until it is gone. Harmless if there is none. */
void child_end(struct child *child);

#endif
