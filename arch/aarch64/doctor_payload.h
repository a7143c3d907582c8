/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor's payload in its machine, for C and assembly. Its device is in arch/doctor.h.
 *
 *     0x4020_0000  the payload, code and data
 *     0x4028_0000  end of its stack
 *     0x4029_0000  translation table: a GiB an entry
 *     0x402a_0000  a page for the probe's own use
 *
 *     virtual memory, once a probe has turned it on
 *     0 GiB  devices          2 GiB  RAM again, for user mode
 *     1 GiB  RAM              3 GiB  nothing
 */
#ifndef HUSK_ARCH_AARCH64_DOCTOR_PAYLOAD_H
#define HUSK_ARCH_AARCH64_DOCTOR_PAYLOAD_H

#define PAYLOAD_BASE 0x40200000
#define PAYLOAD_STACK 0x40280000
#define PAYLOAD_TABLE 0x40290000
#define PAYLOAD_SCRATCH 0x402a0000
#define PAYLOAD_MEMORY 0x400000
#define PAYLOAD_USER 0x40000000 /* how far above the kernel's address user mode's is */
#define PAYLOAD_UNMAPPED 0xc0000000

#define PAYLOAD_DISTRIBUTOR 0x08000000
#define PAYLOAD_CPU_INTERFACE 0x08010000
#define PAYLOAD_REDISTRIBUTOR 0x080a0000

#define PAYLOAD_DEVICE 0x0a000000
#define PAYLOAD_DOORBELL 0x0a001000
#define PAYLOAD_DEVICE_GSI 2

#endif
