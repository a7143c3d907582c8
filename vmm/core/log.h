/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines go to a sink that the owner of the machine chose; the library itself never writes to
 * stdout or stderr. A guest can cause log lines, so whoever logs on the guest's behalf must bound
 * how often (once per device and fault, as a rule).
 */
#ifndef HUSK_CORE_LOG_H
#define HUSK_CORE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log {
    void (*sink)(void *context, enum log_level level, const char *line); /* any thread calls it */
    void *context;
    _Atomic enum log_level level; /* lines above it are dropped before they are formatted */
};

/* Formats one line (cut at 512 bytes) and hands it to the sink; `log` or its sink may be NULL. */
void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
