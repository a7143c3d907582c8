/* SPDX-License-Identifier: Apache-2.0 */
/* What one hostile act is, and what it needs. */
#ifndef HUSK_GUEST_ABUSE_H
#define HUSK_GUEST_ABUSE_H

#include "block.h"

#define NOWHERE 0x80000000ull /* no RAM in a guest of less than 2 GiB */

enum outcome {
    NEEDS_RESET, /* the device must give up */
    WORKS,       /* the device must go on as if nothing had been */
    ANYTHING,    /* but it must come back by a reset */
};

/* On a device that was started properly, without features. */
struct abuse {
    const char *name; /* NULL ends a list */
    void (*act)(void);
    enum outcome outcome;
};

/* Of a ring in its format; abuse.c has those of all devices. */
extern const struct abuse split_abuses[];
extern const struct abuse packed_abuses[];

extern struct virtio device;
extern union ring ring;
extern uint8_t buffer[4096];

/* Negotiates again, and starts the queue with one of its registers pairs set to `address`. */
void start_with(uint32_t size, uint32_t area, uint64_t address);

#endif
