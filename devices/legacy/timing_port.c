/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/legacy/timing_port.h"

static void read_zero(void *device, uint64_t offset, void *data, unsigned size)
{
    (void)device;
    (void)offset;
    bus_set_value(data, size, 0);
}

static void write_mark(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct timing_port *port = device;

    (void)offset;
    port->mark(port->context, (uint8_t)bus_value(data, size));
}

const struct bus_ops timing_port_ops = {.read = read_zero, .write = write_mark};

void timing_port_init(struct timing_port *port, void (*mark)(void *context, uint8_t phase),
                      void *context)
{
    *port = (struct timing_port){.mark = mark, .context = context};
}

void timing_port_reset(struct timing_port *port)
{
    (void)port;
}

void timing_port_save(const struct timing_port *port, struct state_writer *writer)
{
    (void)port;
    state_begin(writer, "timing_port", 1);
    state_end(writer);
}

void timing_port_restore(struct timing_port *port, struct state_reader *reader)
{
    (void)port;
    state_enter(reader, "timing_port", 1);
    state_leave(reader);
}
