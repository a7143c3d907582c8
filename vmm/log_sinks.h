/* SPDX-License-Identifier: Apache-2.0 */
/* The callbacks that are told of a machine's log, each of lines up to its own level. */
#ifndef HUSK_VMM_LOG_SINKS_H
#define HUSK_VMM_LOG_SINKS_H

#include "core/err.h"
#include "core/log.h"
#include "vmm/husk.h"

#include <pthread.h>

struct log_sinks {
    pthread_rwlock_t lock; /* held for reading while callbacks run */
    struct husk_log sinks[HUSK_LOGS_MAX];
    unsigned count;
};

void log_sinks_init(struct log_sinks *sinks);
/* No thread logs any more. */
void log_sinks_destroy(struct log_sinks *sinks);

/* The log that leads to them; `sinks` is borrowed. */
struct log log_sinks_log(struct log_sinks *sinks);

/*
 * Both set the level of `log`, which is of log_sinks_log(), to what its callbacks want. Any thread.
 * Errors: -EINVAL, -ENOSPC.
 */
int log_sinks_add(struct log_sinks *sinks, const struct husk_log *sink, struct log *log,
                  struct err *err);
void log_sinks_remove(struct log_sinks *sinks, const struct husk_log *sink, struct log *log);

#endif
