/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver. Each abuse starts a device properly, breaks a rule, and then expects the
 * device to say DEVICE_NEEDS_RESET where the specification gives it no other way, to come back by
 * a reset, and to work. With "stay" the machine goes on afterwards, to be looked at.
 */
#include "block.h"

#include "arch/x86_64/layout.h"

#define WINDOWS 4
#define KICKS 5000
#define RESETS 100
#define NOWHERE 0x80000000ull /* no RAM in a guest of less than 2 GiB */

static struct ring ring;
static struct virtio device;
static uint8_t buffer[4096] __attribute__((aligned(4096)));

/* --- one abuse each --- */

static void head_out_of_range(void)
{
    virtio_submit(&device, RING_SIZE);
}

static void head_far_out_of_range(void)
{
    virtio_submit(&device, 0xffff);
}

static void index_jumps(void)
{
    ring.avail.idx = 0x8000;
    write32(device.base + VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void chain_is_a_loop(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_NEXT, 1);
    virtio_describe(&device, 1, buffer, 16, VRING_DESC_F_NEXT, 0);
    virtio_submit(&device, 0);
}

static void next_out_of_range(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_NEXT, RING_SIZE);
    virtio_submit(&device, 0);
}

static void buffer_nowhere(void)
{
    virtio_describe(&device, 0, (void *)NOWHERE, 512, VRING_DESC_F_WRITE, 0);
    virtio_submit(&device, 0);
}

static void buffer_on_registers(void)
{
    virtio_describe(&device, 0, (void *)device.base, 512, VRING_DESC_F_WRITE, 0);
    virtio_submit(&device, 0);
}

static void buffer_wraps(void)
{
    virtio_describe(&device, 0, (void *)0xfffffffffffff000, 0x2000, VRING_DESC_F_WRITE, 0);
    virtio_submit(&device, 0);
}

static void buffer_beyond_the_end(void)
{
    virtio_describe(&device, 0, buffer, 0xffffffff, VRING_DESC_F_WRITE, 0);
    virtio_submit(&device, 0);
}

static void readable_after_writable(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    virtio_describe(&device, 1, buffer, 16, 0, 0);
    virtio_submit(&device, 0);
}

static void indirect_not_negotiated(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_INDIRECT, 0);
    virtio_submit(&device, 0);
}

/* --- what must be harmless --- */

static void layout_after_driver_ok(void)
{
    for (uint32_t at = VIRTIO_MMIO_QUEUE_DESC_LOW; at <= VIRTIO_MMIO_QUEUE_USED_HIGH; at += 4)
        write32(device.base + at, 0xdeadbeef);
    write32(device.base + VIRTIO_MMIO_QUEUE_NUM, 0x8000);
}

static void features_after_driver_ok(void)
{
    write32(device.base + VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    write32(device.base + VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
}

static void kick_storm(void)
{
    for (unsigned i = 0; i < KICKS; i++)
        write32(device.base + VIRTIO_MMIO_QUEUE_NOTIFY, i % 3);
}

static void reset_in_flight(void)
{
    for (unsigned i = 0; i < RESETS; i++) {
        virtio_start(&device, 0);
        for (uint16_t head = 0; head < RING_SIZE; head++) {
            virtio_describe(&device, head, buffer, sizeof buffer, VRING_DESC_F_WRITE, 0);
            ring.avail.ring[head] = head;
        }
        ring.avail.idx = RING_SIZE - 1;
        virtio_submit(&device, RING_SIZE - 1);
        virtio_reset(&device);
    }
    virtio_start(&device, 0);
}

static void queues_that_are_not_there(void)
{
    for (uint32_t queue = 1; queue < 0x10000; queue = queue * 3 + 1) {
        write32(device.base + VIRTIO_MMIO_QUEUE_SEL, queue);
        write32(device.base + VIRTIO_MMIO_QUEUE_NUM, 8);
        write32(device.base + VIRTIO_MMIO_QUEUE_READY, 1);
        write32(device.base + VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    }
}

static void read_windows_in_all_sizes(void)
{
    for (uint64_t at = device.base; at < device.base + LAYOUT_VIRTIO_MMIO_SIZE; at++) {
        (void)*(volatile uint8_t *)at;
        (void)*(volatile uint16_t *)at;
        (void)*(volatile uint32_t *)at;
        (void)*(volatile uint64_t *)at;
    }
}

/* Whatever state that leaves the device in, it has to come back from it. */
static void write_windows_in_all_sizes(void)
{
    for (uint64_t at = device.base; at < device.base + LAYOUT_VIRTIO_MMIO_SIZE; at++) {
        *(volatile uint8_t *)at = 0xff;
        *(volatile uint16_t *)at = 0xffff;
        *(volatile uint32_t *)at = 0xffffffff;
        *(volatile uint64_t *)at = ~0ull;
    }
}

/* --- layouts that DRIVER_OK must refuse --- */

static void driver_ok(void)
{
    write32(device.base + VIRTIO_MMIO_STATUS,
            virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start_with(uint32_t size, uint32_t area, uint64_t address)
{
    virtio_negotiate(&device, 0);
    write32(device.base + VIRTIO_MMIO_QUEUE_READY, 0);
    virtio_set_queue(&device, size);
    write32(device.base + VIRTIO_MMIO_QUEUE_READY, 0);
    write32(device.base + area, (uint32_t)address);
    write32(device.base + area + 4, (uint32_t)(address >> 32));
    write32(device.base + VIRTIO_MMIO_QUEUE_READY, 1);
    driver_ok();
}

static void size_is_no_power_of_two(void)
{
    start_with(3, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)&ring);
}

static void size_is_too_large(void)
{
    start_with(0x8000, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)&ring);
}

static void descriptors_nowhere(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_DESC_LOW, NOWHERE);
}

static void avail_misaligned(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uintptr_t)&ring.avail + 1);
}

static void used_wraps(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_USED_LOW, 0xfffffffffffffffc);
}

enum outcome {
    NEEDS_RESET, /* the device must give up */
    WORKS,       /* the device must go on as if nothing had been */
    ANYTHING,    /* but it must come back by a reset */
};

static const struct {
    const char *name;
    void (*act)(void);
    enum outcome outcome;
} abuses[] = {
    {"head out of range", head_out_of_range, NEEDS_RESET},
    {"head far out of range", head_far_out_of_range, NEEDS_RESET},
    {"index jumps", index_jumps, NEEDS_RESET},
    {"chain is a loop", chain_is_a_loop, NEEDS_RESET},
    {"next out of range", next_out_of_range, NEEDS_RESET},
    {"buffer nowhere", buffer_nowhere, NEEDS_RESET},
    {"buffer on registers", buffer_on_registers, NEEDS_RESET},
    {"buffer wraps", buffer_wraps, NEEDS_RESET},
    {"buffer beyond the end", buffer_beyond_the_end, NEEDS_RESET},
    {"readable after writable", readable_after_writable, NEEDS_RESET},
    {"indirect not negotiated", indirect_not_negotiated, NEEDS_RESET},
    {"size is no power of two", size_is_no_power_of_two, NEEDS_RESET},
    {"size is too large", size_is_too_large, NEEDS_RESET},
    {"descriptors nowhere", descriptors_nowhere, NEEDS_RESET},
    {"avail misaligned", avail_misaligned, NEEDS_RESET},
    {"used wraps", used_wraps, NEEDS_RESET},
    {"layout after DRIVER_OK", layout_after_driver_ok, WORKS},
    {"features after DRIVER_OK", features_after_driver_ok, WORKS},
    {"kick storm", kick_storm, WORKS},
    {"reset in flight", reset_in_flight, WORKS},
    {"queues that are not there", queues_that_are_not_there, WORKS},
    {"read windows in all sizes", read_windows_in_all_sizes, WORKS},
    {"write windows in all sizes", write_windows_in_all_sizes, ANYTHING},
};

/* A proper request on a device that was started properly. */
static bool works(void)
{
    uint16_t used = ring.used.idx;

    if (device.id == VIRTIO_ID_BLOCK)
        return block_request(&device, VIRTIO_BLK_T_IN, 0, buffer, SECTOR_SIZE) == VIRTIO_BLK_S_OK;
    virtio_describe(&device, 0, buffer, 64, VRING_DESC_F_WRITE, 0);
    virtio_submit(&device, 0);
    return virtio_wait(&device, (uint16_t)(used + 1));
}

static bool gives_up(void)
{
    virtio_wait(&device, 0xffff); /* never comes: ends with NEEDS_RESET, or with patience */
    return virtio_status(&device) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static bool survives(unsigned index)
{
    bool as_expected = virtio_start(&device, 0);

    abuses[index].act();
    if (abuses[index].outcome == NEEDS_RESET)
        as_expected &= gives_up();
    else if (abuses[index].outcome == WORKS)
        as_expected &= works();
    return as_expected && virtio_start(&device, 0) && works() && virtio_reset(&device);
}

void guest_main(void)
{
    for (unsigned window = 0; window < WINDOWS; window++) {
        if (!virtio_find(&device, window, &ring))
            continue;
        print_value("device", device.id);
        for (unsigned i = 0; i < sizeof abuses / sizeof abuses[0]; i++)
            check(abuses[i].name, survives(i));
    }
    print("done\n");
    while (asked("stay"))
        __asm__ volatile("cli; hlt");
}
