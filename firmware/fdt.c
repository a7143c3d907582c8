/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the tree from top to bottom with libfdt's sequential functions; see firmware/fdt.h. */
#include "firmware/fdt.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

enum { PHANDLE_GIC = 1, PHANDLE_MESSAGES, PHANDLE_CLOCK };

/* bindings/interrupt-controller/arm,gic.yaml: type, number, flags */
#define INTERRUPT_SPI 0u
#define INTERRUPT_PPI 1u
#define INTERRUPT_EDGE 1u
#define INTERRUPT_LEVEL 4u
#define GIC_CELLS 3u
#define GICV2_CPUS_SHIFT 8u
#define GICV2_CPUS_MAX 8u
#define SPI_BASE 32u /* of SPI 0 among all of a GIC's interrupts */

/* As KVM wires them, and Arm's Base System Architecture recommends. */
#define PPI_TIMER_SECURE 13u
#define PPI_TIMER_PHYSICAL 14u
#define PPI_TIMER_VIRTUAL 11u
#define PPI_TIMER_HYPERVISOR 10u
#define PPI_PMU 7u

#define ADDRESS_CELLS 2u
#define SIZE_CELLS 2u
#define CLOCK_HZ 24000000u

/* IEEE 1275 PCI bus binding: phys.hi of a 32-bit memory address. */
#define PCI_MEMORY32 0x02000000u
#define PCI_ADDRESS_CELLS 3u
#define PCI_REQUESTERS 0x10000u

#define NAME_MAX_SIZE 40
#define CELLS_MAX 16

/* An error sticks: what follows it does nothing. */
struct tree {
    void *fdt;
    const struct fdt_config *config;
    int rc; /* of libfdt */
};

/* --- properties --- */

static void keep(struct tree *tree, int rc)
{
    if (tree->rc == 0)
        tree->rc = rc;
}

static void begin(struct tree *tree, const char *name)
{
    if (tree->rc == 0)
        keep(tree, fdt_begin_node(tree->fdt, name));
}

/* "name@base", as the specification wants nodes with registers named. */
static void begin_at(struct tree *tree, const char *name, uint64_t base)
{
    char full[NAME_MAX_SIZE];

    snprintf(full, sizeof full, "%s@%llx", name, (unsigned long long)base);
    begin(tree, full);
}

static void end(struct tree *tree)
{
    if (tree->rc == 0)
        keep(tree, fdt_end_node(tree->fdt));
}

static void put(struct tree *tree, const char *name, const void *value, size_t size)
{
    if (tree->rc == 0)
        keep(tree, fdt_property(tree->fdt, name, value, (int)size));
}

static void put_flag(struct tree *tree, const char *name)
{
    put(tree, name, NULL, 0);
}

static void put_string(struct tree *tree, const char *name, const char *value)
{
    put(tree, name, value, strlen(value) + 1);
}

/* A list of strings is written with the NULs between them. */
#define put_strings(tree, name, value) put(tree, name, value, sizeof(value))

static void put_cells(struct tree *tree, const char *name, const uint32_t *cells, unsigned count)
{
    fdt32_t big_endian[CELLS_MAX];

    for (unsigned i = 0; i < count; i++)
        big_endian[i] = cpu_to_fdt32(cells[i]);
    put(tree, name, big_endian, count * sizeof big_endian[0]);
}

#define put_list(tree, name, ...)                                                                 \
    put_cells(tree, name, (const uint32_t[]){__VA_ARGS__},                                        \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define HALVES(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value)

static void put_u64(struct tree *tree, const char *name, uint64_t value)
{
    put_list(tree, name, HALVES(value));
}

static void put_registers(struct tree *tree, const struct fdt_window *window)
{
    put_list(tree, "reg", HALVES(window->base), HALVES(window->size));
}

static void put_spi(struct tree *tree, uint32_t spi)
{
    put_list(tree, "interrupts", INTERRUPT_SPI, spi, INTERRUPT_EDGE);
}

static void put_shape(struct tree *tree)
{
    put_list(tree, "#address-cells", ADDRESS_CELLS);
    put_list(tree, "#size-cells", SIZE_CELLS);
}

/* Flags of a private interrupt: level; a GICv2 wants to be told of which processors, too. */
static uint32_t private_flags(const struct tree *tree)
{
    if (tree->config->gic.version != FDT_GIC_V2)
        return INTERRUPT_LEVEL;
    return INTERRUPT_LEVEL | ((1u << tree->config->cpu_count) - 1) << GICV2_CPUS_SHIFT;
}

/* --- nodes --- */

static void add_chosen(struct tree *tree)
{
    const struct fdt_config *config = tree->config;
    const struct memory_range *initrd = &config->initrd;
    char path[NAME_MAX_SIZE];

    begin(tree, "chosen");
    put_string(tree, "bootargs", config->command_line);
    if (config->serial.registers.size) {
        snprintf(path, sizeof path, "/serial@%llx",
                 (unsigned long long)config->serial.registers.base);
        put_string(tree, "stdout-path", path);
    }
    if (initrd->size) {
        put_u64(tree, "linux,initrd-start", initrd->base.v);
        put_u64(tree, "linux,initrd-end", initrd->base.v + initrd->size);
    }
    put(tree, "rng-seed", config->seed + sizeof(uint64_t), sizeof config->seed - sizeof(uint64_t));
    put(tree, "kaslr-seed", config->seed, sizeof(uint64_t));
    end(tree);
}

static void add_memory(struct tree *tree, const struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct memory_region *region = &memory->regions[i];
        const struct fdt_window window = {region->base.v, region->size};

        begin_at(tree, "memory", window.base);
        put_string(tree, "device_type", "memory");
        put_registers(tree, &window);
        end(tree);
    }
}

/* bindings/arm/cpus.yaml; one socket, one thread a core */
static void add_cpus(struct tree *tree)
{
    begin(tree, "cpus");
    put_list(tree, "#address-cells", 1);
    put_list(tree, "#size-cells", 0);
    for (unsigned i = 0; i < tree->config->cpu_count; i++) {
        begin_at(tree, "cpu", tree->config->cpu_ids[i]);
        put_string(tree, "device_type", "cpu");
        put_string(tree, "compatible", "arm,armv8");
        put_list(tree, "reg", tree->config->cpu_ids[i]);
        put_string(tree, "enable-method", "psci");
        end(tree);
    }
    end(tree);
}

/* arm,psci-1.0: processors are turned on, and the machine off, by hypervisor calls to KVM */
static void add_psci(struct tree *tree)
{
    begin(tree, "psci");
    put_strings(tree, "compatible", "arm,psci-1.0\0arm,psci-0.2");
    put_string(tree, "method", "hvc");
    end(tree);
}

/* arm,armv8-timer */
static void add_timer(struct tree *tree)
{
    const uint32_t flags = private_flags(tree);

    begin(tree, "timer");
    put_string(tree, "compatible", "arm,armv8-timer");
    put_list(tree, "interrupts", INTERRUPT_PPI, PPI_TIMER_SECURE, flags, INTERRUPT_PPI,
             PPI_TIMER_PHYSICAL, flags, INTERRUPT_PPI, PPI_TIMER_VIRTUAL, flags, INTERRUPT_PPI,
             PPI_TIMER_HYPERVISOR, flags);
    put_flag(tree, "always-on");
    end(tree);
}

static void add_pmu(struct tree *tree)
{
    begin(tree, "pmu");
    put_string(tree, "compatible", "arm,armv8-pmuv3");
    put_list(tree, "interrupts", INTERRUPT_PPI, PPI_PMU, private_flags(tree));
    end(tree);
}

/* arm,gic-v3-its, or arm,gic-v2m-frame */
static void add_messages(struct tree *tree)
{
    const struct fdt_gic *gic = &tree->config->gic;
    bool v3 = gic->version == FDT_GIC_V3;

    begin_at(tree, "msi-controller", gic->messages.base);
    put_string(tree, "compatible", v3 ? "arm,gic-v3-its" : "arm,gic-v2m-frame");
    put_flag(tree, "msi-controller");
    if (v3) {
        put_list(tree, "#msi-cells", 1);
    } else {
        put_list(tree, "arm,msi-base-spi", SPI_BASE + gic->message_spi_first);
        put_list(tree, "arm,msi-num-spis", gic->message_spi_count);
    }
    put_registers(tree, &gic->messages);
    put_list(tree, "phandle", PHANDLE_MESSAGES);
    end(tree);
}

/* arm,gic-v3, or arm,cortex-a15-gic, which is a GICv2 */
static void add_gic(struct tree *tree)
{
    const struct fdt_gic *gic = &tree->config->gic;

    begin_at(tree, "interrupt-controller", gic->distributor.base);
    put_string(tree, "compatible",
               gic->version == FDT_GIC_V3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
    put_list(tree, "#interrupt-cells", GIC_CELLS);
    put_flag(tree, "interrupt-controller");
    put_shape(tree);
    put_flag(tree, "ranges");
    put_list(tree, "reg", HALVES(gic->distributor.base), HALVES(gic->distributor.size),
             HALVES(gic->cpus.base), HALVES(gic->cpus.size));
    put_list(tree, "phandle", PHANDLE_GIC);
    if (gic->messages.size)
        add_messages(tree);
    end(tree);
}

/* The clock that PL011 and PL031 are said to have, as their drivers insist on one. */
static void add_clock(struct tree *tree)
{
    begin(tree, "clock");
    put_string(tree, "compatible", "fixed-clock");
    put_list(tree, "#clock-cells", 0);
    put_list(tree, "clock-frequency", CLOCK_HZ);
    put_list(tree, "phandle", PHANDLE_CLOCK);
    end(tree);
}

static void add_serial(struct tree *tree)
{
    const struct fdt_device *serial = &tree->config->serial;

    begin_at(tree, "serial", serial->registers.base);
    put_strings(tree, "compatible", "arm,pl011\0arm,primecell");
    put_registers(tree, &serial->registers);
    put_spi(tree, serial->spi);
    put_list(tree, "clocks", PHANDLE_CLOCK, PHANDLE_CLOCK);
    put_strings(tree, "clock-names", "uartclk\0apb_pclk");
    end(tree);
}

static void add_rtc(struct tree *tree)
{
    begin_at(tree, "rtc", tree->config->rtc.base);
    put_strings(tree, "compatible", "arm,pl031\0arm,primecell");
    put_registers(tree, &tree->config->rtc);
    put_list(tree, "clocks", PHANDLE_CLOCK);
    put_string(tree, "clock-names", "apb_pclk");
    end(tree);
}

/* Known to Linux's pvpanic-mmio driver. */
static void add_pvpanic(struct tree *tree)
{
    begin_at(tree, "pvpanic", tree->config->pvpanic.base);
    put_string(tree, "compatible", "qemu,pvpanic-mmio");
    put_registers(tree, &tree->config->pvpanic);
    end(tree);
}

static void add_virtio_mmio(struct tree *tree, const struct fdt_device *device)
{
    begin_at(tree, "virtio", device->registers.base);
    put_string(tree, "compatible", "virtio,mmio");
    put_registers(tree, &device->registers);
    put_spi(tree, device->spi);
    put_flag(tree, "dma-coherent");
    end(tree);
}

/* pci-host-ecam-generic; no port I/O, no interrupt pins, messages by requester id */
static void add_pci(struct tree *tree)
{
    const struct fdt_config *config = tree->config;
    const struct fdt_window *window = &config->pci_window;

    begin_at(tree, "pcie", config->pci_ecam.base);
    put_string(tree, "compatible", "pci-host-ecam-generic");
    put_string(tree, "device_type", "pci");
    put_list(tree, "#address-cells", PCI_ADDRESS_CELLS);
    put_list(tree, "#size-cells", SIZE_CELLS);
    put_list(tree, "bus-range", 0, 0);
    put_list(tree, "linux,pci-domain", 0);
    put_registers(tree, &config->pci_ecam);
    put_list(tree, "ranges", PCI_MEMORY32, HALVES(window->base), HALVES(window->base),
             HALVES(window->size));
    if (config->gic.messages.size)
        put_list(tree, "msi-map", 0, PHANDLE_MESSAGES, 0, PCI_REQUESTERS);
    put_flag(tree, "dma-coherent");
    end(tree);
}

static void add_devices(struct tree *tree)
{
    const struct fdt_config *config = tree->config;

    if (config->has_pmu)
        add_pmu(tree);
    if (config->serial.registers.size)
        add_serial(tree);
    if (config->rtc.size)
        add_rtc(tree);
    if (config->pvpanic.size)
        add_pvpanic(tree);
    for (unsigned i = 0; i < config->virtio_mmio_count; i++)
        add_virtio_mmio(tree, &config->virtio_mmio[i]);
    if (config->pci_ecam.size)
        add_pci(tree);
}

static void add_root(struct tree *tree, const struct guest_memory *memory)
{
    begin(tree, "");
    put_string(tree, "compatible", "linux,dummy-virt");
    put_string(tree, "model", "Husk");
    put_list(tree, "interrupt-parent", PHANDLE_GIC);
    put_shape(tree);
    add_chosen(tree);
    add_memory(tree, memory);
    add_cpus(tree);
    add_psci(tree);
    add_timer(tree);
    add_gic(tree);
    add_clock(tree);
    add_devices(tree);
    end(tree);
}

/* --- the whole --- */

static int check_config(const struct fdt_config *config, struct err *err)
{
    bool v2 = config->gic.version == FDT_GIC_V2;
    unsigned cpus = v2 ? GICV2_CPUS_MAX : FDT_CPUS_MAX;

    if (config->cpu_count == 0 || config->cpu_count > cpus)
        return err_set(err, -EINVAL, "device tree: %u processors; 1 to %u are possible",
                       config->cpu_count, cpus);
    if (config->virtio_mmio_count > FDT_VIRTIO_MMIO_MAX)
        return err_set(err, -EINVAL, "device tree: %u virtio devices; at most %u are possible",
                       config->virtio_mmio_count, FDT_VIRTIO_MMIO_MAX);
    if (config->pci_window.base + config->pci_window.size < config->pci_window.base ||
        config->pci_window.base + config->pci_window.size > UINT32_MAX)
        return err_set(err, -EINVAL, "device tree: PCI's window is not below 4 GiB");
    return 0;
}

static int explain(const struct tree *tree, struct memory_range area, struct err *err)
{
    switch (tree->rc) {
    case 0:
        return 0;
    case -FDT_ERR_NOSPACE:
        return err_set(err, -ENOSPC, "device tree: does not fit into %llu bytes",
                       (unsigned long long)area.size);
    default:
        return err_set(err, -EINVAL, "device tree: %s", fdt_strerror(tree->rc));
    }
}

int fdt_build(const struct guest_memory *memory, struct memory_range area,
              const struct fdt_config *config, struct err *err)
{
    struct tree tree = {.fdt = memory_at(memory, area.base, area.size), .config = config};
    int rc = check_config(config, err);

    if (rc)
        return rc;
    if (area.base.v % FDT_ALIGNMENT || area.size > FDT_SIZE_MAX)
        return err_set(err, -EINVAL, "device tree: no place for one is %llu bytes at 0x%llx",
                       (unsigned long long)area.size, (unsigned long long)area.base.v);
    if (!tree.fdt)
        return err_set(err, -EFAULT, "device tree: no guest memory at 0x%llx",
                       (unsigned long long)area.base.v);
    tree.rc = fdt_create(tree.fdt, (int)area.size);
    if (tree.rc == 0)
        tree.rc = fdt_finish_reservemap(tree.fdt);
    add_root(&tree, memory);
    if (tree.rc == 0)
        tree.rc = fdt_finish(tree.fdt);
    return explain(&tree, area, err);
}
