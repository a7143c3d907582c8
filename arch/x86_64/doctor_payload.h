/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor's payload in its machine, for C and assembly. Its device is in arch/doctor.h.
 *
 *     0x00_9000  page tables of arch_vcpu_enter(): PML4, PDPT, four directories
 *     0x10_0000  the payload, code and data
 *     0x18_0000  end of its stack
 *     0x18_1000  IDT
 *     0x18_2000  TSS
 *     0x18_8000  a page for the probe's own use (XSAVE areas, copies)
 *     0x19_0000  end of the user stack
 *     0x20_0000  memory that user mode cannot reach
 */
#ifndef HUSK_ARCH_X86_64_DOCTOR_PAYLOAD_H
#define HUSK_ARCH_X86_64_DOCTOR_PAYLOAD_H

#define PAYLOAD_PAGE_TABLES 0x9000
#define PAYLOAD_BASE 0x100000
#define PAYLOAD_STACK 0x180000
#define PAYLOAD_IDT 0x181000
#define PAYLOAD_TSS 0x182000
#define PAYLOAD_SCRATCH 0x188000
#define PAYLOAD_USER_STACK 0x190000
#define PAYLOAD_KERNEL_ONLY 0x200000
#define PAYLOAD_LAPIC 0xfee00000
#define PAYLOAD_IOAPIC 0xfec00000

#define PAYLOAD_DEVICE_PORT 0x5e0
#define PAYLOAD_DEVICE 0xd0000000
#define PAYLOAD_DOORBELL 0xd0001000
#define PAYLOAD_DEVICE_GSI 5
#define PAYLOAD_MEMORY 0x400000

#endif
