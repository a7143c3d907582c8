/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime of the bare-metal payloads: what a program has when there is nothing under it.
 * Everything runs in kernel mode; a partial KVM may interpret that mode, at some million
 * instructions a second and without SSE, so payloads are small and compiled without it.
 */
#ifndef HUSK_GUEST_H
#define HUSK_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_MAP_MAX 32
#define BOOT_RAM 1u

struct boot_range {
    uint64_t base;
    uint64_t size;
    uint32_t type;
};

/* What the boot protocol told, whichever it was. */
struct boot {
    const char *protocol; /* "linux64" or "pvh" */
    const char *command_line;
    struct boot_range map[BOOT_MAP_MAX];
    unsigned map_count;
    uint64_t initrd;
    uint64_t initrd_size;
    uint64_t rsdp;
};

extern struct boot boot;

/* The payload. Returning from it powers the machine off. */
void guest_main(void);

void boot_from_zero_page(const void *zero_page);
void boot_from_pvh(const void *start_info);

/* True if the command line has the word. */
bool asked(const char *word);

/* Serial output; a line is "name=0xhex". */
void print(const char *text);
void print_hex(uint64_t value);
void print_value(const char *name, uint64_t value);
void print_character(char character);

/* "ok NAME" or "FAILED NAME". */
void check(const char *name, bool passed);

_Noreturn void power_off(void);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void write32(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

static inline uint32_t read32(uint64_t address)
{
    return *(volatile uint32_t *)address;
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t registers[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]),
                       "=d"(registers[3])
                     : "a"(leaf), "c"(subleaf));
}

#endif
