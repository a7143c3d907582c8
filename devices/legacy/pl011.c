/* SPDX-License-Identifier: Apache-2.0 */
/* Register semantics: PrimeCell UART (PL011) Technical Reference Manual, Arm DDI 0183, chapter 3. */
#include "devices/legacy/pl011.h"

enum {
    REGISTER_DATA = 0x00,
    REGISTER_FLAGS = 0x18,
    REGISTER_INTEGER_DIVISOR = 0x24,
    REGISTER_FRACTION_DIVISOR = 0x28,
    REGISTER_LINE_CONTROL = 0x2c,
    REGISTER_CONTROL = 0x30,
    REGISTER_FIFO_LEVELS = 0x34,
    REGISTER_INTERRUPT_MASK = 0x38,
    REGISTER_INTERRUPTS = 0x3c,
    REGISTER_MASKED_INTERRUPTS = 0x40,
    REGISTER_INTERRUPT_CLEAR = 0x44,
};

#define PERIPHERAL_ID 0x00341011u /* r1p5, whose FIFOs have 32 bytes */

#define FLAGS_MODEM_READY 0x007u /* CTS, DSR, DCD: the host's end is always there */
#define FLAGS_RECEIVE_EMPTY 0x010u
#define FLAGS_RECEIVE_FULL 0x040u
#define FLAGS_TRANSMIT_EMPTY 0x080u

#define LINE_CONTROL_FIFO 0x10u
#define LINE_CONTROL_ALL 0xffu

#define CONTROL_ENABLE 0x001u
#define CONTROL_LOOPBACK 0x080u
#define CONTROL_RECEIVE 0x200u
#define CONTROL_RESET 0x300u /* transmitter and receiver on, the UART itself off */
#define CONTROL_ALL 0xff87u

#define FIFO_LEVELS_RESET 0x12u
#define FIFO_LEVELS_ALL 0x3fu
#define FIFO_LEVELS_RECEIVE_SHIFT 3u

#define INTERRUPT_RECEIVE 0x010u
#define INTERRUPT_TRANSMIT 0x020u
#define INTERRUPT_TIMEOUT 0x040u /* of a reception that stays below the FIFO's level */
#define INTERRUPT_ALL 0x7ffu

/* --- interrupts --- */

/* How many bytes make a receive interrupt: an eighth of the FIFO to seven, or one without it. */
static unsigned receive_level(const struct pl011 *uart)
{
    static const uint8_t levels[] = {4, 8, 16, 24, 28, 28, 28, 28};

    if (!(uart->line_control & LINE_CONTROL_FIFO))
        return 1;
    return levels[uart->fifo_levels >> FIFO_LEVELS_RECEIVE_SHIFT];
}

/* No character follows in no time, so the time-out of a FIFO below its level is at once. */
static uint32_t interrupts(const struct pl011 *uart)
{
    uint32_t raw = uart->transmit_pending ? INTERRUPT_TRANSMIT : 0;

    if (uart->line.used == 0)
        return raw;
    return raw | (uart->line.used >= receive_level(uart) ? INTERRUPT_RECEIVE : INTERRUPT_TIMEOUT);
}

/* The line is edge-triggered: each cause that appears is an edge of its own. */
static void update_interrupt(struct pl011 *uart)
{
    uint32_t now = interrupts(uart) & uart->interrupt_mask;
    uint32_t appeared = now & ~uart->asserted;

    uart->asserted = now;
    if (appeared)
        irq_raise(uart->irq);
}

/* --- the line --- */

static bool ready(const void *device)
{
    const uint32_t on = CONTROL_ENABLE | CONTROL_RECEIVE;
    const struct pl011 *uart = device;

    return (uart->control & (on | CONTROL_LOOPBACK)) == on &&
           (uart->interrupt_mask & (INTERRUPT_RECEIVE | INTERRUPT_TIMEOUT));
}

static void received(void *device)
{
    update_interrupt(device);
}

static const struct serial_line_ops line_ops = {ready, received};

/* In loopback what finds the queue full is lost, as it is without a driver that reads. */
static void transmit(struct pl011 *uart, uint8_t byte)
{
    if (uart->control & CONTROL_LOOPBACK)
        serial_line_push(&uart->line, byte);
    else
        serial_line_send(&uart->line, byte);
    uart->transmit_pending = true;
}

static uint32_t flags(const struct pl011 *uart)
{
    return FLAGS_MODEM_READY | FLAGS_TRANSMIT_EMPTY |
           (uart->line.used == 0 ? FLAGS_RECEIVE_EMPTY : 0) |
           (uart->line.used == SERIAL_LINE_QUEUE_SIZE ? FLAGS_RECEIVE_FULL : 0);
}

/* --- registers --- */

static uint32_t read_register(struct pl011 *uart, uint64_t offset)
{
    switch (offset) {
    case REGISTER_DATA:
        return serial_line_pop(&uart->line);
    case REGISTER_FLAGS:
        return flags(uart);
    case REGISTER_INTEGER_DIVISOR:
        return uart->integer_divisor;
    case REGISTER_FRACTION_DIVISOR:
        return uart->fraction_divisor;
    case REGISTER_LINE_CONTROL:
        return uart->line_control;
    case REGISTER_CONTROL:
        return uart->control;
    case REGISTER_FIFO_LEVELS:
        return uart->fifo_levels;
    case REGISTER_INTERRUPT_MASK:
        return uart->interrupt_mask;
    case REGISTER_INTERRUPTS:
        return interrupts(uart);
    case REGISTER_MASKED_INTERRUPTS:
        return interrupts(uart) & uart->interrupt_mask;
    default:
        return primecell_identity(offset, PERIPHERAL_ID);
    }
}

static void write_register(struct pl011 *uart, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case REGISTER_DATA:
        transmit(uart, (uint8_t)value);
        break;
    case REGISTER_INTEGER_DIVISOR:
        uart->integer_divisor = value & 0xffff;
        break;
    case REGISTER_FRACTION_DIVISOR:
        uart->fraction_divisor = value & 0x3f;
        break;
    case REGISTER_LINE_CONTROL:
        uart->line_control = value & LINE_CONTROL_ALL;
        break;
    case REGISTER_CONTROL:
        uart->control = value & CONTROL_ALL;
        break;
    case REGISTER_FIFO_LEVELS:
        uart->fifo_levels = value & FIFO_LEVELS_ALL;
        break;
    case REGISTER_INTERRUPT_MASK:
        uart->interrupt_mask = value & INTERRUPT_ALL;
        break;
    case REGISTER_INTERRUPT_CLEAR:
        if (value & INTERRUPT_TRANSMIT)
            uart->transmit_pending = false;
        break;
    default: /* the others are for reading, or are not there */
        break;
    }
}

static void finish_access(struct pl011 *uart)
{
    update_interrupt(uart);
    serial_line_finish(&uart->line);
}

static void read_registers(void *device, uint64_t offset, void *data, unsigned size)
{
    struct pl011 *uart = device;

    bus_set_value(data, size, 0);
    if (!primecell_is_access(offset, size))
        return;
    serial_line_begin(&uart->line);
    bus_set_value(data, size, read_register(uart, offset));
    finish_access(uart);
}

static void write_registers(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct pl011 *uart = device;

    if (!primecell_is_access(offset, size))
        return;
    serial_line_begin(&uart->line);
    write_register(uart, offset, (uint32_t)bus_value(data, size));
    finish_access(uart);
}

const struct bus_ops pl011_ops = {.read = read_registers, .write = write_registers};

/* --- life --- */

static void set_reset_state(struct pl011 *uart)
{
    uart->integer_divisor = 0;
    uart->fraction_divisor = 0;
    uart->line_control = 0;
    uart->control = CONTROL_RESET;
    uart->fifo_levels = FIFO_LEVELS_RESET;
    uart->interrupt_mask = 0;
    uart->transmit_pending = false;
    uart->asserted = 0;
    serial_line_clear(&uart->line);
}

void pl011_init(struct pl011 *uart, struct console *console, struct irq_line *irq)
{
    *uart = (struct pl011){.irq = irq};
    serial_line_init(&uart->line, console, &line_ops, uart);
    set_reset_state(uart);
}

void pl011_destroy(struct pl011 *uart)
{
    serial_line_destroy(&uart->line);
}

void pl011_reset(struct pl011 *uart)
{
    serial_line_begin(&uart->line);
    set_reset_state(uart);
    finish_access(uart);
}

void pl011_save(struct pl011 *uart, struct state_writer *writer)
{
    serial_line_begin(&uart->line);
    state_begin(writer, "pl011", 1);
    state_put_u32(writer, uart->integer_divisor);
    state_put_u32(writer, uart->fraction_divisor);
    state_put_u32(writer, uart->line_control);
    state_put_u32(writer, uart->control);
    state_put_u32(writer, uart->fifo_levels);
    state_put_u32(writer, uart->interrupt_mask);
    state_put_u8(writer, uart->transmit_pending);
    serial_line_save(&uart->line, writer);
    state_end(writer);
    serial_line_finish(&uart->line);
}

/* What the interrupt controller saw is in its own state, so conditions that hold are no edges. */
void pl011_restore(struct pl011 *uart, struct state_reader *reader)
{
    serial_line_begin(&uart->line);
    set_reset_state(uart);
    state_enter(reader, "pl011", 1);
    uart->integer_divisor = state_get_u32(reader) & 0xffff;
    uart->fraction_divisor = state_get_u32(reader) & 0x3f;
    uart->line_control = state_get_u32(reader) & LINE_CONTROL_ALL;
    uart->control = state_get_u32(reader) & CONTROL_ALL;
    uart->fifo_levels = state_get_u32(reader) & FIFO_LEVELS_ALL;
    uart->interrupt_mask = state_get_u32(reader) & INTERRUPT_ALL;
    uart->transmit_pending = state_get_u8(reader);
    serial_line_restore(&uart->line, reader);
    state_leave(reader);
    if (state_failed(reader))
        set_reset_state(uart);
    uart->asserted = interrupts(uart) & uart->interrupt_mask;
    finish_access(uart);
}
