/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller, for the sake of its reset line: command 0xfe resets the machine.
 *
 * There is neither keyboard nor mouse. The controller answers its self-tests and its command
 * byte, because a driver that gets no answer waits half a second for each.
 */
#ifndef HUSK_DEVICES_LEGACY_I8042_H
#define HUSK_DEVICES_LEGACY_I8042_H

#include "core/bus.h"
#include "core/state.h"
#include "devices/legacy/power.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define I8042_PORT_SIZE 1u /* each of the two ports */

struct i8042 {
    pthread_mutex_t lock; /* guards everything below but the sink */
    struct power_sink sink;
    uint8_t command_byte;
    uint8_t pending_command; /* waits for its data byte; 0: none */
    uint8_t output;
    bool output_full;
};

/* Two separate ports, because the byte between them (0x61) is not the controller's. */
extern const struct bus_ops i8042_data_ops;    /* port 0x60 */
extern const struct bus_ops i8042_command_ops; /* port 0x64 */

void i8042_init(struct i8042 *i8042, struct power_sink sink);
void i8042_destroy(struct i8042 *i8042);
void i8042_reset(struct i8042 *i8042);

/* Call with all vCPUs stopped. */
void i8042_save(struct i8042 *i8042, struct state_writer *writer);
void i8042_restore(struct i8042 *i8042, struct state_reader *reader);

#endif
