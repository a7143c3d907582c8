/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: Intel SDM vol. 2A "CPUID"; AMD APM vol. 3 appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst.
 *
 * Wrong topology leaves cost a guest real time: a kernel that takes every vCPU for a socket of
 * its own builds its scheduler domains, caches and timers accordingly.
 */
#include "arch/x86_64/cpuid.h"

#include <string.h>

#define LEAF1_EBX_LOGICAL_COUNT_SHIFT 16
#define LEAF1_EBX_APIC_ID_SHIFT 24
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_ECX_X2APIC (1u << 21)
#define LEAF1_ECX_PDCM (1u << 15)
#define LEAF1_EDX_HTT (1u << 28)
#define LEAF80000001_ECX_TOPOEXT (1u << 22)
#define LEAF80000001_ECX_CMP_LEGACY (1u << 1)
#define LEAF80000001_ECX_PERFCTR_CORE (1u << 23)

#define TOPOLOGY_LEVEL_SMT 1u
#define TOPOLOGY_LEVEL_CORE 2u

/* Bits of an APIC id that number the cores: ceil(log2(count)). */
static unsigned core_bits(unsigned count)
{
    unsigned bits = 0;

    while ((1u << bits) < count)
        bits++;
    return bits;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < table->header.nent; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];

        if (entry->function == leaf &&
            (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == subleaf))
            return entry;
    }
    return NULL;
}

static void remove_leaf(struct cpuid_table *table, uint32_t leaf)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < table->header.nent; i++)
        if (table->entries[i].function != leaf)
            table->entries[kept++] = table->entries[i];
    table->header.nent = kept;
}

static void add(struct cpuid_table *table, const struct kvm_cpuid_entry2 *entry)
{
    if (table->header.nent < CPUID_ENTRIES_MAX)
        table->entries[table->header.nent++] = *entry;
}

static void set_features(struct cpuid_table *table, unsigned index, unsigned count)
{
    struct kvm_cpuid_entry2 *leaf = find(table, 1, 0);

    if (!leaf)
        return;
    leaf->ebx &= 0xffff;
    leaf->ebx |= index << LEAF1_EBX_APIC_ID_SHIFT;
    leaf->ebx |= (1u << core_bits(count)) << LEAF1_EBX_LOGICAL_COUNT_SHIFT;
    /* The in-kernel APIC has both of these, though KVM leaves it to us to say so. */
    leaf->ecx |= LEAF1_ECX_TSC_DEADLINE | LEAF1_ECX_X2APIC | LEAF1_ECX_HYPERVISOR;
    leaf->ecx &= ~LEAF1_ECX_PDCM;
    leaf->edx &= ~LEAF1_EDX_HTT;
    if (count > 1)
        leaf->edx |= LEAF1_EDX_HTT;
}

/* Leaves 4 (Intel) and 0x8000001d (AMD): the last-level cache is shared by all, the rest by none. */
static void set_cache_sharing(struct cpuid_table *table, unsigned count)
{
    for (uint32_t i = 0; i < table->header.nent; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];
        uint32_t level = entry->eax >> 5 & 7;
        uint32_t sharing = level >= 3 ? (1u << core_bits(count)) - 1 : 0;

        if ((entry->function != 4 && entry->function != 0x8000001d) || (entry->eax & 0x1f) == 0)
            continue;
        entry->eax &= ~(0xfffu << 14);
        entry->eax |= sharing << 14;
        if (entry->function == 4) {
            entry->eax &= ~(0x3fu << 26);
            entry->eax |= ((1u << core_bits(count)) - 1) << 26;
        }
    }
}

/* Leaf 0xb and its superset 0x1f: one thread a core, `count` cores a socket. */
static void set_extended_topology(struct cpuid_table *table, uint32_t function, unsigned index,
                                  unsigned count)
{
    struct kvm_cpuid_entry2 level = {
        .function = function,
        .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        .edx = index,
    };

    remove_leaf(table, function);
    level.ebx = 1;
    level.ecx = TOPOLOGY_LEVEL_SMT << 8;
    add(table, &level);
    level.index = 1;
    level.eax = core_bits(count);
    level.ebx = count;
    level.ecx = TOPOLOGY_LEVEL_CORE << 8 | 1;
    add(table, &level);
    level.index = 2;
    level.eax = level.ebx = 0;
    level.ecx = 2;
    add(table, &level);
}

static void set_amd_topology(struct cpuid_table *table, unsigned index, unsigned count)
{
    struct kvm_cpuid_entry2 *features = find(table, 0x80000001, 0);
    struct kvm_cpuid_entry2 *sizes = find(table, 0x80000008, 0);
    struct kvm_cpuid_entry2 *ids = find(table, 0x8000001e, 0);

    if (features) {
        features->ecx &= ~LEAF80000001_ECX_CMP_LEGACY;
        features->ecx &= ~LEAF80000001_ECX_PERFCTR_CORE;
        if (count > 1)
            features->ecx |= LEAF80000001_ECX_CMP_LEGACY;
    }
    if (sizes)
        sizes->ecx = core_bits(count) << 12 | (count - 1);
    if (ids) {
        ids->eax = index; /* extended APIC id */
        ids->ebx = index; /* core id; threads per core - 1 in bits 15:8 */
        ids->ecx = 0;     /* node id; nodes per processor - 1 in bits 10:8 */
    }
}

/* No virtual PMU: a guest that finds one programs it, at an exit or more a register. */
static void hide_pmu(struct cpuid_table *table)
{
    struct kvm_cpuid_entry2 *pmu = find(table, 0xa, 0);

    if (pmu)
        pmu->eax = pmu->ebx = pmu->ecx = pmu->edx = 0;
    remove_leaf(table, 0x80000022);
}

void cpuid_for_vcpu(struct cpuid_table *table, unsigned index, unsigned count)
{
    set_features(table, index, count);
    set_cache_sharing(table, count);
    set_extended_topology(table, 0xb, index, count);
    if (find(table, 0x1f, 0))
        set_extended_topology(table, 0x1f, index, count);
    set_amd_topology(table, index, count);
    hide_pmu(table);
}
