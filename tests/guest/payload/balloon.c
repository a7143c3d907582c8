/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports memory that it has never touched, for which there may be no memslot yet, then uses it and
 * reports it again. With "give" it gives up the pages that the host asks for, as many as it can, and
 * ends when the host wants them no longer.
 */
#include "virtio.h"

#include <linux/virtio_balloon.h>

#define INFLATE 0
#define REPORTS 4
#define PAGE_SIZE 4096ull
#define PIECE 0x200000ull /* what is reported */
#define FAR 0x6000000ull  /* above what has a memslot from the start, and below the end of memory */
#define NUMBERS 1024u

static struct virtio device, inflate, reports;
static union ring inflate_ring, report_ring;
static uint16_t inflated, reported;
static uint32_t numbers[NUMBERS];

static bool find(void)
{
    for (unsigned i = 0; i < 4; i++)
        if (virtio_find(&device, i, NULL) && device.id == VIRTIO_ID_BALLOON)
            return true;
    return false;
}

static void set_up(struct virtio *queue, uint32_t index, union ring *ring)
{
    *queue = device;
    queue->queue = index;
    queue->ring = ring;
    virtio_set_queue(queue, RING_SIZE);
}

static bool start(void)
{
    if (!find() || !virtio_negotiate(&device, 1u << VIRTIO_BALLOON_F_REPORTING))
        return false;
    set_up(&inflate, INFLATE, &inflate_ring);
    set_up(&reports, REPORTS, &report_ring);
    virtio_write(&device, VIRTIO_MMIO_STATUS,
                 virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
    return !(virtio_status(&device) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The first and the last word of each page are looked at. */
static bool is_filled(uint64_t value)
{
    for (uint64_t page = FAR; page < FAR + PIECE; page += PAGE_SIZE)
        if (*(volatile uint64_t *)page != value ||
            *(volatile uint64_t *)(page + PAGE_SIZE - 8) != value)
            return false;
    return true;
}

static void fill(uint64_t value)
{
    for (uint64_t page = FAR; page < FAR + PIECE; page += PAGE_SIZE) {
        *(volatile uint64_t *)page = value;
        *(volatile uint64_t *)(page + PAGE_SIZE - 8) = value;
    }
}

static bool report(void)
{
    const struct buffer piece = {FAR, PIECE, VRING_DESC_F_WRITE};

    virtio_submit(&reports, &piece, 1);
    return virtio_wait(&reports, ++reported);
}

static uint32_t wanted(void)
{
    return read32(virtio_config(&device) + offsetof(struct virtio_balloon_config, num_pages));
}

static void say(uint32_t actual)
{
    write32(virtio_config(&device) + offsetof(struct virtio_balloon_config, actual), actual);
}

static void give(void)
{
    struct buffer buffer = {(uintptr_t)numbers, 0, 0};
    uint32_t count = 0;

    while (count == 0)
        count = wanted();
    count = count < NUMBERS ? count : NUMBERS;
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = (uint32_t)(FAR / PAGE_SIZE) + i;
    buffer.size = count * sizeof numbers[0];
    virtio_submit(&inflate, &buffer, 1);
    check("given", virtio_wait(&inflate, ++inflated));
    say(count);
    while (wanted() > 0)
        ;
    say(0);
}

void guest_main(void)
{
    bool started = start();

    check("start", started);
    if (!started)
        return;
    check("reported untouched", report());
    check("zeros", is_filled(0));
    fill(0x5555555555555555);
    check("used", is_filled(0x5555555555555555));
    if (asked("give")) {
        give();
        check("gone by the balloon", is_filled(0));
        return;
    }
    check("reported", report());
    check("gone", is_filled(0));
    fill(1);
    check("used again", is_filled(1));
}
