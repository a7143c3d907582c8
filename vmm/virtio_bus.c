/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_bus.h"

#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "vmm/board.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct virtio_environment environment(struct machine *machine)
{
    return (struct virtio_environment){
        .memory = &machine->memory,
        .loop = &machine->loop,
        .log = &machine->log,
    };
}

/* Takes over `device`, on error too. */
static int attach(struct machine *machine, struct virtio_device *device, struct err *err)
{
    struct machine_virtio *virtio = &machine->virtio[machine->virtio_count];
    uint32_t gsi;
    int rc = board_virtio_slot(machine->virtio_count, &virtio->window, &gsi, err);

    if (rc == 0)
        rc = virtio_mmio_open(&virtio->transport, device, gsi, err);
    if (rc) {
        virtio_device_destroy(device);
        return rc;
    }
    virtio->device = device;
    machine->virtio_count++;
    return bus_add(&machine->mmio, virtio->window, VIRTIO_MMIO_WINDOW, &virtio_mmio_ops,
                   &virtio->transport, err);
}

static int add_disk(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_disk *disk = &machine->config.disks[index];
    const struct disk_options options = {.path = disk->path, .read_only = disk->read_only};
    const struct virtio_blk_options blk = {.serial = disk->serial};
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc = disk_open(&machine->disks[index], &options, err);

    if (rc == 0)
        rc = virtio_blk_create(&device, &env, &blk, machine->disks[index], err);
    return rc ?: attach(machine, device, err);
}

static void resize_console(struct loop_source *source, uint32_t events)
{
    struct machine *machine =
        (struct machine *)((char *)source - offsetof(struct machine, resize));
    uint32_t size = atomic_load(&machine->console_size);
    eventfd_t count;

    (void)events;
    eventfd_read(source->fd, &count);
    virtio_console_resize(machine->virtio_console, (uint16_t)(size >> 16), (uint16_t)size);
}

static int watch_resizes(struct machine *machine, struct err *err)
{
    int rc;

    machine->resize.ready = resize_console;
    machine->resize.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = machine->resize.fd < 0 ? -errno : loop_watch(&machine->loop, &machine->resize, EPOLLIN);
    return rc ? err_sys(err, rc, "cannot watch the size of the console") : 0;
}

static int add_console(struct machine *machine, struct err *err)
{
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc;

    if (machine->config.console != HUSK_CONSOLE_VIRTIO)
        return 0;
    rc = virtio_console_create(&device, &env, &machine->console, err);
    if (rc == 0)
        rc = attach(machine, device, err);
    if (rc == 0)
        machine->virtio_console = device;
    return rc ?: watch_resizes(machine, err);
}

static int add_rng(struct machine *machine, struct err *err)
{
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc = virtio_rng_create(&device, &env, err);

    return rc ?: attach(machine, device, err);
}

int virtio_bus_create(struct machine *machine, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < machine->config.disk_count && rc == 0; i++)
        rc = add_disk(machine, i, err);
    if (rc == 0)
        rc = add_console(machine, err);
    if (rc == 0)
        rc = add_rng(machine, err);
    return rc;
}

static int connect(struct machine *machine, const struct machine_virtio *virtio, struct err *err)
{
    const struct virtio_mmio *transport = &virtio->transport;
    uint64_t notify = virtio->window + VIRTIO_MMIO_NOTIFY_OFFSET;
    int rc = vm_connect_irq(&machine->vm, &transport->irq, err);

    for (unsigned queue = 0; queue < virtio_mmio_queue_count(transport) && rc == 0; queue++)
        rc = vm_add_ioeventfd(&machine->vm, notify, queue,
                              virtio_mmio_queue_notify_fd(transport, queue), err);
    return rc;
}

int virtio_bus_connect(struct machine *machine, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < machine->virtio_count && rc == 0; i++)
        rc = connect(machine, &machine->virtio[i], err);
    return rc;
}

void virtio_bus_destroy(struct machine *machine)
{
    while (machine->virtio_count > 0) {
        struct machine_virtio *virtio = &machine->virtio[--machine->virtio_count];

        virtio_mmio_close(&virtio->transport);
        virtio_device_destroy(virtio->device);
    }
    if (machine->resize.fd >= 0)
        close(machine->resize.fd);
    for (unsigned i = 0; i < MACHINE_VIRTIO_MAX; i++)
        disk_close(machine->disks[i]);
}
