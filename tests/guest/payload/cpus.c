/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the other processors by INIT and start-up IPI, and prints what each of them finds out
 * about itself by CPUID. "processors=0xN" on the command line says how many there are.
 */
#include "cpus.h"
#include "guest.h"

#include "arch/x86_64/layout.h"

#define APIC_ID (LAYOUT_LAPIC + 0x20)
#define APIC_SPURIOUS (LAYOUT_LAPIC + 0xf0)
#define APIC_COMMAND (LAYOUT_LAPIC + 0x300)
#define APIC_ENABLED 0x1ff
#define ALL_BUT_SELF (3u << 18)
#define INIT_ASSERT (5u << 8 | 1u << 14)
#define START_UP (6u << 8 | 1u << 14)

#define TOPOLOGY_LEAF 0xb

struct processor {
    uint32_t apic;         /* from its APIC */
    uint32_t initial_apic; /* leaf 1, EBX 31:24 */
    uint32_t logical;      /* leaf 1, EBX 23:16 */
    uint32_t x2apic;       /* leaf 0xb, EDX */
    uint32_t threads;      /* leaf 0xb, 0: EBX */
    uint32_t cores;        /* leaf 0xb, 1: EBX */
    uint32_t core_shift;   /* leaf 0xb, 1: EAX */
};

extern uint8_t trampoline_start[], trampoline_end[];
extern uint32_t trampoline_cr3;

void processor_main(uint32_t index);

static struct processor processors[CPUS_MAX];
static uint32_t reported;

static struct processor look(void)
{
    struct processor processor = {.apic = read32(APIC_ID) >> 24};
    uint32_t registers[4];

    cpuid(1, 0, registers);
    processor.initial_apic = registers[1] >> 24;
    processor.logical = registers[1] >> 16 & 0xff;
    cpuid(TOPOLOGY_LEAF, 0, registers);
    processor.x2apic = registers[3];
    processor.threads = registers[1] & 0xffff;
    cpuid(TOPOLOGY_LEAF, 1, registers);
    processor.cores = registers[1] & 0xffff;
    processor.core_shift = registers[0] & 0x1f;
    return processor;
}

/* A started processor; `index` counts them in the order of their arrival. */
void processor_main(uint32_t index)
{
    processors[index + 1] = look();
    __atomic_fetch_add(&reported, 1, __ATOMIC_SEQ_CST);
}

static uint32_t processor_count(void)
{
    const char *text = boot.command_line;
    uint32_t count = 0;

    while (*text && *text != 'x')
        text++;
    while (*text && *++text && *text != ' ')
        count = count * 16 + (uint32_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    return count;
}

static void start_others(void)
{
    trampoline_cr3 = (uint32_t)read_cr3();
    memcpy((void *)CPUS_TRAMPOLINE, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    write32(APIC_SPURIOUS, APIC_ENABLED);
    write32(APIC_COMMAND, ALL_BUT_SELF | INIT_ASSERT);
    write32(APIC_COMMAND, ALL_BUT_SELF | START_UP | CPUS_TRAMPOLINE >> 12);
}

static void print_processor(const struct processor *processor)
{
    print("processor");
    print(" apic=");
    print_hex(processor->apic);
    print(" initial=");
    print_hex(processor->initial_apic);
    print(" logical=");
    print_hex(processor->logical);
    print(" x2apic=");
    print_hex(processor->x2apic);
    print(" threads=");
    print_hex(processor->threads);
    print(" cores=");
    print_hex(processor->cores);
    print(" shift=");
    print_hex(processor->core_shift);
    print("\n");
}

void guest_main(void)
{
    uint32_t count = processor_count();

    processors[0] = look();
    if (count > 1)
        start_others();
    while (__atomic_load_n(&reported, __ATOMIC_SEQ_CST) < count - 1)
        __asm__ volatile("pause");
    for (uint32_t i = 0; i < count; i++)
        print_processor(&processors[i]);
}
