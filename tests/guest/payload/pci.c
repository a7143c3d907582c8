/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first disk on PCI: found, sized, moved, and driven with messages. No message is taken: the
 * local APIC's request register tells that it has come, with interrupts off. Each gets a number of
 * its own, because a request that nobody serves stays.
 */
#include "block.h"

#include "arch/x86_64/layout.h"

#include <linux/virtio_pci.h>

#define LAPIC_SPURIOUS (LAYOUT_LAPIC + 0xf0)
#define LAPIC_ENABLED 0x1ffu
#define LAPIC_REQUESTS (LAYOUT_LAPIC + 0x200)
#define TABLE_AT 0x1000u
#define PENDING_AT 0x1800u
#define QUEUE_VECTOR 1u
#define ELSEWHERE (LAYOUT_PCI_WINDOW + 0x1230000u)
#define REQUESTS 4000u
#define PATIENCE 100000

static union ring ring;
static struct virtio disk;
static uint8_t buffer[4096] __attribute__((aligned(4096)));
static uint8_t next_number = 0x40;

static void write16(uint64_t address, uint16_t value)
{
    *(volatile uint16_t *)address = value;
}

static uint64_t bar(void)
{
    return pci_bar(&disk.pci);
}

static uint64_t config(uint32_t offset)
{
    return disk.pci.ecam + offset;
}

/* --- messages --- */

static bool requested(uint8_t number)
{
    return read32(LAPIC_REQUESTS + number / 32 * 0x10) >> number % 32 & 1;
}

static bool comes(uint8_t number)
{
    for (unsigned i = 0; i < PATIENCE; i++)
        if (requested(number))
            return true;
    return false;
}

static void set_mask(bool masked)
{
    write32(bar() + TABLE_AT + QUEUE_VECTOR * 16 + 12, masked);
}

/* Gives the queue's vector a number that no message has had. */
static uint8_t new_message(void)
{
    uint64_t entry = bar() + TABLE_AT + QUEUE_VECTOR * 16;
    uint8_t number = next_number++;

    set_mask(true);
    write32(entry, (uint32_t)LAYOUT_LAPIC); /* physical destination 0: the boot processor */
    write32(entry + 4, 0);
    write32(entry + 8, number);
    return number;
}

static void set_flags(uint16_t flags)
{
    write16(config(disk.pci.msix + PCI_MSIX_FLAGS), flags);
}

static void choose_vector(void)
{
    write16(bar() + disk.pci.common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
    write16(bar() + disk.pci.common + VIRTIO_PCI_COMMON_Q_MSIX, QUEUE_VECTOR);
}

static bool pending(void)
{
    return read32(bar() + PENDING_AT) >> QUEUE_VECTOR & 1;
}

static bool request(void)
{
    return block_request(&disk, VIRTIO_BLK_T_IN, 0, buffer, SECTOR_SIZE) == VIRTIO_BLK_S_OK;
}

/* --- what is checked --- */

static void size_the_bar(void)
{
    uint32_t before = read32(config(PCI_BASE_ADDRESS_0)), size;

    write32(config(PCI_BASE_ADDRESS_0), 0xffffffff);
    size = ~read32(config(PCI_BASE_ADDRESS_0)) + 1;
    write32(config(PCI_BASE_ADDRESS_0), before);
    print_value("bar", before);
    print_value("size", size);
    check("place", before >= LAYOUT_PCI_WINDOW && before % size == 0 &&
                       before + size <= LAYOUT_PCI_WINDOW + LAYOUT_PCI_WINDOW_SIZE);
}

static void drive_by_messages(void)
{
    uint8_t number = new_message();

    set_flags(PCI_MSIX_FLAGS_ENABLE);
    choose_vector();
    set_mask(false);
    check("request", request());
    check("message", comes(number));
    number = new_message();
    check("masked request", request() && !requested(number) && pending());
    set_mask(false);
    check("unmasked message", comes(number) && !pending());
    number = new_message();
    set_mask(false);
    set_flags(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    check("all masked", request() && !requested(number) && pending());
    set_flags(PCI_MSIX_FLAGS_ENABLE);
    check("all unmasked", comes(number) && !pending());
}

static void move_while_active(void)
{
    uint64_t before = bar();
    uint8_t number = new_message();

    set_mask(false);
    write32(config(PCI_BASE_ADDRESS_0), ELSEWHERE);
    check("gone", read32(before) == 0xffffffff);
    check("moved", request() && comes(number));
    write16(config(PCI_COMMAND), 0);
    check("not decoded", read32(ELSEWHERE) == 0xffffffff);
    write16(config(PCI_COMMAND), PCI_COMMAND_MEMORY);
    number = new_message();
    set_mask(false);
    check("decoded again", request() && comes(number));
}

/* A request without a look at any register, which would be an exit. */
static bool silent_request(void)
{
    const struct buffer buffers[] = {
        {(uintptr_t)&(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN}, 16, 0},
        {(uintptr_t)buffer, SECTOR_SIZE, VRING_DESC_F_WRITE},
        {(uintptr_t)buffer + SECTOR_SIZE, 1, VRING_DESC_F_WRITE},
    };
    uint16_t used = virtio_used(&disk);

    virtio_offer(&disk, buffers, 3);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    write16(ELSEWHERE + disk.pci.notify, 0);
    for (unsigned i = 0; i < 10 * PATIENCE; i++)
        if (virtio_used(&disk) != used)
            return true;
    return false;
}

/* The host counts exits, of which these may cause none. */
static void drive_silently(void)
{
    unsigned done = 0;

    while (done < REQUESTS && silent_request())
        done++;
    check("silent requests", done == REQUESTS);
}

static void drive_without_msix(void)
{
    set_flags(0);
    (void)*(volatile uint8_t *)(bar() + disk.pci.isr);
    check("polled request", request());
    check("isr", *(volatile uint8_t *)(bar() + disk.pci.isr) == 1);
    check("isr is cleared", *(volatile uint8_t *)(bar() + disk.pci.isr) == 0);
}

/* Whatever a guest writes into configuration space, and the BAR: it has itself to blame. */
static void write_everything(void)
{
    for (uint32_t at = 0; at < 0x100; at++) {
        *(volatile uint8_t *)config(at) = 0xff;
        *(volatile uint16_t *)config(at) = 0xffff;
        *(volatile uint32_t *)config(at) = 0xffffffff;
        *(volatile uint64_t *)config(at) = ~0ull;
    }
    write32(config(PCI_BASE_ADDRESS_0), (uint32_t)disk.base);
    write16(config(PCI_COMMAND), PCI_COMMAND_MEMORY);
    set_flags(0);
    check("after abuse", virtio_start(&disk, 0) && request());
}

void guest_main(void)
{
    write32(LAPIC_SPURIOUS, LAPIC_ENABLED);
    check("find", virtio_find(&disk, 0, &ring) && disk.id == VIRTIO_ID_BLOCK && disk.pci.ecam);
    check("no pin", (read32(config(PCI_INTERRUPT_LINE)) >> 8 & 0xff) == 0);
    size_the_bar();
    check("start", virtio_start(&disk, 0));
    drive_by_messages();
    move_while_active();
    drive_silently();
    drive_without_msix();
    write_everything();
}
