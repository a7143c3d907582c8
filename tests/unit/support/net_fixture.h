/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the network device share: a guest with buffers and frames, and a network they reach. */
#ifndef HUSK_TESTS_NET_FIXTURE_H
#define HUSK_TESTS_NET_FIXTURE_H

#include "devices/virtio/net.h"
#include "core/timing.h"
#include "support/fake_net.h"
#include "support/mock_driver.h"
#include "support/pump.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_net.h>

#define SIZE 16u
#define RECEIVE 0u
#define SEND 1u
#define CONTROL 4u /* with two pairs */
#define BUFFERS MOCK_BUFFERS
#define BUFFER_SPACE 0x20000u
#define COMMAND (MOCK_BUFFERS + 0x300000)
#define ACK (MOCK_BUFFERS + 0x300100)

#define FEATURE(name) MOCK_FEATURE(VIRTIO_NET_F_##name)
#define MERGEABLE FEATURE(MRG_RXBUF)
#define CONTROLLABLE (FEATURE(CTRL_VQ) | FEATURE(MQ) | FEATURE(CTRL_GUEST_OFFLOADS))

struct fixture {
    struct mock_guest guest;
    struct fake_net fake;
    struct virtio_device *device;
    struct mock_driver driver;
    unsigned next_buffer; /* of those that were offered */
};

static const uint8_t mac[] = {2, 3, 4, 5, 6, 7};

static void create(struct fixture *f, unsigned pairs, unsigned offloads,
                   const struct virtio_net_options *options)
{
    struct err err;

    *f = (struct fixture){.next_buffer = 0};
    mock_guest_open(&f->guest);
    fake_net_open(&f->fake, pairs, offloads);
    if (virtio_net_create(&f->device, &f->guest.environment, options, &f->fake.net, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f->driver, &f->guest, f->device);
}

static struct virtio_net_options plain_options(void)
{
    struct virtio_net_options options = {.mtu = 0};

    memcpy(options.mac, mac, sizeof mac);
    return options;
}

static int open_fixture(void **state)
{
    static struct fixture f;
    const struct virtio_net_options options = plain_options();

    create(&f, 2, FAKE_NET_OFFLOADS, &options);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    net_close(&f->fake.net);
    fake_net_leave(&f->fake);
    mock_guest_close(&f->guest);
    return 0;
}

/* --- the guest --- */

static uint64_t buffer_at(unsigned index)
{
    return BUFFERS + (uint64_t)(index % SIZE) * BUFFER_SPACE;
}

/* Offers receive buffers without a kick. */
static void offer(struct fixture *f, unsigned count, uint32_t size)
{
    for (unsigned i = 0; i < count; i++) {
        const struct mock_descriptor buffer = {buffer_at(f->next_buffer++), size,
                                               VRING_DESC_F_WRITE, 0};

        mock_add(&f->driver.rings[RECEIVE], &buffer, 1);
    }
}

static void refill(struct fixture *f, unsigned count, uint32_t size)
{
    offer(f, count, size);
    mock_kick(&f->driver, RECEIVE);
}

static uint8_t pattern(unsigned seed, size_t at)
{
    return (uint8_t)(seed + at * 7 + (at >> 8));
}

/* Takes a frame of `size` bytes, header included, that begins in buffer `first`. */
static void expect_frame(struct fixture *f, unsigned first, unsigned buffers, uint32_t size,
                         unsigned seed)
{
    struct virtio_net_hdr_v1 header;
    size_t at = 0;

    memcpy(&header, mock_at(&f->guest, buffer_at(first), sizeof header), sizeof header);
    assert_int_equal(header.num_buffers, buffers);
    for (unsigned i = 0; i < buffers; i++) {
        const uint8_t *bytes;
        uint32_t length;

        assert_true(mock_take(&f->driver.rings[RECEIVE], NULL, &length));
        bytes = mock_at(&f->guest, buffer_at(first + i), length);
        for (uint32_t k = 0; k < length; k++, at++)
            if (at >= NET_HEADER_SIZE && bytes[k] != pattern(seed, at))
                fail_msg("byte %zu of the frame is wrong", at);
    }
    assert_int_equal(at, size);
}

static bool nothing_received(struct fixture *f)
{
    return mock_used_idx(&f->driver.rings[RECEIVE]) == f->driver.rings[RECEIVE].used_idx;
}

/* One frame to send, cut at `cut`; `size` with the header. */
static void put_frame(struct fixture *f, unsigned slot, uint32_t size, uint32_t cut, unsigned seed)
{
    uint8_t *bytes = mock_at(&f->guest, buffer_at(slot), size);
    const struct mock_descriptor pieces[] = {
        {buffer_at(slot), cut, 0, 0},
        {buffer_at(slot) + cut, size - cut, 0, 0},
    };

    for (uint32_t i = 0; i < size; i++)
        bytes[i] = pattern(seed, i);
    mock_add(&f->driver.rings[SEND], pieces, cut < size ? 2 : 1);
}

static uint8_t run_command(struct fixture *f, unsigned queue, unsigned class, unsigned command,
                           const void *data, uint32_t size)
{
    uint8_t *bytes = mock_at(&f->guest, COMMAND, 2 + size);
    uint8_t *ack = mock_at(&f->guest, ACK, 1);
    const struct mock_descriptor pieces[] = {
        {COMMAND, 2 + size, 0, 0},
        {ACK, 1, VRING_DESC_F_WRITE, 0},
    };
    uint32_t length;

    bytes[0] = (uint8_t)class;
    bytes[1] = (uint8_t)command;
    memcpy(bytes + 2, data, size);
    *ack = 0xee;
    mock_add(&f->driver.rings[queue], pieces, 2);
    mock_kick(&f->driver, queue);
    assert_true(mock_take(&f->driver.rings[queue], NULL, &length));
    assert_int_equal(length, 1);
    return *ack;
}

static uint8_t set_pairs(struct fixture *f, uint16_t pairs)
{
    return run_command(f, CONTROL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs,
                       sizeof pairs);
}

static uint8_t set_offloads(struct fixture *f, uint64_t offloads)
{
    return run_command(f, CONTROL, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                       VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &offloads, sizeof offloads);
}

/* --- the network --- */

/* `size` with the header. */
static void arrive_on(struct fixture *f, unsigned pair, uint32_t size, unsigned seed)
{
    static uint8_t bytes[NET_FRAME_ROOM];

    for (uint32_t i = 0; i < size; i++)
        bytes[i] = pattern(seed, i);
    assert_int_equal(send(f->fake.host[pair], bytes, size, 0), size);
}

static void arrive(struct fixture *f, uint32_t size, unsigned seed)
{
    arrive_on(f, 0, size, seed);
}

static void expect_sent(struct fixture *f, uint32_t size, unsigned seed, bool header_kept)
{
    static uint8_t bytes[NET_FRAME_ROOM];

    assert_int_equal(recv(f->fake.host[0], bytes, sizeof bytes, 0), size);
    for (uint32_t i = 0; i < size; i++) {
        bool zero = i < NET_HEADER_SIZE && !header_kept;

        assert_int_equal(bytes[i], zero ? 0 : pattern(seed, i));
    }
}

static bool nothing_sent(struct fixture *f)
{
    uint8_t byte;

    return recv(f->fake.host[0], &byte, 1, MSG_PEEK) < 0;
}

#endif
