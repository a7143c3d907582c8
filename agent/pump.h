/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from one descriptor to another, in a program that polls; for both ends. Neither descriptor
 * needs to be non-blocking, which would change it for whoever shares it: what is written is no more
 * than what does not block.
 */
#ifndef HUSK_AGENT_PUMP_H
#define HUSK_AGENT_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pump {
    int from; /* borrowed; -1: the pump is closed */
    int to;
    bool source_ended;
    bool to_is_file, to_is_socket;
    char *buffer;
    size_t start, end; /* what is in it */
    uint64_t moved;    /* bytes read so far */
    uint64_t most;     /* that `moved` may become; what is read beyond it is lost */
    int error;         /* errno of the write that broke it; 0: none */
};

#define PUMP_CLOSED {.from = -1, .to = -1}

enum pump_state {
    PUMP_RUNS,
    PUMP_ENDED,  /* the source has ended, and all is written */
    PUMP_BROKEN, /* the target takes no more, for ever */
};

/* -ENOMEM, or what fstat(2) gives. */
int pump_open(struct pump *pump, int from, int to);
void pump_close(struct pump *pump);

/* What to poll for: two entries, of which those with fd -1 are not needed now. */
void pump_poll(const struct pump *pump, struct pollfd entries[2]);

/* Moves what can be moved, as poll() has found it. */
enum pump_state pump_move(struct pump *pump, const struct pollfd entries[2]);

/*
 * Nobody waits for the source any more: what is there now is the rest of it. The source must be
 * non-blocking.
 */
void pump_finish(struct pump *pump);

#endif
