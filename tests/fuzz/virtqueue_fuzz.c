/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring walkers on arbitrary rings: byte 0 is the queue's size, byte 1 its format, features and
 * fate, the rest is the content of the rings' memory. Whatever comes out must lie in memory and be bounded.
 */
#include "support/mock_driver.h"

#include <errno.h>
#include <string.h>

#define REQUIRE(condition)                                                                        \
    do {                                                                                          \
        if (!(condition))                                                                         \
            __builtin_trap();                                                                     \
    } while (0)

#define MEMORY_SIZE 0x4000ull

/* Byte 1. */
#define INDIRECT 1u
#define EVENT_IDX 2u
#define KEEP_IN_FLIGHT 4u
#define PACKED 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const struct virtq_chain *chain, const uint8_t *host)
{
    unsigned count = chain->readable_count + chain->writable_count;
    uint64_t readable = 0, writable = 0;

    REQUIRE(count <= VIRTQ_SIZE_MAX);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *base = chain->iov[i].iov_base;
        size_t length = chain->iov[i].iov_len;

        REQUIRE(length > 0 && base >= host && length <= MEMORY_SIZE &&
                (uint64_t)(base - host) <= MEMORY_SIZE - length);
        *(i < chain->readable_count ? &readable : &writable) += length;
    }
    REQUIRE(readable == chain->readable_size && writable == chain->writable_size);
    REQUIRE(readable + writable <= UINT64_C(1) << 32);
}

static uint64_t features(uint8_t flags)
{
    return (flags & INDIRECT ? MOCK_INDIRECT : 0) | (flags & EVENT_IDX ? MOCK_EVENT_IDX : 0) |
           (flags & PACKED ? MOCK_PACKED : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest_memory memory;
    const struct memory_range range = {gpa(MOCK_MEMORY_BASE), MEMORY_SIZE};
    struct virtq_setup setup = {
        .descriptor_area = gpa(MOCK_MEMORY_BASE),
        .driver_area = gpa(MOCK_MEMORY_BASE + 0x1000),
        .device_area = gpa(MOCK_MEMORY_BASE + 0x2000),
        .ready = true,
    };
    struct virtq queue;
    struct virtq_chain chain;
    const char *fault;
    uint8_t *host;
    unsigned popped = 0;
    int rc;

    if (size < 2)
        return 0;
    if (memory.count == 0)
        REQUIRE(memory_create(&memory, &range, 1, NULL) == 0);
    host = memory.regions[0].host;
    memset(host, 0, MEMORY_SIZE);
    memcpy(host, data + 2, size - 2 < MEMORY_SIZE ? size - 2 : MEMORY_SIZE);

    setup.size = data[1] & PACKED ? data[0] + 1u : 1u << data[0] % 9;
    REQUIRE(virtq_start(&queue, &memory, &setup, VIRTQ_SIZE_MAX, features(data[1]), &fault) == 0);
    while ((rc = virtq_pop(&queue, &chain)) == 1 && popped++ < 1000) {
        check_chain(&chain, host);
        if (popped % 5 == 0) {
            virtq_undo_pop(&queue, chain.token);
            continue;
        }
        if (data[1] & KEEP_IN_FLIGHT)
            continue;
        virtq_push(&queue, chain.token, (uint32_t)chain.writable_size);
        virtq_wants_interrupt(&queue);
        virtq_enable_kicks(&queue);
    }
    REQUIRE(rc == 1 || (rc == -EPROTO) == (queue.fault != NULL));
    return 0;
}
