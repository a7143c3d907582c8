/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports what the boot protocol told, and touches the first and last bytes of every RAM range.
 *
 * With "touch-WAY" the very first act is an access to the last page of RAM, which a monitor that
 * maps memory late may not have mapped yet.
 */
#include "guest.h"

#define PAGE_SIZE 4096ull
#define GIB (1ull << 30)
#define PAGE_FLAGS 0x3ull
#define LARGE_PAGE 0x80ull
#define DIRECTORIES 16u
#define RETURN_INSTRUCTION 0xc3

/* More of the identity map, where the boot protocol's ends at 4 GiB. */
static uint64_t directories[DIRECTORIES][512] __attribute__((aligned(4096)));

static void map_above_4gib(uint64_t end)
{
    uint64_t *pml4 = (uint64_t *)(read_cr3() & ~0xfffull);
    uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xfffull);

    for (unsigned gib = 4; gib * GIB < end && gib - 4 < DIRECTORIES; gib++) {
        uint64_t *directory = directories[gib - 4];

        for (unsigned i = 0; i < 512; i++)
            directory[i] = (gib * GIB + i * (2ull << 20)) | PAGE_FLAGS | LARGE_PAGE;
        pdpt[gib] = (uintptr_t)directory | PAGE_FLAGS;
    }
}

static uint64_t end_of_ram(void)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < boot.map_count; i++)
        if (boot.map[i].type == BOOT_RAM && boot.map[i].base + boot.map[i].size > end)
            end = boot.map[i].base + boot.map[i].size;
    return end;
}

/* One access of each kind that KVM treats in a way of its own while there is no memslot. */
static bool touch(uint64_t page)
{
    volatile uint64_t *word = (uint64_t *)page;
    uint64_t stack = page + 2048, one = 1;

    if (asked("touch-read"))
        return *word == 0;
    if (asked("touch-add"))
        __asm__ volatile("addq %1, %0" : "+m"(*word) : "r"(0x1234567ull));
    else if (asked("touch-xadd"))
        __asm__ volatile("lock xaddq %1, %0" : "+m"(*word), "+r"(one));
    else if (asked("touch-string"))
        memset((void *)page, 0x5a, PAGE_SIZE);
    else if (asked("touch-stack"))
        __asm__ volatile("xchg %0, %%rsp; pushq %1; xchg %0, %%rsp"
                         : "+r"(stack) : "r"(page) : "memory");
    else if (asked("touch-code")) {
        *(volatile uint8_t *)page = RETURN_INSTRUCTION;
        ((void (*)(void))page)();
    } else
        *word = page;

    if (asked("touch-add"))
        return *word == 0x1234567;
    if (asked("touch-xadd"))
        return *word == 1 && one == 0;
    if (asked("touch-string"))
        return *word == 0x5a5a5a5a5a5a5a5a && word[511] == 0x5a5a5a5a5a5a5a5a;
    if (asked("touch-stack"))
        return *(volatile uint64_t *)(page + 2040) == page;
    return asked("touch-code") || *word == page;
}

static bool touch_ends(const struct boot_range *range)
{
    volatile uint8_t *first = (uint8_t *)range->base;
    volatile uint8_t *last = first + range->size - 1;
    uint8_t before_first = *first, before_last = *last;
    bool kept;

    *first = 0xa5;
    *last = 0x5a;
    kept = *first == 0xa5 && *last == 0x5a;
    *first = before_first;
    *last = before_last;
    return kept;
}

static void print_map(void)
{
    for (unsigned i = 0; i < boot.map_count; i++) {
        print("map ");
        print_hex(boot.map[i].base);
        print(" ");
        print_hex(boot.map[i].size);
        print(" ");
        print_hex(boot.map[i].type);
        print("\n");
    }
}

void guest_main(void)
{
    uint64_t end = end_of_ram();
    bool touched;

    map_above_4gib(end);
    touched = touch(end - PAGE_SIZE);
    check("last page", touched);
    print("protocol=");
    print(boot.protocol);
    print("\ncommand line=");
    print(boot.command_line);
    print("\n");
    print_map();
    for (unsigned i = 0; i < boot.map_count; i++)
        if (boot.map[i].type == BOOT_RAM)
            check("ends of range", touch_ends(&boot.map[i]));
    print_value("initrd size", boot.initrd_size);
    if (boot.initrd_size > 0)
        print_value("initrd first", *(const uint32_t *)boot.initrd);
    check("rsdp", memcmp((const void *)boot.rsdp, "RSD PTR ", 8) == 0);
}
