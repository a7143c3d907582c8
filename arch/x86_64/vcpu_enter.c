/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot vCPU at its first instruction.
 *
 * Linux 64-bit protocol (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): long mode, an
 * identity map, flat code and data segments 0x10 and 0x18, rsi = zero page, interrupts off.
 * PVH (Xen docs/misc/pvh.pandoc): 32-bit protected mode without paging, flat segments,
 * ebx = hvm_start_info.
 */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/registers.h"

#include <errno.h>

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS 0x20
#define GDT_ENTRIES 6

#define PAGE_SIZE 4096ull
#define LARGE_PAGE_SIZE (2ull << 20)
#define TABLE_ENTRIES 512u
#define IDENTITY_GIB 4u

/* A segment register's descriptor, in the GDT's format (Intel SDM vol. 3A, 3.4.5). */
static uint64_t descriptor(const struct kvm_segment *segment)
{
    uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;

    return (limit & 0xffff) | (segment->base & 0xffffff) << 16 |
           (uint64_t)segment->type << 40 | (uint64_t)segment->s << 44 |
           (uint64_t)segment->dpl << 45 | (uint64_t)segment->present << 47 |
           (limit >> 16 & 0xf) << 48 | (uint64_t)segment->l << 53 | (uint64_t)segment->db << 54 |
           (uint64_t)segment->g << 55 | (segment->base >> 24 & 0xff) << 56;
}

static void set_segments(struct kvm_sregs *sregs, bool long_mode)
{
    const struct kvm_segment code = {
        .limit = 0xffffffff, .selector = SELECTOR_CODE, .type = 11, .present = 1, .s = 1, .g = 1,
        .l = long_mode, .db = !long_mode,
    };
    const struct kvm_segment data = {
        .limit = 0xffffffff, .selector = SELECTOR_DATA, .type = 3, .present = 1, .s = 1, .g = 1,
        .db = 1,
    };
    const struct kvm_segment tss = {
        .limit = 0x67, .selector = SELECTOR_TSS, .type = 11, .present = 1,
    };

    sregs->cs = code;
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->tr = tss;
}

static int write_gdt(const struct guest_memory *memory, struct kvm_sregs *sregs)
{
    const uint64_t gdt[GDT_ENTRIES] = {
        [SELECTOR_CODE / 8] = descriptor(&sregs->cs),
        [SELECTOR_DATA / 8] = descriptor(&sregs->ds),
        [SELECTOR_TSS / 8] = descriptor(&sregs->tr),
    };

    sregs->gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = sizeof gdt - 1};
    return memory_write(memory, gpa(LAYOUT_GDT), gdt, sizeof gdt);
}

/*
 *     PML4 -> one PDPT -> one directory a GiB -> 2 MiB pages; six pages of tables for 4 GiB,
 *     which covers whatever the protocol's loader may have put below the end of the hole.
 */
static int write_page_tables(const struct guest_memory *memory)
{
    const uint64_t flags = PAGE_PRESENT | PAGE_WRITABLE;
    uint64_t *tables = memory_at(memory, gpa(LAYOUT_PAGE_TABLES), (2 + IDENTITY_GIB) * PAGE_SIZE);
    uint64_t *pdpt, *directory;

    if (!tables)
        return -EFAULT;
    pdpt = tables + TABLE_ENTRIES;
    directory = pdpt + TABLE_ENTRIES;
    tables[0] = (LAYOUT_PAGE_TABLES + PAGE_SIZE) | flags;
    for (unsigned i = 0; i < IDENTITY_GIB; i++)
        pdpt[i] = (LAYOUT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | flags;
    for (unsigned i = 0; i < IDENTITY_GIB * TABLE_ENTRIES; i++)
        directory[i] = i * LARGE_PAGE_SIZE | flags | PAGE_LARGE;
    return 0;
}

static int set_mode(struct kvm_sregs *sregs, const struct guest_memory *memory, bool long_mode)
{
    set_segments(sregs, long_mode);
    sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
    sregs->cr3 = 0;
    sregs->cr4 = 0;
    sregs->efer = 0;
    if (!long_mode)
        return write_gdt(memory, sregs);
    sregs->cr0 |= CR0_WP | CR0_PG;
    sregs->cr3 = LAYOUT_PAGE_TABLES;
    sregs->cr4 = CR4_PAE;
    sregs->efer = EFER_LME | EFER_LMA;
    return write_gdt(memory, sregs) ?: write_page_tables(memory);
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct guest_memory *memory,
                    const struct boot_entry *entry, struct err *err)
{
    bool long_mode = entry->protocol == BOOT_LINUX64;
    struct kvm_regs regs = {.rip = entry->entry.v, .rflags = RFLAGS_RESERVED};
    struct kvm_sregs sregs;
    int rc = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

    if (rc < 0)
        return err_sys(err, rc, "KVM does not tell the boot vCPU's registers");
    if (set_mode(&sregs, memory, long_mode))
        return err_set(err, -EFAULT, "no memory for the boot vCPU's tables");
    if (long_mode)
        regs.rsi = entry->parameters.v;
    else
        regs.rbx = entry->parameters.v;
    rc = kvm_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
    if (rc == 0)
        rc = kvm_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the boot vCPU's registers") : 0;
}
