/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime of the bare-metal programs that load a monitor's devices: words of the command line
 * in, lines on the first serial port out. Everything runs in user mode (start.S), where a port or
 * a register costs an exit and all else runs at native speed. Knows no monitor: where devices are
 * is said on the command line.
 */
#ifndef HUSK_BENCH_GUEST_H
#define HUSK_BENCH_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory from here on belongs to the program. */
#define GUEST_HEAP 0x2000000ull

/* The program. Returning from it ends the machine. */
void guest_main(void);

/*
 * The text behind "NAME=" in the first word at or behind `from` that has it, or NULL; `from` may be
 * NULL for the command line's start. The text ends at a space or at the end of the line.
 */
const char *option(const char *name, const char *from);

/* The number, decimal or 0x, behind "NAME=". */
uint64_t option_number(const char *name, uint64_t otherwise);

/* Reads a number; *text is then what follows it. */
uint64_t parse_number(const char **text);

/* True, and *text behind it, if the text starts with the word. */
bool parse_word(const char **text, const char *word);

void print(const char *text);
void print_word(const char *text); /* to its first space */
void print_value(const char *name, uint64_t value); /* " NAME=VALUE" */

/* Waits for a byte on the serial port, and forgets it. */
void read_byte(void);

/*
 * Says "ready tsc=NOW" and, with wait=1, waits for a byte: the host may want to arrange the
 * monitor's threads. print_done() says "done tsc=NOW"; by the two the host knows the TSC's speed.
 */
void wait_for_host(void);
void print_done(void);

/* Says "failed: WHY", and ends the machine. */
_Noreturn void fail(const char *why);

/* Ends the machine, in each way that a monitor may know. */
_Noreturn void end(void);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

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

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void write8(uint64_t address, uint8_t value)
{
    *(volatile uint8_t *)address = value;
}

static inline void write16(uint64_t address, uint16_t value)
{
    *(volatile uint16_t *)address = value;
}

static inline void write32(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

static inline uint8_t read8(uint64_t address)
{
    return *(volatile uint8_t *)address;
}

static inline uint16_t read16(uint64_t address)
{
    return *(volatile uint16_t *)address;
}

static inline uint32_t read32(uint64_t address)
{
    return *(volatile uint32_t *)address;
}

static inline uint64_t cycles_now(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

#endif
