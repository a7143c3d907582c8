/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include "arch/x86_64/layout.h"

#include <asm/bootparam.h>

#define SLEEP_S5 (5 << 2 | 1 << 5)

struct boot boot;

/* hvm_start_info and its tables (Xen, public/arch-x86/hvm/start_info.h). */
struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t memory_map;
    uint32_t memory_map_count;
    uint32_t reserved;
};

struct start_info_module {
    uint64_t base;
    uint64_t size;
};

struct start_info_range {
    uint64_t base;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

static void add_range(uint64_t base, uint64_t size, uint32_t type)
{
    if (boot.map_count < BOOT_MAP_MAX)
        boot.map[boot.map_count++] = (struct boot_range){base, size, type};
}

void boot_from_zero_page(const void *zero_page)
{
    const struct boot_params *parameters = zero_page;

    boot.protocol = "linux64";
    boot.command_line = (const char *)(uintptr_t)parameters->hdr.cmd_line_ptr;
    boot.initrd = parameters->hdr.ramdisk_image;
    boot.initrd_size = parameters->hdr.ramdisk_size;
    boot.rsdp = parameters->acpi_rsdp_addr;
    for (unsigned i = 0; i < parameters->e820_entries; i++)
        add_range(parameters->e820_table[i].addr, parameters->e820_table[i].size,
                  parameters->e820_table[i].type);
}

void boot_from_pvh(const void *start_info)
{
    const struct start_info *info = start_info;
    const struct start_info_module *module = (const void *)info->modules;
    const struct start_info_range *ranges = (const void *)info->memory_map;

    boot.protocol = "pvh";
    boot.command_line = (const char *)info->command_line;
    boot.rsdp = info->rsdp;
    if (info->module_count > 0) {
        boot.initrd = module->base;
        boot.initrd_size = module->size;
    }
    for (unsigned i = 0; i < info->memory_map_count; i++)
        add_range(ranges[i].base, ranges[i].size, ranges[i].type);
}

static size_t word_length(const char *text)
{
    size_t length = 0;

    while (text[length] && text[length] != ' ')
        length++;
    return length;
}

bool asked(const char *word)
{
    const char *text = boot.command_line;
    size_t wanted = word_length(word);

    while (*text) {
        size_t length = word_length(text);

        if (length == wanted && memcmp(text, word, length) == 0)
            return true;
        text += length;
        while (*text == ' ')
            text++;
    }
    return false;
}

void print_character(char character)
{
    out8(LAYOUT_SERIAL_PORT, (uint8_t)character);
}

void print(const char *text)
{
    while (*text)
        print_character(*text++);
}

void print_hex(uint64_t value)
{
    int shift = 60;

    print("0x");
    while (shift > 0 && value >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        print_character("0123456789abcdef"[value >> shift & 15]);
}

void print_value(const char *name, uint64_t value)
{
    print(name);
    print_character('=');
    print_hex(value);
    print_character('\n');
}

void check(const char *name, bool passed)
{
    print(passed ? "ok " : "FAILED ");
    print(name);
    print_character('\n');
}

_Noreturn void power_off(void)
{
    for (;;)
        out8(LAYOUT_SLEEP_CONTROL_PORT, SLEEP_S5);
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < size; i++)
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    return 0;
}
