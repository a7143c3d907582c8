/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz input as a script of what a hostile driver does to one device: registers, descriptors,
 * memory, kicks, resets and (damaged) snapshots. tests/fuzz/seeds/virtio_script.py writes such
 * scripts. What runs out of input reads as zeros.
 */
#ifndef HUSK_TESTS_FUZZ_VIRTIO_SCRIPT_H
#define HUSK_TESTS_FUZZ_VIRTIO_SCRIPT_H

#include "support/mock_driver.h"

#include <stddef.h>
#include <string.h>

struct script {
    const uint8_t *bytes;
    size_t left;
};

enum {
    STEP_START,      /* u32 features, u8 log2 of the queue size | packed << 7 */
    STEP_REGISTER,   /* u8 word, u32 value */
    STEP_ACCESS,     /* u16 offset, u8 log2 of the size | write << 7, u64 value */
    STEP_DESCRIPTOR, /* u8 queue, u8 index, u8 how, address, length, u8 flags, u8 next */
    STEP_OFFER,      /* u8 queue, u8 head (packed: whichever descriptor is next) */
    STEP_AVAIL_IDX,  /* u8 queue, u16 idx (packed: nothing) */
    STEP_MEMORY,     /* u16 place, u8 count, bytes */
    STEP_KICK,       /* u8 queue */
    STEP_SNAPSHOT,   /* u16 position, u8 damage */
    STEP_HOST,       /* u8: for the target */
    STEP_COUNT,
};

static inline uint64_t script_get(struct script *script, unsigned size)
{
    uint64_t value = 0;

    if (size > script->left)
        size = (unsigned)script->left;
    if (size > 0)
        memcpy(&value, script->bytes, size);
    script->bytes += size;
    script->left -= size;
    return value;
}

static inline void script_start(struct mock_driver *driver, struct script *script)
{
    uint64_t features = script_get(script, 4) | MOCK_VERSION_1;
    uint8_t ring = (uint8_t)script_get(script, 1);
    uint16_t size = (uint16_t)(1u << (ring & 0x7f) % 9);

    driver->guest->packed = ring & 0x80;
    mock_negotiate(driver, features & mock_offered(driver));
    for (unsigned i = 0; i < driver->device->queue_count; i++)
        mock_queue(driver, i, size);
    mock_driver_ok(driver);
}

/* Below 0x8000 the BAR's window, above it the device's and its neighbours' configuration space. */
static inline void script_access_pci(struct mock_driver *driver, uint64_t offset, unsigned size,
                                     bool write, uint64_t value)
{
    const struct bus_ops *ops = offset < 0x8000 ? &pci_window_ops : &pci_ecam_ops;
    struct pci_bus *bus = &driver->pci.bus;

    if (offset + size > 0x10000)
        return;
    if (write)
        ops->write(bus, offset, &value, size);
    else
        ops->read(bus, offset, &value, size);
}

static inline void script_access(struct mock_driver *driver, struct script *script)
{
    uint64_t offset = script_get(script, 2);
    uint8_t how = (uint8_t)script_get(script, 1);
    uint64_t value = script_get(script, 8);
    unsigned size = 1u << how % 4;

    if (driver->on_pci) {
        script_access_pci(driver, offset, size, how & 0x80, value);
        return;
    }
    offset %= VIRTIO_MMIO_WINDOW - size + 1;
    if (how & 0x80)
        virtio_mmio_ops.write(&driver->mmio, offset, &value, size);
    else
        virtio_mmio_ops.read(&driver->mmio, offset, &value, size);
}

/* `how`: bit 0 takes a raw address instead of a place in the buffers, bit 1 a 4-byte length. */
static inline void script_descriptor(struct mock_driver *driver, struct mock_ring *ring,
                                     struct script *script)
{
    uint16_t index = (uint16_t)(script_get(script, 1) % ring->size);
    uint8_t how = (uint8_t)script_get(script, 1);
    struct mock_descriptor descriptor;

    (void)driver;
    descriptor.address = how & 1 ? script_get(script, 8)
                                 : MOCK_BUFFERS + script_get(script, 2) * 16;
    descriptor.length = (uint32_t)script_get(script, how & 2 ? 4 : 2);
    descriptor.flags = (uint16_t)script_get(script, 1);
    descriptor.next = (uint16_t)script_get(script, 1);
    mock_set_descriptor(ring, index, &descriptor);
}

static inline void script_memory(struct mock_driver *driver, struct script *script)
{
    uint64_t place = MOCK_BUFFERS + script_get(script, 2) * 16;
    size_t count = script_get(script, 1);

    if (count > script->left)
        count = script->left;
    if (count > 0)
        memcpy(mock_at(driver->guest, place, count), script->bytes, count);
    script->bytes += count;
    script->left -= count;
}

static inline void script_snapshot(struct mock_driver *driver, struct script *script)
{
    size_t position = script_get(script, 2);
    uint8_t damage = (uint8_t)script_get(script, 1);
    struct state_writer writer = {0};
    struct state_reader reader;

    mock_save(driver, &writer);
    if (writer.failed)
        __builtin_trap();
    mock_reset(driver);
    writer.data[position % writer.size] ^= damage;
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    if (mock_restore(driver, &reader, NULL) != 0) {
        if (!damage)
            __builtin_trap();
        mock_reset(driver);
    }
    state_writer_free(&writer);
}

/* Runs the whole script; `host`, which may be NULL, gets the argument of STEP_HOST. */
static inline void script_run(struct mock_driver *driver, const uint8_t *bytes, size_t size,
                              void (*host)(void *context, uint8_t argument), void *context)
{
    struct script script = {bytes, size};

    for (unsigned i = 0; i < MOCK_QUEUES_MAX; i++)
        mock_ring_place(&driver->rings[i], driver->guest, i, 16);
    while (script.left > 0) {
        uint8_t step = (uint8_t)(script_get(&script, 1) % STEP_COUNT);
        struct mock_ring *ring = &driver->rings[0];
        uint8_t queue = 0;

        if (step == STEP_DESCRIPTOR || step == STEP_OFFER || step == STEP_AVAIL_IDX) {
            queue = (uint8_t)script_get(&script, 1);
            ring = &driver->rings[queue % MOCK_QUEUES_MAX];
        }
        switch (step) {
        case STEP_START:
            script_start(driver, &script);
            break;
        case STEP_REGISTER: {
            uint64_t offset = script_get(&script, 1) % (VIRTIO_MMIO_WINDOW / 4) * 4;

            mock_write32(driver, offset, (uint32_t)script_get(&script, 4));
            break;
        }
        case STEP_ACCESS:
            script_access(driver, &script);
            break;
        case STEP_DESCRIPTOR:
            script_descriptor(driver, ring, &script);
            break;
        case STEP_OFFER:
            mock_offer(ring, (uint16_t)script_get(&script, 1));
            break;
        case STEP_AVAIL_IDX:
            if (!ring->packed)
                mock_set_avail_idx(ring, (uint16_t)script_get(&script, 2));
            break;
        case STEP_MEMORY:
            script_memory(driver, &script);
            break;
        case STEP_KICK:
            mock_kick(driver, (unsigned)script_get(&script, 1));
            break;
        case STEP_SNAPSHOT:
            script_snapshot(driver, &script);
            break;
        case STEP_HOST: {
            uint8_t argument = (uint8_t)script_get(&script, 1);

            if (host)
                host(context, argument);
            break;
        }
        }
    }
    mock_settle(driver->guest);
    mock_write32(driver, VIRTIO_MMIO_STATUS, 0);
}

#endif
