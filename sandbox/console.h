/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of what a guest's kernel says on its console, for when it fails. A thread reads it, so
 * that the guest never waits; older text is forgotten, so that it cannot fill the host.
 */
#ifndef HUSK_SANDBOX_CONSOLE_H
#define HUSK_SANDBOX_CONSOLE_H

#include "husk.h"

struct console_tail;

/* `*fd` is what the machine writes to; close it once the machine has it. */
int console_tail_open(struct console_tail **tail, int *fd, struct husk_err *err);

/* Its last lines to the log; the agent's, else the very last one, else "", into `line`. */
void console_tail_show(struct console_tail *tail, const struct husk_log *log, char line[160]);

/* When nobody writes any more. NULL is harmless. */
void console_tail_close(struct console_tail *tail);

#endif
