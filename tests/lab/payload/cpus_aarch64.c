/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns on every processor that there is, one after the other, each of which says who it is and
 * whether it and its redistributor of the GICv3 are known by the number that the board gave them;
 * then powers off. It runs with the MMU off: all memory is as a device's, in order and uncached.
 */
#include "cpus_aarch64.h"

#include "arch/aarch64/layout.h"

#include <stdbool.h>
#include <stdint.h>

#define PSCI_CPU_ON 0xc4000003u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SUCCESS 0
#define PSCI_INVALID_PARAMETERS (-2)

#define GICR_TYPER 8 /* Arm IHI 0069: affinity in bits 63:32 */
#define MPIDR_AFFINITY 0xffffffu

/* KVM's MPIDR: 16 vCPUs a cluster. */
#define AFFINITY(index) (((index) & 15) | (index) >> 4 << 8)

extern char other_start[];
char stacks[PROCESSORS_MAX * STACK_SIZE] __attribute__((aligned(4096)));
static volatile bool is_here[PROCESSORS_MAX];

void boot_processor(void);
void other_processor(unsigned long index);

static void print(const char *text)
{
    while (*text)
        *(volatile uint32_t *)LAYOUT_SERIAL = (uint8_t)*text++;
}

static void print_number(unsigned long number)
{
    char text[24], *first = text + sizeof text - 1;

    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    print(first);
}

static long psci(unsigned long function, unsigned long first, unsigned long second,
                 unsigned long third)
{
    register unsigned long x0 __asm__("x0") = function;
    register unsigned long x1 __asm__("x1") = first;
    register unsigned long x2 __asm__("x2") = second;
    register unsigned long x3 __asm__("x3") = third;

    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
    return (int32_t)x0;
}

static uint64_t redistributor_affinity(unsigned long index)
{
    const uint64_t base = LAYOUT_REDISTRIBUTORS + index * LAYOUT_REDISTRIBUTOR_SIZE;

    return *(volatile uint64_t *)(base + GICR_TYPER) >> 32;
}

static void say_who(unsigned long index)
{
    uint64_t mpidr;

    __asm__("mrs %0, mpidr_el1" : "=r"(mpidr));
    print("processor ");
    print_number(index);
    print((mpidr & MPIDR_AFFINITY) == AFFINITY(index) ? " itself" : " another");
    print(redistributor_affinity(index) == AFFINITY(index) ? ", its own\n" : ", another's\n");
}

void other_processor(unsigned long index)
{
    say_who(index);
    __asm__ volatile("dsb sy" : : : "memory");
    is_here[index] = true;
    for (;;)
        __asm__ volatile("wfi");
}

void boot_processor(void)
{
    unsigned long count = 1;
    long status = PSCI_SUCCESS;

    say_who(0);
    while (count < PROCESSORS_MAX) {
        status = psci(PSCI_CPU_ON, AFFINITY(count), (uintptr_t)other_start, count);
        if (status != PSCI_SUCCESS)
            break;
        while (!is_here[count])
            __asm__ volatile("yield");
        count++;
    }
    print(status == PSCI_INVALID_PARAMETERS ? "processors: " : "failed after ");
    print_number(count);
    print("\n");
    psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
