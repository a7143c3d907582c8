/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without a guest: memory, a loop that runs when it is told to, and a virtio driver that
 * talks to a device through virtio-mmio registers and through rings in that memory. It builds
 * whatever chain it is asked for, good or bad.
 */
#ifndef HUSK_TESTS_MOCK_DRIVER_H
#define HUSK_TESTS_MOCK_DRIVER_H

#include "core/log.h"
#include "core/loop.h"
#include "core/memory.h"
#include "devices/virtio/device.h"
#include "devices/virtio/mmio.h"

#include <linux/virtio_mmio.h>
#include <stdbool.h>
#include <stdint.h>

#define MOCK_MEMORY_BASE 0x100000ull
#define MOCK_MEMORY_SIZE 0x400000ull
#define MOCK_QUEUES_MAX 2u

/* Where mock_ring_place() puts the rings, and where buffers begin. */
#define MOCK_RINGS MOCK_MEMORY_BASE
#define MOCK_BUFFERS (MOCK_MEMORY_BASE + 0x40000)

struct mock_guest {
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

/* One descriptor, as the driver writes it. */
struct mock_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/* The driver's side of a ring. */
struct mock_ring {
    const struct mock_guest *guest;
    uint16_t size;
    uint64_t descriptors, avail, used; /* guest-physical */
    uint16_t avail_idx;                /* next entry that the driver fills */
    uint16_t used_idx;                 /* next entry that the driver takes */
    uint16_t next_descriptor;
};

/* Places ring number `index` in memory, zeroed. */
void mock_ring_place(struct mock_ring *ring, const struct mock_guest *guest, unsigned index,
                     uint16_t size);
void mock_ring_setup(const struct mock_ring *ring, struct virtq_setup *setup);

void mock_set_descriptor(const struct mock_ring *ring, uint16_t index,
                         const struct mock_descriptor *descriptor);
void mock_set_table_entry(const struct mock_guest *guest, uint64_t table, unsigned index,
                          const struct mock_descriptor *descriptor);

/* Makes `head` available. */
void mock_offer(struct mock_ring *ring, uint16_t head);

/* Chains `count` buffers (only VRING_DESC_F_WRITE counts in their flags), offers them: the head. */
uint16_t mock_add(struct mock_ring *ring, const struct mock_descriptor *buffers, unsigned count);

/* Takes a used entry; false when there is none. */
bool mock_take(struct mock_ring *ring, uint32_t *head, uint32_t *length);

uint16_t mock_used_idx(const struct mock_ring *ring);
uint16_t mock_used_flags(const struct mock_ring *ring);
uint16_t mock_avail_event(const struct mock_ring *ring);
void mock_set_used_event(const struct mock_ring *ring, uint16_t value);
void mock_set_avail_flags(const struct mock_ring *ring, uint16_t flags);
void mock_set_avail_idx(const struct mock_ring *ring, uint16_t idx);

/* A driver of one device over mmio. */
struct mock_driver {
    struct mock_guest *guest;
    struct virtio_device *device;
    struct virtio_mmio mmio;
    struct mock_ring rings[MOCK_QUEUES_MAX];
};

/* Takes over nothing: the device stays the test's. */
void mock_driver_open(struct mock_driver *driver, struct mock_guest *guest,
                      struct virtio_device *device);
void mock_driver_close(struct mock_driver *driver);

uint32_t mock_read32(struct mock_driver *driver, uint64_t offset);
void mock_write32(struct mock_driver *driver, uint64_t offset, uint32_t value);

/* Status register, and its steps. */
uint32_t mock_status(struct mock_driver *driver);
uint64_t mock_offered(struct mock_driver *driver);
void mock_accept(struct mock_driver *driver, uint64_t features);
/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK; true if that stuck. */
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
#define MOCK_ALIVE                                                                                \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |         \
     VIRTIO_CONFIG_S_DRIVER_OK)

#endif
