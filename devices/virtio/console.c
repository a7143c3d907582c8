/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio console: moves bytes between two queues and a host console, without ever waiting.
 *
 *     input:  read only while the guest has buffers for it; without them the host's pipe fills up
 *     output: a chain that the host did not take whole stays on the ring, and `output_offset`
 *             remembers how much of it is done; without room the guest's ring fills up
 */
#include "devices/virtio/console.h"

#include "core/iov.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>

enum { QUEUE_INPUT, QUEUE_OUTPUT, QUEUE_COUNT };

#define QUEUE_SIZE 64u

/* Output of one turn: a host that takes all of a 4 GiB chain keeps nothing else waiting for it. */
#define TURN_BYTES ((size_t)1 << 20)
#define INPUT_MAX (1u << 20) /* into one chain */

struct virtio_console {
    struct virtio_device device; /* first member: the two convert to each other */
    struct console *console;
    uint64_t output_offset; /* bytes of the ring's next output chain that were written already */
    uint16_t columns;
    uint16_t rows;
};

/* --- input: host to guest --- */

/* Reads into the chain what the host has now, up to INPUT_MAX. */
static uint32_t read_into(struct console *console, const struct virtq_chain *chain)
{
    uint32_t total = 0;

    for (unsigned i = 0; i < chain->writable_count && total < INPUT_MAX; i++) {
        const struct iovec *piece = &virtq_writable(chain)[i];
        size_t wanted = piece->iov_len < INPUT_MAX - total ? piece->iov_len : INPUT_MAX - total;
        size_t got = console_read(console, piece->iov_base, wanted);

        total += (uint32_t)got;
        if (got < wanted)
            break;
    }
    return total;
}

/*
 * Moves input into the guest's buffers. The host's descriptor stays watched exactly while there
 * are buffers left: else a guest that does not read would make the loop spin.
 */
static void move_input(struct virtio_console *self)
{
    struct virtio_queue *queue = &self->device.queues[QUEUE_INPUT];
    struct virtio_batch batch;
    struct virtq_chain chain;
    bool drained = false;

    virtio_batch_begin(&batch, queue);
    while (!drained && virtio_batch_next(&batch, &chain)) {
        uint32_t read = read_into(self->console, &chain);

        drained = read == 0 && chain.writable_size > 0;
        if (drained)
            virtio_batch_undo(&batch, chain.token);
        else
            virtio_queue_push(queue, chain.token, read);
    }
    console_want_input(self->console, drained);
    virtio_queue_interrupt(queue);
}

static void input_ready(void *context)
{
    move_input(context);
}

/* --- output: guest to host --- */

/* Writes the rest of the chain, up to *room bytes of it; true when all of it is written. */
static bool write_out(struct virtio_console *self, const struct virtq_chain *chain, size_t *room)
{
    uint64_t skip = self->output_offset;

    for (unsigned i = 0; i < chain->readable_count; i++) {
        const struct iovec *piece = &virtq_readable(chain)[i];
        size_t left, written;

        if (skip >= piece->iov_len) {
            skip -= piece->iov_len;
            continue;
        }
        left = piece->iov_len - skip;
        written = console_write(self->console, (const char *)piece->iov_base + skip,
                                left < *room ? left : *room);
        self->output_offset += written;
        *room -= written;
        if (written < left)
            return false;
        skip = 0;
    }
    self->output_offset = 0;
    return true;
}

static void move_output(struct virtio_console *self)
{
    struct virtio_queue *queue = &self->device.queues[QUEUE_OUTPUT];
    struct virtio_batch batch;
    struct virtq_chain chain;
    size_t room = TURN_BYTES;

    virtio_batch_begin(&batch, queue);
    while (virtio_batch_next(&batch, &chain)) {
        if (!write_out(self, &chain, &room)) {
            virtio_batch_undo(&batch, chain.token);
            if (room == 0)
                virtio_queue_kick(queue); /* the next turn goes on; otherwise output_ready() */
            break;
        }
        virtio_queue_push(queue, chain.token, 0);
    }
    virtio_queue_interrupt(queue);
}

static void output_ready(void *context)
{
    move_output(context);
}

static const struct console_front_end front_end = {input_ready, output_ready};

/* --- device --- */

static void notify(struct virtio_device *device, unsigned queue)
{
    if (queue == QUEUE_INPUT)
        move_input((struct virtio_console *)device);
    else
        move_output((struct virtio_console *)device);
}

/* emerg_wr (5.3.4): one character, at any time, even before the driver is ready. */
static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    if (offset == offsetof(struct virtio_console_config, emerg_wr) && size > 0)
        console_write(((struct virtio_console *)device)->console, bytes, 1);
}

static void reset(struct virtio_device *device)
{
    struct virtio_console *self = (struct virtio_console *)device;

    self->output_offset = 0;
    console_want_input(self->console, false);
}

static void save(struct virtio_device *device, struct state_writer *writer)
{
    const struct virtio_console *self = (const struct virtio_console *)device;

    state_begin(writer, "virtio-console", 1);
    state_put_u64(writer, self->output_offset);
    state_put_u16(writer, self->columns);
    state_put_u16(writer, self->rows);
    state_end(writer);
}

static void publish_size(struct virtio_console *self)
{
    struct virtio_console_config config = {
        .cols = htole16(self->columns),
        .rows = htole16(self->rows),
        .max_nr_ports = htole32(1),
    };

    virtio_device_set_config(&self->device, &config, sizeof config);
}

/*
 * Linux looks at the size only when told that it has changed (virtio_console.c, config_work_handler):
 * a size that was set before the driver came is announced once it is here.
 */
static void activate(struct virtio_device *device)
{
    struct virtio_console *self = (struct virtio_console *)device;

    if (self->columns > 0 || self->rows > 0)
        publish_size(self);
}

/* The guest keeps the size that it knew until the host resizes the console again. */
static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    struct virtio_console *self = (struct virtio_console *)device;

    state_enter(reader, "virtio-console", 1);
    self->output_offset = state_get_u64(reader);
    self->columns = state_get_u16(reader);
    self->rows = state_get_u16(reader);
    state_leave(reader);
    if (state_failed(reader))
        return err_set(err, -EINVAL, "virtio-console: the saved state is damaged");
    publish_size(self);
    return 0;
}

static void destroy(struct virtio_device *device)
{
    struct virtio_console *self = (struct virtio_console *)device;

    console_want_input(self->console, false);
    console_attach(self->console, NULL, NULL);
    virtio_device_release(device);
    free(self);
}

static const struct virtio_device_ops ops = {
    .name = "console",
    .device_id = VIRTIO_ID_CONSOLE,
    .activate = activate,
    .notify = notify,
    .write_config = write_config,
    .reset = reset,
    .save = save,
    .restore = restore,
    .destroy = destroy,
};

int virtio_console_create(struct virtio_device **device,
                          const struct virtio_environment *environment, struct console *console,
                          struct err *err)
{
    const struct virtio_queue_options queues[QUEUE_COUNT] = {
        {.size_max = QUEUE_SIZE},
        {.size_max = QUEUE_SIZE},
    };
    const uint64_t features =
        UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE | UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE;
    struct virtio_console *self = calloc(1, sizeof *self);
    int rc;

    if (!self)
        return err_set(err, -ENOMEM, "virtio-console: out of memory");
    rc = virtio_device_init(&self->device, &ops, environment, queues, QUEUE_COUNT, features,
                            err);
    if (rc) {
        free(self);
        return rc;
    }
    self->console = console;
    console_attach(console, &front_end, self);
    publish_size(self);
    *device = &self->device;
    return 0;
}

void virtio_console_resize(struct virtio_device *device, uint16_t columns, uint16_t rows)
{
    struct virtio_console *self = (struct virtio_console *)device;

    if (self->columns == columns && self->rows == rows)
        return;
    self->columns = columns;
    self->rows = rows;
    publish_size(self);
}
