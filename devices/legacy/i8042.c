/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: IBM PS/2 technical reference, "Keyboard and Auxiliary Device Controller". */
#include "devices/legacy/i8042.h"

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u   /* the self-test has passed */
#define STATUS_UNLOCKED 0x10u /* nobody turned the key that locks the keyboard */

#define COMMAND_READ_BYTE 0x20u
#define COMMAND_WRITE_BYTE 0x60u
#define COMMAND_TEST_MOUSE 0xa9u
#define COMMAND_SELF_TEST 0xaau
#define COMMAND_TEST_KEYBOARD 0xabu
#define COMMAND_WRITE_OUTPUT_PORT 0xd1u
#define COMMAND_WRITE_KEYBOARD_OUTPUT 0xd2u
#define COMMAND_WRITE_MOUSE_OUTPUT 0xd3u
#define COMMAND_WRITE_MOUSE 0xd4u
#define COMMAND_RESET 0xfeu

#define SELF_TEST_PASSED 0x55u
#define PORT_TEST_CLOCK_STUCK 0x01u

#define COMMAND_BYTE_DEFAULT 0x34u /* system flag; both ports off: nothing is plugged in */

static void answer(struct i8042 *i8042, uint8_t value)
{
    i8042->output = value;
    i8042->output_full = true;
}

static void run_command(struct i8042 *i8042, uint8_t command)
{
    i8042->pending_command = 0;
    switch (command) {
    case COMMAND_READ_BYTE:
        answer(i8042, i8042->command_byte);
        break;
    case COMMAND_SELF_TEST:
        answer(i8042, SELF_TEST_PASSED);
        break;
    case COMMAND_TEST_KEYBOARD:
    case COMMAND_TEST_MOUSE:
        answer(i8042, PORT_TEST_CLOCK_STUCK);
        break;
    case COMMAND_WRITE_BYTE:
    case COMMAND_WRITE_OUTPUT_PORT:
    case COMMAND_WRITE_KEYBOARD_OUTPUT:
    case COMMAND_WRITE_MOUSE_OUTPUT:
    case COMMAND_WRITE_MOUSE:
        i8042->pending_command = command;
        break;
    default:
        break;
    }
}

/* The data byte of a command; a byte for the keyboard itself goes nowhere. */
static void finish_command(struct i8042 *i8042, uint8_t value)
{
    switch (i8042->pending_command) {
    case COMMAND_WRITE_BYTE:
        i8042->command_byte = value;
        break;
    case COMMAND_WRITE_KEYBOARD_OUTPUT:
        answer(i8042, value);
        break;
    case COMMAND_WRITE_MOUSE_OUTPUT:
        /* An echo would prove a mouse port. Its complement says at once that there is none. */
        answer(i8042, (uint8_t)~value);
        break;
    default:
        break;
    }
    i8042->pending_command = 0;
}

static void read_status(void *device, uint64_t offset, void *data, unsigned size)
{
    struct i8042 *i8042 = device;

    (void)offset;
    pthread_mutex_lock(&i8042->lock);
    bus_set_value(data, size, STATUS_SYSTEM | STATUS_UNLOCKED |
                  (i8042->output_full ? STATUS_OUTPUT_FULL : 0));
    pthread_mutex_unlock(&i8042->lock);
}

static void write_command(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct i8042 *i8042 = device;
    uint8_t command = (uint8_t)bus_value(data, size);

    (void)offset;
    if (command == COMMAND_RESET) {
        i8042->sink.event(i8042->sink.context, POWER_EVENT_RESET);
        return;
    }
    pthread_mutex_lock(&i8042->lock);
    run_command(i8042, command);
    pthread_mutex_unlock(&i8042->lock);
}

static void read_data(void *device, uint64_t offset, void *data, unsigned size)
{
    struct i8042 *i8042 = device;

    (void)offset;
    pthread_mutex_lock(&i8042->lock);
    i8042->output_full = false;
    bus_set_value(data, size, i8042->output);
    pthread_mutex_unlock(&i8042->lock);
}

static void write_data(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct i8042 *i8042 = device;

    (void)offset;
    pthread_mutex_lock(&i8042->lock);
    finish_command(i8042, (uint8_t)bus_value(data, size));
    pthread_mutex_unlock(&i8042->lock);
}

const struct bus_ops i8042_data_ops = {.read = read_data, .write = write_data};
const struct bus_ops i8042_command_ops = {.read = read_status, .write = write_command};

static void set_reset_state(struct i8042 *i8042)
{
    i8042->command_byte = COMMAND_BYTE_DEFAULT;
    i8042->pending_command = 0;
    i8042->output = 0;
    i8042->output_full = false;
}

void i8042_init(struct i8042 *i8042, struct power_sink sink)
{
    *i8042 = (struct i8042){.sink = sink};
    pthread_mutex_init(&i8042->lock, NULL);
    set_reset_state(i8042);
}

void i8042_destroy(struct i8042 *i8042)
{
    pthread_mutex_destroy(&i8042->lock);
}

void i8042_reset(struct i8042 *i8042)
{
    pthread_mutex_lock(&i8042->lock);
    set_reset_state(i8042);
    pthread_mutex_unlock(&i8042->lock);
}

void i8042_save(struct i8042 *i8042, struct state_writer *writer)
{
    pthread_mutex_lock(&i8042->lock);
    state_begin(writer, "i8042", 1);
    state_put_u8(writer, i8042->command_byte);
    state_put_u8(writer, i8042->pending_command);
    state_put_u8(writer, i8042->output);
    state_put_u8(writer, i8042->output_full);
    state_end(writer);
    pthread_mutex_unlock(&i8042->lock);
}

void i8042_restore(struct i8042 *i8042, struct state_reader *reader)
{
    pthread_mutex_lock(&i8042->lock);
    state_enter(reader, "i8042", 1);
    i8042->command_byte = state_get_u8(reader);
    i8042->pending_command = state_get_u8(reader);
    i8042->output = state_get_u8(reader);
    i8042->output_full = state_get_u8(reader);
    state_leave(reader);
    if (state_failed(reader))
        set_reset_state(i8042);
    pthread_mutex_unlock(&i8042->lock);
}
