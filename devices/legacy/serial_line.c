/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/legacy/serial_line.h"

/* --- the host's flow control --- */

/* Input that was stopped by a full queue starts again when the guest has emptied it. */
static bool should_want_input(const struct serial_line *line)
{
    unsigned limit = line->wants_input ? SERIAL_LINE_QUEUE_SIZE : 1;

    return line->ops->ready(line->uart) && line->used < limit;
}

/* Tells the console what should_want_input() says. Loop's thread, without the lock. */
static void update_flow(void *argument)
{
    struct serial_line *line = argument;
    bool wanted, changed;

    pthread_mutex_lock(&line->lock);
    wanted = should_want_input(line);
    changed = wanted != line->wants_input;
    line->wants_input = wanted;
    pthread_mutex_unlock(&line->lock);
    if (changed)
        console_want_input(line->console, wanted);
}

void serial_line_begin(struct serial_line *line)
{
    pthread_mutex_lock(&line->lock);
}

/* The loop's thread takes the lock in its own callbacks, so it is asked after it is given back. */
void serial_line_finish(struct serial_line *line)
{
    bool flow_changed = should_want_input(line) != line->wants_input;

    pthread_mutex_unlock(&line->lock);
    if (flow_changed)
        loop_call(line->console->loop, update_flow, line);
}

/* --- the queue --- */

uint8_t serial_line_pop(struct serial_line *line)
{
    uint8_t byte;

    if (line->used == 0)
        return 0;
    byte = line->queue[line->head];
    line->head = (uint16_t)((line->head + 1u) % SERIAL_LINE_QUEUE_SIZE);
    line->used--;
    return byte;
}

/* The free part of the queue that lies in one piece; 0 when it is full. */
static size_t free_piece(const struct serial_line *line, size_t *at)
{
    size_t room = SERIAL_LINE_QUEUE_SIZE - line->used;

    *at = (line->head + line->used) % SERIAL_LINE_QUEUE_SIZE;
    return room < SERIAL_LINE_QUEUE_SIZE - *at ? room : SERIAL_LINE_QUEUE_SIZE - *at;
}

bool serial_line_push(struct serial_line *line, uint8_t byte)
{
    size_t at;

    if (free_piece(line, &at) == 0)
        return false;
    line->queue[at] = byte;
    line->used++;
    return true;
}

void serial_line_clear(struct serial_line *line)
{
    line->head = line->used = 0;
}

static void receive(void *argument)
{
    struct serial_line *line = argument;
    size_t at, room, got;

    pthread_mutex_lock(&line->lock);
    do {
        room = free_piece(line, &at);
        got = room ? console_read(line->console, line->queue + at, room) : 0;
        line->used = (uint16_t)(line->used + got);
    } while (got == room && room);
    line->ops->received(line->uart);
    pthread_mutex_unlock(&line->lock);
    update_flow(line);
}

void serial_line_send(struct serial_line *line, uint8_t byte)
{
    pthread_mutex_unlock(&line->lock);
    console_write_all(line->console, &byte, 1);
    pthread_mutex_lock(&line->lock);
}

/* --- life --- */

void serial_line_init(struct serial_line *line, struct console *console,
                      const struct serial_line_ops *ops, void *uart)
{
    static const struct console_front_end front_end = {.input = receive};

    *line = (struct serial_line){.console = console, .ops = ops, .uart = uart};
    pthread_mutex_init(&line->lock, NULL);
    console_attach(console, &front_end, line);
}

void serial_line_destroy(struct serial_line *line)
{
    pthread_mutex_destroy(&line->lock);
}

void serial_line_save(const struct serial_line *line, struct state_writer *writer)
{
    state_put_u16(writer, line->used);
    for (unsigned i = 0; i < line->used; i++)
        state_put_u8(writer, line->queue[(line->head + i) % SERIAL_LINE_QUEUE_SIZE]);
}

void serial_line_restore(struct serial_line *line, struct state_reader *reader)
{
    uint16_t used = state_get_u16(reader);

    serial_line_clear(line);
    if (used > SERIAL_LINE_QUEUE_SIZE) {
        reader->failed = true;
        return;
    }
    state_get_bytes(reader, line->queue, used);
    if (!state_failed(reader))
        line->used = used;
}
