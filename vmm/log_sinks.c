/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/log_sinks.h"

#include <errno.h>

void log_sinks_init(struct log_sinks *sinks)
{
    *sinks = (struct log_sinks){0};
    pthread_rwlock_init(&sinks->lock, NULL);
}

void log_sinks_destroy(struct log_sinks *sinks)
{
    pthread_rwlock_destroy(&sinks->lock);
}

static void pass(void *context, enum log_level level, const char *line)
{
    struct log_sinks *sinks = context;

    pthread_rwlock_rdlock(&sinks->lock);
    for (unsigned i = 0; i < sinks->count; i++) {
        const struct husk_log *sink = &sinks->sinks[i];

        if ((enum husk_log_level)level <= sink->level)
            sink->line(sink->context, (enum husk_log_level)level, line);
    }
    pthread_rwlock_unlock(&sinks->lock);
}

struct log log_sinks_log(struct log_sinks *sinks)
{
    return (struct log){.sink = pass, .context = sinks};
}

/* Under the lock. Without callbacks it is the least. */
static void set_level(const struct log_sinks *sinks, struct log *log)
{
    enum husk_log_level most = HUSK_LOG_ERROR;

    for (unsigned i = 0; i < sinks->count; i++)
        if (sinks->sinks[i].level > most)
            most = sinks->sinks[i].level;
    log->level = (enum log_level)most;
}

int log_sinks_add(struct log_sinks *sinks, const struct husk_log *sink, struct log *log,
                  struct err *err)
{
    int rc = 0;

    if (!sink->line)
        return err_set(err, -EINVAL, "husk_log: the function is missing");
    pthread_rwlock_wrlock(&sinks->lock);
    if (sinks->count < HUSK_LOGS_MAX) {
        sinks->sinks[sinks->count++] = *sink;
        set_level(sinks, log);
    } else {
        rc = err_set(err, -ENOSPC, "the machine's log has %d callbacks; remove one",
                     HUSK_LOGS_MAX);
    }
    pthread_rwlock_unlock(&sinks->lock);
    return rc;
}

void log_sinks_remove(struct log_sinks *sinks, const struct husk_log *sink, struct log *log)
{
    unsigned kept = 0;

    pthread_rwlock_wrlock(&sinks->lock);
    for (unsigned i = 0; i < sinks->count; i++)
        if (sinks->sinks[i].line != sink->line || sinks->sinks[i].context != sink->context)
            sinks->sinks[kept++] = sinks->sinks[i];
    sinks->count = kept;
    set_level(sinks, log);
    pthread_rwlock_unlock(&sinks->lock);
}
