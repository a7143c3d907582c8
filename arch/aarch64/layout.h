/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aarch64 machine's map: every fixed address and gsi in one place.
 *
 *     guest-physical memory
 *     0x0800_0000  +--------------------------------------------+
 *                  | GIC: distributor                           |
 *     0x0801_0000  | GICv2: CPU interface                       |
 *     0x0802_0000  | GICv2: v2m frame, which turns messages     |
 *                  | into SPIs                                  |
 *     0x0808_0000  | GICv3: ITS, which turns messages into LPIs |
 *     0x080a_0000  | GICv3: redistributors, 128 KiB a vCPU      |
 *     0x0900_0000  | PL011 UART                                 |
 *     0x0901_0000  | PL031 RTC                                  |
 *     0x0902_0000  | timing marks (not in the device tree)      |
 *     0x0903_0000  | pvpanic                                    |
 *     0x0a00_0000  | virtio-mmio windows, one page each         |
 *     0x1000_0000  | PCI: window for BARs (256 MiB)             |
 *     0x2000_0000  | PCI: configuration space (ECAM, bus 0)     |
 *     0x4000_0000  +--- RAM ------------------------------------+
 *                  | device tree (2 MiB at most)                |
 *     0x4020_0000  | kernel, then initrd at the top             |
 *                  +--------------------------------------------+
 *
 *     gsi n is shared interrupt (SPI) n of the GIC, which is its interrupt 32 + n
 *      1        serial (edge)
 *      2 .. 31  virtio-mmio (edge)
 *     32 ..     messages (MSI-X); with a GICv2 they become SPIs from 32 on
 *
 *     private interrupt (PPI) 7: PMU; 11: virtual timer; 13, 14: physical timers
 */
#ifndef HUSK_ARCH_AARCH64_LAYOUT_H
#define HUSK_ARCH_AARCH64_LAYOUT_H

#define LAYOUT_GIC_DISTRIBUTOR 0x08000000ull
#define LAYOUT_GICV2_DISTRIBUTOR_SIZE 0x1000ull
#define LAYOUT_GICV2_CPU_INTERFACE 0x08010000ull
#define LAYOUT_GICV2_CPU_INTERFACE_SIZE 0x2000ull
#define LAYOUT_GICV2M 0x08020000ull
#define LAYOUT_GICV2M_SIZE 0x1000ull
#define LAYOUT_GICV3_DISTRIBUTOR_SIZE 0x10000ull
#define LAYOUT_ITS 0x08080000ull
#define LAYOUT_ITS_SIZE 0x20000ull
#define LAYOUT_REDISTRIBUTORS 0x080a0000ull
#define LAYOUT_REDISTRIBUTOR_SIZE 0x20000ull

#define LAYOUT_SERIAL 0x09000000ull
#define LAYOUT_RTC 0x09010000ull
#define LAYOUT_TIMING 0x09020000ull
#define LAYOUT_PVPANIC 0x09030000ull
#define LAYOUT_VIRTIO_MMIO 0x0a000000ull
#define LAYOUT_VIRTIO_MMIO_STRIDE 0x1000ull
#define LAYOUT_PCI_WINDOW 0x10000000ull
#define LAYOUT_PCI_WINDOW_SIZE 0x10000000ull
#define LAYOUT_PCI_ECAM 0x20000000ull

#define LAYOUT_RAM 0x40000000ull
#define LAYOUT_FDT LAYOUT_RAM
#define LAYOUT_FDT_SIZE 0x200000ull
#define LAYOUT_KERNEL_MIN (LAYOUT_FDT + LAYOUT_FDT_SIZE)

#define LAYOUT_SERIAL_GSI 1u
#define LAYOUT_VIRTIO_GSI_FIRST 2u
#define LAYOUT_VIRTIO_GSI_END 32u
#define LAYOUT_GSI_COUNT 32u /* the least that a GIC has: a guest sets up each, by exits */
#define LAYOUT_GICV2M_SPI_COUNT 512u

#define LAYOUT_SPI_BASE 32u /* the GIC's number of SPI 0 */
#define LAYOUT_PPI_BASE 16u
#define LAYOUT_PMU_PPI 7u

#endif
