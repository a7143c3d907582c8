/* SPDX-License-Identifier: Apache-2.0 */
/* Tools of the host that run to their end; what they say is kept for the error. */
#ifndef HUSK_SANDBOX_RUN_H
#define HUSK_SANDBOX_RUN_H

#include "core/child.h"
#include "husk.h"

#include <stdbool.h>
#include <stdint.h>

struct run {
    struct child child;
    int said; /* what it writes to its outputs */
    char line[160]; /* the last of that */
};

/*
 * Starts it. `inherited` is a descriptor that it has as number 3, or -1: so a file without a name is
 * /proc/self/fd/3 to it. Errors: what posix_spawn(3) gives.
 */
int run_start(struct run *run, const char *program, const char *const *arguments, int inherited,
              struct husk_err *err);

/*
 * Waits up to `ms`. 1: it has ended well; 0: it still runs. Errors: -EIO it has failed, with what it
 * said last.
 */
int run_wait(struct run *run, int ms, struct husk_err *err);

/*
 * Waits for its end, and ends it itself if that is not to be waited for. Errors: -EIO as above;
 * -ECANCELED `cancel_fd` polls readable; -ETIMEDOUT after `timeout` ms.
 */
int run_finish(struct run *run, int cancel_fd, uint32_t timeout, struct husk_err *err);

/* Whether the caller of libhusk gives up within `ms`; -1 never does. */
bool is_canceled(int cancel_fd, int ms);

/* Ends what still runs. */
void run_abort(struct run *run);

#endif
