/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers in words, for the report on a guest that cannot go on. */
#include "arch/aarch64/registers.h"
#include "arch/arch.h"
#include "arch/text.h"

#define CODE_WORDS 4
#define GENERAL_REGISTERS 31
#define REGISTERS_A_LINE 4
#define SCTLR_MMU 1u

static uint64_t value_of(const struct vcpu *vcpu, uint64_t id)
{
    uint64_t value = 0;

    register_get(vcpu->fd, id, &value);
    return value;
}

static void append_general(struct text *text, const struct vcpu *vcpu)
{
    for (unsigned i = 0; i < GENERAL_REGISTERS; i++)
        text_append(text, "  x%-2u %016llx%s", i,
                    (unsigned long long)value_of(vcpu, GENERAL_REGISTER(i)),
                    i % REGISTERS_A_LINE == REGISTERS_A_LINE - 1 ? "\n" : "");
    text_append(text, "\n");
}

static void append_system(struct text *text, const struct vcpu *vcpu)
{
    const struct {
        const char *name;
        uint64_t id;
    } registers[] = {
        {"sctlr", REGISTER_SCTLR_EL1}, {"ttbr0", REGISTER_TTBR0_EL1},
        {"ttbr1", REGISTER_TTBR1_EL1}, {"vbar", REGISTER_VBAR_EL1},
        {"esr", REGISTER_ESR_EL1},     {"far", REGISTER_FAR_EL1},
        {"elr", CORE_REGISTER(elr_el1)},
    };

    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++)
        text_append(text, "  %-5s %016llx%s", registers[i].name,
                    (unsigned long long)value_of(vcpu, registers[i].id),
                    i % REGISTERS_A_LINE == REGISTERS_A_LINE - 1 ? "\n" : "");
    text_append(text, "\n");
}

/* KVM translates no addresses on arm64, so only what runs without the MMU is shown. */
static void append_code(struct text *text, const struct vcpu *vcpu,
                        const struct guest_memory *memory, uint64_t pc)
{
    uint32_t code[CODE_WORDS];

    text_append(text, "  code at pc:");
    if ((value_of(vcpu, REGISTER_SCTLR_EL1) & SCTLR_MMU) ||
        memory_read(memory, gpa(pc), code, sizeof code) < 0) {
        text_append(text, " not readable");
        return;
    }
    for (unsigned i = 0; i < CODE_WORDS; i++)
        text_append(text, " %08x", code[i]);
}

void arch_vcpu_describe(const struct vcpu *vcpu, const struct guest_memory *memory, char *out,
                        size_t size)
{
    struct text text = {out, size};
    uint64_t pc;

    if (register_get(vcpu->fd, CORE_REGISTER(regs.pc), &pc) < 0) {
        text_append(&text, "vCPU %u: registers not readable", vcpu->index);
        return;
    }
    text_append(&text, "vCPU %u:\n  pc %016llx  sp %016llx  pstate %08llx\n", vcpu->index,
                (unsigned long long)pc, (unsigned long long)value_of(vcpu, CORE_REGISTER(sp_el1)),
                (unsigned long long)value_of(vcpu, CORE_REGISTER(regs.pstate)));
    append_general(&text, vcpu);
    append_system(&text, vcpu);
    append_code(&text, vcpu, memory, pc);
}
