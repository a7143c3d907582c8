/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver, of split rings or of "packed" ones. Each abuse starts a device properly, breaks
 * a rule, and then expects the device to say DEVICE_NEEDS_RESET where the specification gives it no
 * other way, to come back by a reset, and to work. With "stay" the machine goes on afterwards, to
 * be looked at.
 */
#include "abuse.h"

#include "arch/x86_64/layout.h"

#define WINDOWS 4
#define KICKS 5000
#define RESETS 100

union ring ring;
struct virtio device;
uint8_t buffer[4096] __attribute__((aligned(4096)));

/* --- chains, whatever the ring --- */

static void submit_one(uint64_t address, uint32_t size, uint16_t flags)
{
    virtio_submit(&device, &(struct buffer){address, size, flags}, 1);
}

static void buffer_nowhere(void)
{
    submit_one(NOWHERE, 512, VRING_DESC_F_WRITE);
}

static void buffer_on_registers(void)
{
    submit_one(device.base, 512, VRING_DESC_F_WRITE);
}

static void buffer_wraps(void)
{
    submit_one(0xfffffffffffff000, 0x2000, VRING_DESC_F_WRITE);
}

static void buffer_beyond_the_end(void)
{
    submit_one((uintptr_t)buffer, 0xffffffff, VRING_DESC_F_WRITE);
}

static void readable_after_writable(void)
{
    const struct buffer buffers[] = {
        {(uintptr_t)buffer, 16, VRING_DESC_F_WRITE},
        {(uintptr_t)buffer, 16, 0},
    };

    virtio_submit(&device, buffers, 2);
}

static void indirect_not_negotiated(void)
{
    submit_one((uintptr_t)buffer, 16, VRING_DESC_F_INDIRECT);
}

/* --- what must be harmless --- */

static void layout_after_driver_ok(void)
{
    for (uint32_t at = VIRTIO_MMIO_QUEUE_DESC_LOW; at <= VIRTIO_MMIO_QUEUE_USED_HIGH; at += 4)
        virtio_write(&device, at, 0xdeadbeef);
    virtio_write(&device, VIRTIO_MMIO_QUEUE_NUM, 0x8000);
}

static void features_after_driver_ok(void)
{
    virtio_write(&device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    virtio_write(&device, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
}

static void kick_storm(void)
{
    for (unsigned i = 0; i < KICKS; i++)
        virtio_write(&device, VIRTIO_MMIO_QUEUE_NOTIFY, i % 3);
}

static void reset_in_flight(void)
{
    const struct buffer whole = {(uintptr_t)buffer, sizeof buffer, VRING_DESC_F_WRITE};

    for (unsigned i = 0; i < RESETS; i++) {
        virtio_start(&device, 0);
        for (unsigned chains = 0; chains < RING_SIZE; chains++)
            virtio_offer(&device, &whole, 1);
        virtio_kick(&device);
        virtio_reset(&device);
    }
    virtio_start(&device, 0);
}

static void queues_that_are_not_there(void)
{
    for (uint32_t queue = 1; queue < 0x10000; queue = queue * 3 + 1) {
        virtio_write(&device, VIRTIO_MMIO_QUEUE_SEL, queue);
        virtio_write(&device, VIRTIO_MMIO_QUEUE_NUM, 8);
        virtio_write(&device, VIRTIO_MMIO_QUEUE_READY, 1);
        virtio_write(&device, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    }
}

static void read_windows_in_all_sizes(void)
{
    for (uint64_t at = device.base; at < device.base + device.size; at++) {
        (void)*(volatile uint8_t *)at;
        (void)*(volatile uint16_t *)at;
        (void)*(volatile uint32_t *)at;
        (void)*(volatile uint64_t *)at;
    }
}

/* Whatever state that leaves the device in, it has to come back from it. */
static void write_windows_in_all_sizes(void)
{
    for (uint64_t at = device.base; at < device.base + device.size; at++) {
        *(volatile uint8_t *)at = 0xff;
        *(volatile uint16_t *)at = 0xffff;
        *(volatile uint32_t *)at = 0xffffffff;
        *(volatile uint64_t *)at = ~0ull;
    }
}

/* --- layouts that DRIVER_OK must refuse --- */

static void driver_ok(void)
{
    virtio_write(&device, VIRTIO_MMIO_STATUS,
                 virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void start_with(uint32_t size, uint32_t area, uint64_t address)
{
    virtio_negotiate(&device, 0);
    virtio_place_queue(&device, size);
    virtio_write(&device, area, (uint32_t)address);
    virtio_write(&device, area + 4, (uint32_t)(address >> 32));
    virtio_write(&device, VIRTIO_MMIO_QUEUE_READY, 1);
    driver_ok();
}

static void size_is_too_large(void)
{
    start_with(0x8000, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)&ring);
}

static void descriptors_nowhere(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_DESC_LOW, NOWHERE);
}

static void device_area_wraps(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_USED_LOW, 0xfffffffffffffffc);
}

static const struct abuse abuses[] = {
    {"buffer nowhere", buffer_nowhere, NEEDS_RESET},
    {"buffer on registers", buffer_on_registers, NEEDS_RESET},
    {"buffer wraps", buffer_wraps, NEEDS_RESET},
    {"buffer beyond the end", buffer_beyond_the_end, NEEDS_RESET},
    {"readable after writable", readable_after_writable, NEEDS_RESET},
    {"indirect not negotiated", indirect_not_negotiated, NEEDS_RESET},
    {"size is too large", size_is_too_large, NEEDS_RESET},
    {"descriptors nowhere", descriptors_nowhere, NEEDS_RESET},
    {"device area wraps", device_area_wraps, NEEDS_RESET},
    {"layout after DRIVER_OK", layout_after_driver_ok, WORKS},
    {"features after DRIVER_OK", features_after_driver_ok, WORKS},
    {"kick storm", kick_storm, WORKS},
    {"reset in flight", reset_in_flight, WORKS},
    {"queues that are not there", queues_that_are_not_there, WORKS},
    {"read windows in all sizes", read_windows_in_all_sizes, WORKS},
    {"write windows in all sizes", write_windows_in_all_sizes, ANYTHING},
    {0},
};

/* A proper request on a device that was started properly. */
static bool works(void)
{
    uint16_t used = virtio_used(&device);

    if (device.id == VIRTIO_ID_BLOCK)
        return block_request(&device, VIRTIO_BLK_T_IN, 0, buffer, SECTOR_SIZE) == VIRTIO_BLK_S_OK;
    submit_one((uintptr_t)buffer, 64, VRING_DESC_F_WRITE);
    return virtio_wait(&device, (uint16_t)(used + 1));
}

static bool gives_up(void)
{
    virtio_wait(&device, 0xffff); /* never comes: ends with NEEDS_RESET, or with patience */
    return virtio_status(&device) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static bool survives(const struct abuse *abuse)
{
    bool as_expected = virtio_start(&device, 0);

    abuse->act();
    if (abuse->outcome == NEEDS_RESET)
        as_expected &= gives_up();
    else if (abuse->outcome == WORKS)
        as_expected &= works();
    return as_expected && virtio_start(&device, 0) && works() && virtio_reset(&device);
}

static void suffer(const struct abuse *list)
{
    for (; list->name; list++)
        check(list->name, survives(list));
}

void guest_main(void)
{
    device.packed = asked("packed");
    for (unsigned window = 0; window < WINDOWS; window++) {
        if (!virtio_find(&device, window, &ring))
            continue;
        print_value("device", device.id);
        suffer(abuses);
        suffer(device.packed ? packed_abuses : split_abuses);
    }
    print("done\n");
    while (asked("stay"))
        __asm__ volatile("cli; hlt");
}
