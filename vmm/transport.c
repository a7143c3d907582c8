/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/transport.h"

#include "vmm/board.h"

/* --- virtio-mmio: a window and a gsi for each device, wired once --- */

static int open_mmio(struct machine *machine, struct machine_virtio *virtio, struct err *err)
{
    uint32_t gsi;
    int rc = board_virtio_slot(machine->virtio_count, &virtio->window, &gsi, err);

    if (rc == 0)
        rc = virtio_mmio_open(&virtio->mmio, virtio->device, gsi, err);
    if (rc)
        return rc;
    rc = bus_add(&machine->mmio, virtio->window, VIRTIO_MMIO_WINDOW, &virtio_mmio_ops,
                 &virtio->mmio, err);
    if (rc)
        virtio_mmio_close(&virtio->mmio);
    return rc;
}

static int connect_mmio(struct machine *machine, struct machine_virtio *virtio, struct err *err)
{
    const struct virtio_mmio *transport = &virtio->mmio;
    uint64_t notify = virtio->window + VIRTIO_MMIO_NOTIFY_OFFSET;
    int rc = vm_connect_irq(&machine->vm, &transport->irq, err);

    for (unsigned queue = 0; queue < virtio_mmio_queue_count(transport) && rc == 0; queue++)
        rc = vm_add_ioeventfd(&machine->vm, notify, queue,
                              virtio_mmio_queue_notify_fd(transport, queue), err);
    return rc;
}

static void close_mmio(struct machine_virtio *virtio)
{
    virtio_mmio_close(&virtio->mmio);
}

/* --- virtio-pci: a function on bus 0, wired by what the guest writes --- */

static void wiring_failed(void *context, const struct err *err)
{
    machine_fail(context, err);
}

static int prepare_pci(struct machine *machine, struct err *err)
{
    const struct wiring_sink sink = {wiring_failed, machine};

    return wiring_open(&machine->wiring, &machine->vm, machine->host, &sink, err);
}

static int open_pci(struct machine *machine, struct machine_virtio *virtio, struct err *err)
{
    const struct wires wires = wiring_wires(&machine->wiring);
    uint32_t first_gsi;
    int rc = wiring_claim_gsis(&machine->wiring, virtio_pci_vector_count(virtio->device),
                               &first_gsi, err);

    return rc ?: virtio_pci_open(&virtio->pci, virtio->device, board_pci_bus(machine->board),
                                 first_gsi, &wires, err);
}

static void close_pci(struct machine_virtio *virtio)
{
    virtio_pci_close(&virtio->pci);
}

/* --- */

const struct transport *machine_transport(const struct machine *machine)
{
    static const struct transport transports[] = {
        [HUSK_BUS_MMIO] = {.open = open_mmio, .connect = connect_mmio, .close = close_mmio},
        [HUSK_BUS_PCI] = {.prepare = prepare_pci, .open = open_pci, .close = close_pci},
    };

    return &transports[machine->config.bus];
}
