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
    uint8_t conditions = (uint8_t)((uart->queue_used ? INTERRUPT_RECEIVE : 0) |
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
    if ((uart->fifo_control & FCR_ENABLE) && uart->queue_used < level)
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

/* --- the receive queue and the host's flow control --- */

static uint8_t pop(struct uart16550 *uart)
{
    uint8_t byte;

    if (uart->queue_used == 0)
        return 0;
    byte = uart->queue[uart->queue_head];
    uart->queue_head = (uint16_t)((uart->queue_head + 1u) % UART16550_QUEUE_SIZE);
    uart->queue_used--;
    return byte;
}

/* The free part of the queue that lies in one piece; 0 when it is full. */
static size_t free_piece(const struct uart16550 *uart, size_t *at)
{
    size_t room = UART16550_QUEUE_SIZE - uart->queue_used;

    *at = (uart->queue_head + uart->queue_used) % UART16550_QUEUE_SIZE;
    return room < UART16550_QUEUE_SIZE - *at ? room : UART16550_QUEUE_SIZE - *at;
}

static void push_loopback(struct uart16550 *uart, uint8_t byte)
{
    size_t at;

    if (free_piece(uart, &at) == 0) {
        uart->overrun = true;
        return;
    }
    uart->queue[at] = byte;
    uart->queue_used++;
}

/* Input that was stopped by a full queue starts again when the guest has emptied it. */
static bool should_want_input(const struct uart16550 *uart)
{
    bool ready = (uart->modem_control & MCR_RTS) && !loopback(uart);
    unsigned limit = uart->wants_input ? UART16550_QUEUE_SIZE : 1;

    return ready && uart->queue_used < limit;
}

/* Tells the console what should_want_input() says. Loop's thread, without the lock. */
static void update_flow(void *device)
{
    struct uart16550 *uart = device;
    bool wanted, changed;

    pthread_mutex_lock(&uart->lock);
    wanted = should_want_input(uart);
    changed = wanted != uart->wants_input;
    uart->wants_input = wanted;
    pthread_mutex_unlock(&uart->lock);
    if (changed)
        console_want_input(uart->console, wanted);
}

/*
 * Ends a vCPU's access. The loop's thread takes the lock in its own callbacks, so it is asked
 * only after the lock is given back.
 */
static void finish_access(struct uart16550 *uart)
{
    bool flow_changed;

    update_interrupt(uart);
    flow_changed = should_want_input(uart) != uart->wants_input;
    pthread_mutex_unlock(&uart->lock);
    if (flow_changed)
        loop_call(uart->console->loop, update_flow, uart);
}

static void receive(void *device)
{
    struct uart16550 *uart = device;
    size_t at, room, got;

    pthread_mutex_lock(&uart->lock);
    do {
        room = free_piece(uart, &at);
        got = room ? console_read(uart->console, uart->queue + at, room) : 0;
        uart->queue_used = (uint16_t)(uart->queue_used + got);
    } while (got == room && room);
    update_interrupt(uart);
    pthread_mutex_unlock(&uart->lock);
    update_flow(uart);
}

static const struct console_front_end front_end = {.input = receive};

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

    if (uart->queue_used)
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
        uart->queue_used = 0;
}

static uint8_t read_register(struct uart16550 *uart, uint64_t offset)
{
    bool divisor = uart->line_control & LCR_DLAB;

    switch (offset) {
    case REGISTER_DATA:
        return divisor ? uart->divisor_low : pop(uart);
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

/* Sends one byte to the host, during which the lock is not held. */
static void transmit(struct uart16550 *uart, uint8_t byte)
{
    if (loopback(uart)) {
        push_loopback(uart, byte);
    } else {
        pthread_mutex_unlock(&uart->lock);
        console_write_all(uart->console, &byte, 1);
        pthread_mutex_lock(&uart->lock);
    }
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

    pthread_mutex_lock(&uart->lock);
    for (unsigned i = 0; i < size; i++)
        bytes[i] = read_register(uart, offset + i);
    finish_access(uart);
}

static void write_ports(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct uart16550 *uart = device;
    const uint8_t *bytes = data;

    pthread_mutex_lock(&uart->lock);
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
    uart->queue_head = 0;
    uart->queue_used = 0;
}

void uart16550_init(struct uart16550 *uart, struct console *console, struct irq_line *irq)
{
    *uart = (struct uart16550){.console = console, .irq = irq};
    pthread_mutex_init(&uart->lock, NULL);
    set_reset_state(uart);
    console_attach(console, &front_end, uart);
}

void uart16550_destroy(struct uart16550 *uart)
{
    pthread_mutex_destroy(&uart->lock);
}

void uart16550_reset(struct uart16550 *uart)
{
    pthread_mutex_lock(&uart->lock);
    set_reset_state(uart);
    finish_access(uart);
}

void uart16550_save(struct uart16550 *uart, struct state_writer *writer)
{
    pthread_mutex_lock(&uart->lock);
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
    state_put_u16(writer, uart->queue_used);
    for (unsigned i = 0; i < uart->queue_used; i++)
        state_put_u8(writer, uart->queue[(uart->queue_head + i) % UART16550_QUEUE_SIZE]);
    state_end(writer);
    pthread_mutex_unlock(&uart->lock);
}

/* What the interrupt controller saw is in its own state, so conditions that hold are no edges. */
void uart16550_restore(struct uart16550 *uart, struct state_reader *reader)
{
    uint16_t used;

    pthread_mutex_lock(&uart->lock);
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
    used = state_get_u16(reader);
    if (used > UART16550_QUEUE_SIZE)
        reader->failed = true;
    else
        state_get_bytes(reader, uart->queue, used);
    state_leave(reader);
    if (state_failed(reader))
        set_reset_state(uart);
    else
        uart->queue_used = used;
    uart->asserted = causes(uart);
    finish_access(uart);
}
