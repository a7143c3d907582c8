/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flattened device tree of an arm64 machine: what the machine is, told so that a stock kernel
 * finds all of it (Devicetree Specification 0.4; bindings in Linux, Documentation/devicetree/
 * bindings/, which each node's comment in fdt.c names by its compatible).
 *
 * Interrupts of devices are shared ones (SPIs), counted from 0, edge-triggered.
 */
#ifndef HUSK_FIRMWARE_FDT_H
#define HUSK_FIRMWARE_FDT_H

#include "core/err.h"
#include "core/memory.h"

#include <stdbool.h>
#include <stdint.h>

#define FDT_CPUS_MAX 512u
#define FDT_VIRTIO_MMIO_MAX 64u
#define FDT_SIZE_MAX (2ull << 20) /* booting.rst, "Setup the device tree" */
#define FDT_ALIGNMENT 8u
#define FDT_SEED_SIZE 64u
#define FDT_PCI_ECAM_SIZE 0x100000u /* bus 0 alone */

struct fdt_window {
    uint64_t base;
    uint64_t size; /* bytes; 0: there is no such thing */
};

struct fdt_device {
    struct fdt_window registers;
    uint32_t spi;
};

enum fdt_gic_version { FDT_GIC_V2 = 2, FDT_GIC_V3 = 3 };

struct fdt_gic {
    enum fdt_gic_version version;
    struct fdt_window distributor;
    struct fdt_window cpus;     /* v2: CPU interface; v3: redistributors */
    struct fdt_window messages; /* v2: v2m frame; v3: ITS */
    uint32_t message_spi_first; /* v2m: the SPIs that messages become */
    uint32_t message_spi_count;
};

struct fdt_config {
    const char *command_line;
    struct memory_range initrd; /* size 0: none */
    const uint32_t *cpu_ids;    /* MPIDR affinity, bits 23:0; the boot processor first */
    unsigned cpu_count;
    bool has_pmu; /* its interrupt is private interrupt 7 */
    struct fdt_gic gic;
    struct fdt_device serial; /* PL011 */
    struct fdt_window rtc;    /* PL031, which raises no interrupt */
    struct fdt_window pvpanic;
    const struct fdt_device *virtio_mmio;
    unsigned virtio_mmio_count;
    struct fdt_window pci_ecam;   /* of FDT_PCI_ECAM_SIZE bytes */
    struct fdt_window pci_window; /* where BARs may be, below 4 GiB */
    uint8_t seed[FDT_SEED_SIZE];  /* random, for the kernel's generator and its place in memory */
};

/*
 * Writes the tree into `area`, whose base is aligned to FDT_ALIGNMENT. RAM is what `memory` has.
 * Errors: -EINVAL for a configuration that no tree can express, -ENOSPC when the area is too
 * small, -EFAULT when it is not in guest memory.
 */
int fdt_build(const struct guest_memory *memory, struct memory_range area,
              const struct fdt_config *config, struct err *err);

#endif
