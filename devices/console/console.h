/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host side of a guest's console: where its bytes go and come from. Knows nothing of the
 * front end (a UART or a virtio console) but two callbacks.
 *
 * Neither direction ever blocks the loop. Output that the host does not take is kept by the front
 * end; input that the guest does not take stays in the host's pipe, because the input descriptor
 * is watched only while the front end wants bytes. The descriptors are borrowed, and the file
 * status flags that they share with other processes are left as they are: a pipe or terminal is
 * reopened through /proc/self/fd to get a non-blocking description of our own; where that is not
 * possible, each write is preceded by a poll.
 */
#ifndef HUSK_DEVICES_CONSOLE_H
#define HUSK_DEVICES_CONSOLE_H

#include "core/err.h"
#include "core/loop.h"

#include <stdbool.h>
#include <stddef.h>

/* Both run on the loop's thread. */
struct console_front_end {
    void (*input)(void *device);  /* bytes, or the end of input, can be read */
    void (*output)(void *device); /* after a short console_write(): there is room again */
};

struct console {
    struct loop *loop;
    struct loop_source input;  /* fd -1: no input */
    struct loop_source output; /* fd -1: output is discarded */
    int owned_output_fd;       /* the reopened description, or -1 */
    bool output_may_block;     /* no description of our own: poll before each write */
    bool input_ended;
    bool output_failed;        /* the reader is gone; the guest's bytes are discarded */
    int abort_fd;              /* eventfd: console_abort() */
    const struct console_front_end *front_end;
    void *device;
};

/* -1 for either descriptor means that there is none. Descriptors stay the caller's. */
int console_open(struct console *console, struct loop *loop, int input_fd, int output_fd,
                 struct err *err);
void console_close(struct console *console);
void console_attach(struct console *console, const struct console_front_end *front_end,
                    void *device);

/* Starts or stops calls of `input`. Loop's thread, or before the loop runs. */
void console_want_input(struct console *console, bool wanted);

/* Reads what is there: a count, 0 when nothing is there now or the input has ended. */
size_t console_read(struct console *console, void *bytes, size_t size);

/*
 * Writes what the host takes at once; returns how much that was. After a short write `output` is
 * called once when there is room. A vanished reader takes everything. Loop's thread.
 */
size_t console_write(struct console *console, const void *bytes, size_t size);

/*
 * Writes everything, waiting for a slow reader until console_abort(). For vCPU threads, on which
 * a guest that prints may wait as it would for a real serial line.
 */
void console_write_all(struct console *console, const void *bytes, size_t size);

/* Ends all waiting in console_write_all(), now and later. Any thread. */
void console_abort(struct console *console);

#endif
