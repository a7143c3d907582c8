/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal as the guest's keyboard: raw while the guest runs, and as it was afterwards.
 *
 * The machine knows nothing of terminals. It reads its input from a pipe into which this module
 * puts what was typed, less the escape: Ctrl-a x quits, Ctrl-a h helps, Ctrl-a Ctrl-a (or a) sends
 * a Ctrl-a.
 */
#ifndef HUSK_TOOLS_TERMINAL_H
#define HUSK_TOOLS_TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <termios.h>

struct terminal {
    int fd;              /* the terminal; -1: input is not one, or not ours to read */
    int pipe_out;        /* the guest's end */
    int pipe_in;
    atomic_bool raw;     /* read by every thread that logs */
    bool escaped;        /* the last byte was Ctrl-a */
    struct termios saved;
};

/*
 * Takes over `fd` if it is a terminal and this process is in its foreground; otherwise leaves it
 * alone, and terminal->fd is -1. The terminal is not yet raw. 0 or -errno.
 */
int terminal_open(struct terminal *terminal, int fd);

/*
 * Raw mode on and off again; both harmless when there is no terminal, or twice. Entered twice, it
 * is set again: while this process was stopped (SIGSTOP), a shell may have changed the modes.
 */
void terminal_enter(struct terminal *terminal);
void terminal_leave(struct terminal *terminal);

/*
 * Passes on what was typed. Returns true when the user wants to quit. What the guest does not
 * read is dropped once the pipe is full, so that the escape always gets through.
 */
bool terminal_pump(struct terminal *terminal);

/* Leaves raw mode and closes the pipe. */
void terminal_close(struct terminal *terminal);

#endif
