/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x86_64 machine's map: every fixed address, port and gsi in one place.
 *
 *     guest-physical memory
 *     0x0_0000_0000  +--------------------------------------------+
 *          0x0_0500  | GDT for the boot vCPU                      |
 *          0x0_6000  | PVH start_info, its modules and memory map |
 *          0x0_7000  | zero page (Linux boot_params)              |
 *          0x0_9000  | page tables: identity map of 4 GiB         |
 *          0x2_0000  | kernel command line (64 KiB at most)       |
 *          0x9_fc00  | end of low RAM told to the guest           |
 *          0xe_0000  | ACPI tables, RSDP first                    |
 *          0xf_fff0  | reset vector                               |
 *        0x0010_0000 | kernel (1 MiB), then initrd at the top of  |
 *                    | the RAM below the hole                     |
 *        0xc000_0000 +--- hole for devices (3 GiB to 4 GiB) ------+
 *                    | PCI: window for BARs (256 MiB)             |
 *        0xd000_0000 | virtio-mmio windows, one page each         |
 *        0xe000_0000 | PCI: configuration space (ECAM, bus 0)     |
 *        0xfec0_0000 | I/O APIC                                   |
 *        0xfee0_0000 | local APIC                                 |
 *        0xfffb_c000 | KVM's identity-map page, then its TSS      |
 *      0x1_0000_0000 +--- RAM that did not fit below the hole ----+
 *
 *     gsi                                  port
 *      4  serial (edge)                    0x060, 0x064  i8042 (reset only)
 *      5 .. 23  virtio-mmio (edge),        0x070, 0x071  CMOS RTC
 *               without 8 and 9            0x3f8 .. 0x3ff  16550 UART
 *      9  power button (edge)
 *     24 ..     messages (MSI-X)           0x505  pvpanic
 *                                          0x5f0  timing marks
 *                                          0x600 .. 0x602  ACPI sleep and reset
 */
#ifndef HUSK_ARCH_X86_64_LAYOUT_H
#define HUSK_ARCH_X86_64_LAYOUT_H

#define LAYOUT_GDT 0x500ull
#define LAYOUT_PVH_START_INFO 0x6000ull
#define LAYOUT_PVH_START_INFO_SIZE 0x1000ull
#define LAYOUT_ZERO_PAGE 0x7000ull
#define LAYOUT_PAGE_TABLES 0x9000ull
#define LAYOUT_COMMAND_LINE 0x20000ull
#define LAYOUT_COMMAND_LINE_MAX 0x10000ull
#define LAYOUT_LOW_RAM_END 0x9fc00ull
#define LAYOUT_ACPI 0xe0000ull
#define LAYOUT_ACPI_SIZE 0x1f000ull
#define LAYOUT_BIOS 0xff000ull
#define LAYOUT_RESET_VECTOR 0xffff0ull
#define LAYOUT_KERNEL_MIN 0x100000ull

#define LAYOUT_HOLE 0xc0000000ull
#define LAYOUT_PCI_WINDOW 0xc0000000ull
#define LAYOUT_PCI_WINDOW_SIZE 0x10000000ull
#define LAYOUT_VIRTIO_MMIO 0xd0000000ull
#define LAYOUT_VIRTIO_MMIO_STRIDE 0x1000ull
#define LAYOUT_VIRTIO_MMIO_SIZE 0x200ull
#define LAYOUT_PCI_ECAM 0xe0000000ull
#define LAYOUT_PCI_ECAM_SIZE 0x100000ull
#define LAYOUT_IOAPIC 0xfec00000ull
#define LAYOUT_LAPIC 0xfee00000ull
#define LAYOUT_IDENTITY_MAP_PAGE 0xfffbc000ull
#define LAYOUT_TSS 0xfffbd000ull
#define LAYOUT_HIGH_RAM 0x100000000ull

#define LAYOUT_SERIAL_GSI 4u
#define LAYOUT_VIRTIO_GSI_FIRST 5u
#define LAYOUT_GSI_COUNT 24u
#define LAYOUT_RTC_GSI 8u
#define LAYOUT_POWER_BUTTON_GSI 9u

#define LAYOUT_I8042_DATA_PORT 0x60u
#define LAYOUT_I8042_COMMAND_PORT 0x64u
#define LAYOUT_RTC_PORT 0x70u
#define LAYOUT_SERIAL_PORT 0x3f8u
#define LAYOUT_PVPANIC_PORT 0x505u
#define LAYOUT_TIMING_PORT 0x5f0u
#define LAYOUT_POWER_PORT 0x600u
#define LAYOUT_SLEEP_CONTROL_PORT LAYOUT_POWER_PORT
#define LAYOUT_SLEEP_STATUS_PORT (LAYOUT_POWER_PORT + 1)
#define LAYOUT_RESET_PORT (LAYOUT_POWER_PORT + 2)
#define LAYOUT_RESET_VALUE 0x01u

#endif
