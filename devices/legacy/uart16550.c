/* SPDX-License-Identifier: Apache-2.0 */
/* Register semantics: PC16550D data sheet (National Semiconductor, June 1995), section 8. */
#include "devices/legacy/uart16550.h"

enum {
    REGISTER_DATA = 0,              /* RBR, THR; DLL with DLAB */
    REGISTER_INTERRUPT_ENABLE = 1,  /* IER; DLM with DLAB */
    REGISTER_INTERRUPT_OR_FIFO = 2, /* IIR, FCR */
    REGISTER_LINE_CONTROL = 3,
    REGISTER_MODEM_CONTROL = 4,
    REGISTER_LINE_STATUS = 5,
    REGISTER_MODEM_STATUS = 6,
    REGISTER_SCRATCH = 7,
};

/* IER, and the same bits for the conditions that it enables */
#define INTERRUPT_RECEIVE 0x01u
#define INTERRUPT_TRANSMIT 0x02u
#define INTERRUPT_LINE_STATUS 0x04u
#define INTERRUPT_MODEM_STATUS 0x08u
#define INTERRUPT_ALL 0x0fu

#define IIR_NONE 0x01u
#define IIR_MODEM_STATUS 0x00u
#define IIR_TRANSMIT 0x02u
#define IIR_RECEIVE 0x04u
#define IIR_LINE_STATUS 0x06u
#define IIR_RECEIVE_TIMEOUT 0x0cu
#define IIR_FIFO_ENABLED 0xc0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RECEIVER 0x02u
#define FCR_STORED 0xc9u /* enable, DMA mode, trigger level; the others are pulses */
#define FCR_TRIGGER_SHIFT 6u

#define LCR_DLAB 0x80u

#define MCR_RTS 0x02u
#define MCR_LOOP 0x10u
#define MCR_ALL 0x1fu

#define LSR_DATA_READY 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_TRANSMITTER_EMPTY 0x60u /* THRE and TEMT */

#define MSR_RING 0x40u
#define MSR_READY 0xb0u /* DCD, DSR, CTS: the host's end is always there */

static bool loopback(const struct uart16550 *uart)
{
    return uart->modem_control & MCR_LOOP;
}

/* --- interrupts --- */

/* The enabled causes that hold now. */
static uint8_t causes(const struct uart16550 *uart)
{
    uint8_t conditions = (uint8_t)((uart->line.used ? INTERRUPT_RECEIVE : 0) |
                                   (uart->transmit_pending ? INTERRUPT_TRANSMIT : 0) |
                                   (uart->overrun ? INTERRUPT_LINE_STATUS : 0) |
                                   (uart->modem_delta ? INTERRUPT_MODEM_STATUS : 0));

    return conditions & uart->interrupt_enable;
}

/*
 * The line is edge-triggered, and a driver that is in its handler may have looked at some causes
 * already, so each cause that appears is an edge of its own. One that stays is not repeated: the
 * driver leaves its handler only after an IIR that names no cause.
 */
static void update_interrupt(struct uart16550 *uart)
{
    uint8_t now = causes(uart);
    uint8_t appeared = now & (uint8_t)~uart->asserted;

    uart->asserted = now;
    if (appeared)
        irq_raise(uart->irq);
}

static uint8_t receive_cause(const struct uart16550 *uart)
{
    static const uint8_t trigger_levels[] = {1, 4, 8, 14};
    uint8_t level = trigger_levels[uart->fifo_control >> FCR_TRIGGER_SHIFT];

    /* No character follows in no time, so the time-out of a FIFO below its level is at once. */
    if ((uart->fifo_control & FCR_ENABLE) && uart->line.used < level)
        return IIR_RECEIVE_TIMEOUT;
    return IIR_RECEIVE;
}

/* The highest of the causes, in the data sheet's order; reading IIR acknowledges only THRE. */
static uint8_t read_interrupt_cause(struct uart16550 *uart)
{
    uint8_t fifo = uart->fifo_control & FCR_ENABLE ? IIR_FIFO_ENABLED : 0;
    uint8_t now = causes(uart);

    if (now & INTERRUPT_LINE_STATUS)
        return fifo | IIR_LINE_STATUS;
    if (now & INTERRUPT_RECEIVE)
        return fifo | receive_cause(uart);
    if (now & INTERRUPT_TRANSMIT) {
        uart->transmit_pending = false;
        return fifo | IIR_TRANSMIT;
    }
    return fifo | (now & INTERRUPT_MODEM_STATUS ? IIR_MODEM_STATUS : IIR_NONE);
}

/* --- the line --- */

/* With RTS raised; in loopback the host's side is cut off. */
static bool ready(const void *device)
{
    const struct uart16550 *uart = device;

    return (uart->modem_control & MCR_RTS) && !loopback(uart);
}

static void received(void *device)
{
    update_interrupt(device);
}

static const struct serial_line_ops line_ops = {ready, received};

static void finish_access(struct uart16550 *uart)
{
    update_interrupt(uart);
    serial_line_finish(&uart->line);
}

/* --- registers --- */

/* In loopback the modem's inputs are the control outputs: RTS, DTR, OUT1, OUT2. */
static uint8_t modem_lines(const struct uart16550 *uart)
{
    uint8_t control = uart->modem_control;

    if (!loopback(uart))
        return MSR_READY;
    return (uint8_t)((control & 0x02) << 3 | (control & 0x01) << 5 | (control & 0x0c) << 4);
}

static void write_modem_control(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = modem_lines(uart), after;

    uart->modem_control = value & MCR_ALL;
    after = modem_lines(uart);
    /* The ring indicator counts only when it ends (TERI). */
    uart->modem_delta |= (uint8_t)(((before ^ after) & ~(after & MSR_RING)) >> 4);
}

static uint8_t read_modem_status(struct uart16550 *uart)
{
    uint8_t value = modem_lines(uart) | uart->modem_delta;

    uart->modem_delta = 0;
    return value;
}

static uint8_t read_line_status(struct uart16550 *uart)
{
    uint8_t value = LSR_TRANSMITTER_EMPTY;

    if (uart->line.used)
        value |= LSR_DATA_READY;
    if (uart->overrun)
        value |= LSR_OVERRUN;
    uart->overrun = false;
    return value;
}

static void write_interrupt_enable(struct uart16550 *uart, uint8_t value)
{
    /* THR is empty whenever a vCPU can ask, and asking anew tells so anew. */
    if (value & ~uart->interrupt_enable & INTERRUPT_TRANSMIT)
        uart->transmit_pending = true;
    uart->interrupt_enable = value & INTERRUPT_ALL;
}

/*
 * Only the explicit clear bit empties the queue. The chip also does so when the enable bit
 * changes, but Linux changes it after it has raised RTS, which would lose the host's first bytes.
 */
static void write_fifo_control(struct uart16550 *uart, uint8_t value)
{
    uart->fifo_control = value & FCR_ENABLE ? value & FCR_STORED : 0;
    if ((value & FCR_ENABLE) && (value & FCR_CLEAR_RECEIVER))
        serial_line_clear(&uart->line);
}

static uint8_t read_register(struct uart16550 *uart, uint64_t offset)
{
    bool divisor = uart->line_control & LCR_DLAB;

    switch (offset) {
    case REGISTER_DATA:
        return divisor ? uart->divisor_low : serial_line_pop(&uart->line);
    case REGISTER_INTERRUPT_ENABLE:
        return divisor ? uart->divisor_high : uart->interrupt_enable;
    case REGISTER_INTERRUPT_OR_FIFO:
        return read_interrupt_cause(uart);
    case REGISTER_LINE_CONTROL:
        return uart->line_control;
    case REGISTER_MODEM_CONTROL:
        return uart->modem_control;
    case REGISTER_LINE_STATUS:
        return read_line_status(uart);
    case REGISTER_MODEM_STATUS:
        return read_modem_status(uart);
    default:
        return uart->scratch;
    }
}

static void transmit(struct uart16550 *uart, uint8_t byte)
{
    if (!loopback(uart))
        serial_line_send(&uart->line, byte);
    else if (!serial_line_push(&uart->line, byte))
        uart->overrun = true;
    uart->transmit_pending = true;
}

static void write_register(struct uart16550 *uart, uint64_t offset, uint8_t value)
{
    bool divisor = uart->line_control & LCR_DLAB;

    switch (offset) {
    case REGISTER_DATA:
        if (divisor)
            uart->divisor_low = value;
        else
            transmit(uart, value);
        break;
    case REGISTER_INTERRUPT_ENABLE:
        if (divisor)
            uart->divisor_high = value;
        else
            write_interrupt_enable(uart, value);
        break;
    case REGISTER_INTERRUPT_OR_FIFO:
        write_fifo_control(uart, value);
        break;
    case REGISTER_LINE_CONTROL:
        uart->line_control = value;
        break;
    case REGISTER_MODEM_CONTROL:
        write_modem_control(uart, value);
        break;
    case REGISTER_SCRATCH:
        uart->scratch = value;
        break;
    default: /* the status registers are for reading */
        break;
    }
}

/* A wider access is as many byte accesses at ascending ports, as on the ISA bus. */
static void read_ports(void *device, uint64_t offset, void *data, unsigned size)
{
    struct uart16550 *uart = device;
    uint8_t *bytes = data;

    serial_line_begin(&uart->line);
    for (unsigned i = 0; i < size; i++)
        bytes[i] = read_register(uart, offset + i);
    finish_access(uart);
}

static void write_ports(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct uart16550 *uart = device;
    const uint8_t *bytes = data;

    serial_line_begin(&uart->line);
    for (unsigned i = 0; i < size; i++)
        write_register(uart, offset + i, bytes[i]);
    finish_access(uart);
}

const struct bus_ops uart16550_ops = {.read = read_ports, .write = write_ports};

/* --- life --- */

static void set_reset_state(struct uart16550 *uart)
{
    uart->interrupt_enable = 0;
    uart->fifo_control = 0;
    uart->line_control = 0;
    uart->modem_control = 0;
    uart->modem_delta = 0;
    uart->scratch = 0;
    uart->divisor_low = 1; /* 115200 baud, for a driver that asks before it sets */
    uart->divisor_high = 0;
    uart->overrun = false;
    uart->transmit_pending = false;
    uart->asserted = 0;
    serial_line_clear(&uart->line);
}

void uart16550_init(struct uart16550 *uart, struct console *console, struct irq_line *irq)
{
    *uart = (struct uart16550){.irq = irq};
    serial_line_init(&uart->line, console, &line_ops, uart);
    set_reset_state(uart);
}

void uart16550_destroy(struct uart16550 *uart)
{
    serial_line_destroy(&uart->line);
}

void uart16550_reset(struct uart16550 *uart)
{
    serial_line_begin(&uart->line);
    set_reset_state(uart);
    finish_access(uart);
}

void uart16550_save(struct uart16550 *uart, struct state_writer *writer)
{
    serial_line_begin(&uart->line);
    state_begin(writer, "uart16550", 1);
    state_put_u8(writer, uart->interrupt_enable);
    state_put_u8(writer, uart->fifo_control);
    state_put_u8(writer, uart->line_control);
    state_put_u8(writer, uart->modem_control);
    state_put_u8(writer, uart->modem_delta);
    state_put_u8(writer, uart->scratch);
    state_put_u8(writer, uart->divisor_low);
    state_put_u8(writer, uart->divisor_high);
    state_put_u8(writer, uart->overrun);
    state_put_u8(writer, uart->transmit_pending);
    serial_line_save(&uart->line, writer);
    state_end(writer);
    serial_line_finish(&uart->line);
}

/* What the interrupt controller saw is in its own state, so conditions that hold are no edges. */
void uart16550_restore(struct uart16550 *uart, struct state_reader *reader)
{
    serial_line_begin(&uart->line);
    set_reset_state(uart);
    state_enter(reader, "uart16550", 1);
    uart->interrupt_enable = state_get_u8(reader) & INTERRUPT_ALL;
    uart->fifo_control = state_get_u8(reader) & FCR_STORED;
    uart->line_control = state_get_u8(reader);
    uart->modem_control = state_get_u8(reader) & MCR_ALL;
    uart->modem_delta = state_get_u8(reader) & 0x0f;
    uart->scratch = state_get_u8(reader);
    uart->divisor_low = state_get_u8(reader);
    uart->divisor_high = state_get_u8(reader);
    uart->overrun = state_get_u8(reader);
    uart->transmit_pending = state_get_u8(reader);
    serial_line_restore(&uart->line, reader);
    state_leave(reader);
    if (state_failed(reader))
        set_reset_state(uart);
    uart->asserted = causes(uart);
    finish_access(uart);
}
