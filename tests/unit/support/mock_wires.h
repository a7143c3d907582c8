/* SPDX-License-Identifier: Apache-2.0 */
/* Wires that lead nowhere: what is connected is kept, to be looked at. */
#ifndef HUSK_TESTS_MOCK_WIRES_H
#define HUSK_TESTS_MOCK_WIRES_H

#include "core/wires.h"

#include <stdbool.h>
#include <stdint.h>

#define MOCK_WIRES_MAX 64u

struct mock_wires {
    struct {
        bool connected;
        struct msi_message message;
    } lines[MOCK_WIRES_MAX]; /* by gsi */
    struct {
        uint64_t address;
        int fd;
    } doorbells[MOCK_WIRES_MAX];
    unsigned doorbell_count;
    unsigned changes; /* calls so far */
};

/* The wires for a device; `mock` is zeroed by the caller. Misuse aborts. */
struct wires mock_wires(struct mock_wires *mock);

/* The eventfd of the doorbell at `address`, or -1. */
int mock_doorbell(const struct mock_wires *mock, uint64_t address);

#endif
