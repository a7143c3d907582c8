/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of x86 control registers, MSR numbers and segment types (Intel SDM vol. 3A). */
#ifndef HUSK_ARCH_X86_64_REGISTERS_H
#define HUSK_ARCH_X86_64_REGISTERS_H

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define RFLAGS_RESERVED 0x2ull

#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_MISC_ENABLE_FAST_STRING 1ull
#define MSR_MTRR_DEFAULT_TYPE 0x2ffu
#define MTRR_ENABLE (1ull << 11)
#define MTRR_WRITE_BACK 6ull

#define PAGE_PRESENT (1ull << 0)
#define PAGE_WRITABLE (1ull << 1)
#define PAGE_LARGE (1ull << 7)

#endif
