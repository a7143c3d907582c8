/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host side of a guest's console: where its bytes go and come from. Knows nothing of the
 * front end (a UART or a virtio console) but two callbacks.
 *
 * Neither direction ever blocks the loop. Output that the host does not take is kept by the front
 * end; input that the guest does not take stays in the host's pipe, because the input descriptor
 * is watched only while the front end wants bytes.
 *
 * The descriptors are the caller's, and the file status flags that they share with other processes
 * stay as they are. What is used is a descriptor of our own:
 *
 *     pipe, terminal        opened anew through /proc/self/fd, non-blocking
 *     socket                a duplicate, with MSG_DONTWAIT
 *     regular file, null    a duplicate, which keeps offset and O_APPEND; always ready
 *     anything else, or a   a duplicate, with a poll before each read and write
 *     reopening that fails
 *
 * A reader that goes away is an error code here, not a signal: every thread that writes (the
 * loop's, the vCPUs') must have SIGPIPE blocked.
 */
#ifndef HUSK_DEVICES_CONSOLE_H
#define HUSK_DEVICES_CONSOLE_H

#include "core/err.h"
#include "core/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Both run on the loop's thread. */
struct console_front_end {
    /* Bytes, or the end of input, can be read. Called again until they are, or are not wanted. */
    void (*input)(void *device);
    /* There is room again after a short console_write(); NULL for those that never call it. */
    void (*output)(void *device);
};

/* Both run on the thread that waits in console_write_all(); the second may take its time. */
struct console_waits {
    void (*begin)(void *context);
    void (*end)(void *context);
    void *context;
};

struct console_channel {
    int fd; /* ours; -1: none */
    bool is_socket;
    bool is_pipe;
    bool always_ready; /* epoll does not take it */
    bool may_block;    /* a blocking description: poll first */
};

struct console {
    struct loop *loop;
    struct console_channel in;
    struct console_channel out;  /* none: output is discarded */
    struct loop_source input;    /* in.fd, or ready_fd for a file that is always ready */
    struct loop_source output;
    int ready_fd;
    bool input_ended;
    _Atomic int output_error; /* -errno of the write that failed; output is discarded since */
    int abort_fd;             /* eventfd: console_abort() */
    struct console_waits waits; /* begin NULL: nobody wants to hear of them */
    const struct console_front_end *front_end;
    void *device;
};

/* A console before console_open(); console_close() and console_abort() are harmless on it. */
#define CONSOLE_CLOSED                                                                            \
    {                                                                                             \
        .in.fd = -1, .out.fd = -1, .input.fd = -1, .output.fd = -1, .ready_fd = -1,               \
        .abort_fd = -1                                                                            \
    }

/*
 * -1 for either descriptor means that there is none. Both stay the caller's, who may close them.
 * Errors: -EBADF, -EMFILE and what else fstat, fcntl and eventfd give.
 */
int console_open(struct console *console, struct loop *loop, int input_fd, int output_fd,
                 struct err *err);
void console_close(struct console *console);
void console_attach(struct console *console, const struct console_front_end *front_end,
                    void *device);

/* Starts or stops calls of `input`; they are stopped at first. Loop's thread, or before it runs. */
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

/* Has `waits` told of all waiting in console_write_all(). Before vCPUs run. */
void console_tell_waits(struct console *console, const struct console_waits *waits);

/* 0, or the -errno with which the output failed for good (-EPIPE, -EIO, -ENOSPC). Any thread. */
int console_output_error(const struct console *console);

/* Ends all waiting in console_write_all(), now and later. Any thread. */
void console_abort(struct console *console);

#endif
