/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers in words, for the report on a guest that cannot go on. */
#include "arch/arch.h"
#include "arch/text.h"

#define CODE_BYTES 16

/* The bytes that the vCPU was about to execute, through its own page tables. */
static void append_code(struct text *text, const struct vcpu *vcpu,
                        const struct guest_memory *memory, uint64_t linear)
{
    struct kvm_translation translation = {.linear_address = linear};
    uint8_t code[CODE_BYTES];

    text_append(text, "  code at rip:");
    if (kvm_ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid ||
        memory_read(memory, gpa(translation.physical_address), code, sizeof code) < 0) {
        text_append(text, " not readable");
        return;
    }
    for (unsigned i = 0; i < sizeof code; i++)
        text_append(text, " %02x", code[i]);
}

void arch_vcpu_describe(const struct vcpu *vcpu, const struct guest_memory *memory, char *out,
                        size_t size)
{
    struct text text = {out, size};
    struct kvm_regs r;
    struct kvm_sregs s;

    if (kvm_ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 ||
        kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0) {
        text_append(&text, "vCPU %u: registers not readable", vcpu->index);
        return;
    }
    text_append(&text, "vCPU %u:\n", vcpu->index);
    text_append(&text, "  rip %016llx  rsp %016llx  rflags %016llx\n", r.rip, r.rsp, r.rflags);
    text_append(&text, "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n", r.rax, r.rbx,
                r.rcx, r.rdx);
    text_append(&text, "  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n", r.rsi, r.rdi,
                r.rbp, r.r8);
    text_append(&text, "  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n", r.r9, r.r10,
                r.r11, r.r12);
    text_append(&text, "  r13 %016llx  r14 %016llx  r15 %016llx\n", r.r13, r.r14, r.r15);
    text_append(&text, "  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  efer %llx\n", s.cr0,
                s.cr2, s.cr3, s.cr4, s.efer);
    text_append(&text, "  cs %04x base %llx  ss %04x  gdt %llx/%x  idt %llx/%x\n", s.cs.selector,
                s.cs.base, s.ss.selector, s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
    append_code(&text, vcpu, memory, s.cs.base + r.rip);
}
