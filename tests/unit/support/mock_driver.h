/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without a guest: memory, a loop that runs when it is told to, and a virtio driver that
 * talks to a device through virtio-mmio registers and through rings in that memory. It builds
 * whatever chain it is asked for, good or bad.
 *
 * With HUSK_TEST_BUS=pci in the environment the device is on PCI, and the registers of virtio-mmio are
 * translated (support/mock_pci.h): so that every test of a device is one over both transports.
 */
#ifndef HUSK_TESTS_MOCK_DRIVER_H
#define HUSK_TESTS_MOCK_DRIVER_H

#include "core/log.h"
#include "core/loop.h"
#include "core/memory.h"
#include "devices/virtio/device.h"
#include "devices/virtio/mmio.h"
#include "support/mock_pci.h"
#include "support/mock_ring.h"

#include <linux/virtio_mmio.h>
#include <stdbool.h>
#include <stdint.h>

#define MOCK_MEMORY_BASE 0x100000ull
#define MOCK_MEMORY_SIZE 0x400000ull
#define MOCK_QUEUES_MAX 5u

/* Where mock_ring_place() puts the rings, and where buffers begin. */
#define MOCK_RINGS MOCK_MEMORY_BASE
#define MOCK_BUFFERS (MOCK_MEMORY_BASE + 0x40000)

/*
 * Rings are split, or packed if HUSK_TEST_RINGS=packed is in the environment: the same tests run
 * with both. A test of its own mind sets `packed` before it makes devices and rings.
 */
struct mock_guest {
    bool packed;
    struct guest_memory memory;
    struct loop loop;
    struct log log;
    unsigned log_lines;
    char last_log_line[512];
    struct virtio_environment environment;
};

void mock_guest_open(struct mock_guest *guest);
void mock_guest_close(struct mock_guest *guest);

/* Host address of guest memory; the test fails if it does not exist. */
void *mock_at(const struct mock_guest *guest, uint64_t address, uint64_t size);

/* Serves what is ready now, once; returns how many sources were. */
unsigned mock_turn(struct mock_guest *guest);

/* Serves until nothing is ready, for at most 10000 turns. */
void mock_settle(struct mock_guest *guest);

/* A driver of one device. */
struct mock_driver {
    struct mock_guest *guest;
    struct virtio_device *device;
    bool on_pci;
    struct virtio_mmio mmio; /* one of the two */
    struct mock_pci pci;
    struct mock_ring rings[MOCK_QUEUES_MAX];
};

/* Takes over nothing: the device stays the test's. */
void mock_driver_open(struct mock_driver *driver, struct mock_guest *guest,
                      struct virtio_device *device);
void mock_driver_open_pci(struct mock_driver *driver, struct mock_guest *guest,
                          struct virtio_device *device);
void mock_driver_close(struct mock_driver *driver);

uint32_t mock_read32(struct mock_driver *driver, uint64_t offset);
void mock_write32(struct mock_driver *driver, uint64_t offset, uint32_t value);

/* Accesses to the configuration space of any width. */
void mock_read_config(struct mock_driver *driver, uint64_t offset, void *data, unsigned size);
void mock_write_config(struct mock_driver *driver, uint64_t offset, const void *data,
                       unsigned size);

/* A snapshot of the transport and its device. */
void mock_save(struct mock_driver *driver, struct state_writer *writer);
int mock_restore(struct mock_driver *driver, struct state_reader *reader, struct err *err);

/* Writes 0 to the status register, wherever the guest has put it. */
void mock_reset(struct mock_driver *driver);

/* Status register, and its steps. */
uint32_t mock_status(struct mock_driver *driver);
uint64_t mock_offered(struct mock_driver *driver);
void mock_accept(struct mock_driver *driver, uint64_t features);
/* Reset, ACKNOWLEDGE, DRIVER, features (and the rings'), FEATURES_OK; true if that stuck. */
bool mock_negotiate(struct mock_driver *driver, uint64_t features);
/* Places ring `index` and writes it to the registers, ready. */
void mock_queue(struct mock_driver *driver, unsigned index, uint16_t size);
void mock_queue_registers(struct mock_driver *driver, unsigned index, uint32_t size,
                          uint64_t descriptors, uint64_t avail, uint64_t used);
void mock_driver_ok(struct mock_driver *driver);

/* All of it: features, every queue of the device at `size`, DRIVER_OK, and the loop settled. */
void mock_start(struct mock_driver *driver, uint64_t features, uint16_t size);

/* Kicks as an ioeventfd would, and lets the loop settle. */
void mock_kick(struct mock_driver *driver, unsigned queue);

/* Whether an interrupt came since the last call; acknowledges it. `causes` may be NULL. */
bool mock_interrupted(struct mock_driver *driver, uint32_t *causes);

#define MOCK_FEATURE(bit) (UINT64_C(1) << (bit))
#define MOCK_VERSION_1 MOCK_FEATURE(VIRTIO_F_VERSION_1)
#define MOCK_INDIRECT MOCK_FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define MOCK_EVENT_IDX MOCK_FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define MOCK_PACKED MOCK_FEATURE(VIRTIO_F_RING_PACKED)
#define MOCK_ALIVE                                                                                \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |         \
     VIRTIO_CONFIG_S_DRIVER_OK)

#endif
