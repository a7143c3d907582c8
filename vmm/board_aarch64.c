/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aarch64 board: which devices answer at the addresses of arch/aarch64/layout.h, and what the
 * guest is told of them. Power is KVM's matter here: PSCI calls end the vCPU that makes them.
 */
#include "vmm/board.h"
#include "vmm/board_parts.h"

#include "arch/aarch64/board.h"
#include "arch/aarch64/layout.h"
#include "devices/legacy/pl011.h"
#include "devices/legacy/pl031.h"
#include "devices/legacy/pvpanic.h"
#include "devices/legacy/timing_port.h"
#include "devices/pci/bus.h"
#include "firmware/command_line.h"
#include "firmware/fdt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define COMMAND_LINE_MAX 0x10000u

/* A reset after a panic is PSCI's SYSTEM_RESET2, any other its SYSTEM_RESET. */
#define PANIC_BY_RESET "reboot=panic_warm"

struct board {
    bool has_uart;
    struct pl011 uart;
    struct irq_line uart_irq;
    struct pl031 rtc;
    struct pvpanic pvpanic;
    struct timing_port timing_port;
    bool has_pci;
    struct pci_bus pci;
    bool warm_reset_is_panic; /* so the guest was told */
};

/* --- devices --- */

static int add_uart(struct machine *machine, struct board *board, struct err *err)
{
    int rc;

    if (machine->config.console != HUSK_CONSOLE_SERIAL)
        return 0;
    rc = irq_open(&board->uart_irq, LAYOUT_SERIAL_GSI, err);
    if (rc)
        return rc;
    pl011_init(&board->uart, &machine->console, &board->uart_irq);
    board->has_uart = true;
    return bus_add(&machine->mmio, LAYOUT_SERIAL, PL011_SIZE, &pl011_ops, &board->uart, err);
}

static int add_others(struct machine *machine, struct board *board, struct err *err)
{
    int rc = bus_add(&machine->mmio, LAYOUT_RTC, PL031_SIZE, &pl031_ops, &board->rtc, err);

    if (rc == 0)
        rc = bus_add(&machine->mmio, LAYOUT_PVPANIC, PVPANIC_SIZE, &pvpanic_ops, &board->pvpanic,
                     err);
    return rc ?: bus_add(&machine->mmio, LAYOUT_TIMING, TIMING_PORT_SIZE, &timing_port_ops,
                         &board->timing_port, err);
}

struct pci_bus *board_pci_bus(struct board *board)
{
    return board->has_pci ? &board->pci : NULL;
}

int board_create(struct machine *machine, struct board **out, struct err *err)
{
    const struct pci_window window = {LAYOUT_PCI_WINDOW, LAYOUT_PCI_WINDOW_SIZE};
    struct board *board = calloc(1, sizeof *board);
    int rc;

    if (!board)
        return err_set(err, -ENOMEM, "out of memory");
    board->uart_irq.fd = -1;
    pl031_init(&board->rtc, NULL, NULL);
    pvpanic_init(&board->pvpanic, machine_power_sink(machine));
    timing_port_init(&board->timing_port, board_mark_phase, machine);
    *out = board;
    rc = add_uart(machine, board, err);
    if (rc == 0)
        rc = add_others(machine, board, err);
    if (rc || machine->config.bus != HUSK_BUS_PCI)
        return rc;
    board->has_pci = true;
    return board_add_pci(machine, &board->pci, LAYOUT_PCI_ECAM, &window, err);
}

void board_destroy(struct board *board)
{
    if (!board)
        return;
    if (board->has_uart)
        pl011_destroy(&board->uart);
    irq_close(&board->uart_irq);
    if (board->has_pci)
        pci_bus_destroy(&board->pci);
    free(board);
}

/*
 * Without ACPI a button would be a line of a GPIO controller (PL061) that gpio-keys listens to; but
 * Debian's kernel for clouds leaves out gpio-keys, so nobody would hear it.
 */
int board_press_power_button(const struct machine *machine, struct err *err)
{
    (void)machine;
    return err_set(err, -ENOTSUP, "this machine has no power button");
}

int board_connect(struct machine *machine, struct board *board, struct err *err)
{
    return board->has_uart ? vm_connect_irq(&machine->vm, &board->uart_irq, err) : 0;
}

bool board_reset_is_panic(const struct board *board, uint64_t flags)
{
    return board->warm_reset_is_panic && (flags & KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2);
}

int board_virtio_slot(unsigned slot, uint64_t *window, uint32_t *gsi, struct err *err)
{
    *gsi = LAYOUT_VIRTIO_GSI_FIRST + slot;
    if (*gsi >= LAYOUT_VIRTIO_GSI_END)
        return err_set(err, -ENOSPC,
                       "too many devices: %u fit; use fewer disks or networks, or --bus pci", slot);
    *window = LAYOUT_VIRTIO_MMIO + slot * LAYOUT_VIRTIO_MMIO_STRIDE;
    return 0;
}

/* --- boot image and device tree --- */

static struct fdt_gic describe_gic(const struct machine *machine)
{
    const struct gic *gic = arch_host_gic(machine->host);
    bool v3 = gic->kind == GIC_V3;
    struct fdt_gic described = {
        .version = v3 ? FDT_GIC_V3 : FDT_GIC_V2,
        .distributor = {LAYOUT_GIC_DISTRIBUTOR, v3 ? LAYOUT_GICV3_DISTRIBUTOR_SIZE
                                                   : LAYOUT_GICV2_DISTRIBUTOR_SIZE},
        .cpus = {LAYOUT_GICV2_CPU_INTERFACE, LAYOUT_GICV2_CPU_INTERFACE_SIZE},
        .message_spi_first = LAYOUT_GSI_COUNT,
        .message_spi_count = LAYOUT_GICV2M_SPI_COUNT,
    };

    if (v3)
        described.cpus = (struct fdt_window){
            LAYOUT_REDISTRIBUTORS, machine->config.cpus * LAYOUT_REDISTRIBUTOR_SIZE};
    if (gic->messages && v3)
        described.messages = (struct fdt_window){LAYOUT_ITS, LAYOUT_ITS_SIZE};
    else if (gic->messages)
        described.messages = (struct fdt_window){LAYOUT_GICV2M, LAYOUT_GICV2M_SIZE};
    return described;
}

static void describe_devices(struct machine *machine, struct fdt_config *config,
                             struct fdt_device *windows)
{
    config->rtc = (struct fdt_window){LAYOUT_RTC, PL031_SIZE};
    config->pvpanic = (struct fdt_window){LAYOUT_PVPANIC, PVPANIC_SIZE};
    if (machine->config.console == HUSK_CONSOLE_SERIAL)
        config->serial =
            (struct fdt_device){{LAYOUT_SERIAL, PL011_SIZE}, LAYOUT_SERIAL_GSI};
    if (board_pci_bus(machine->board)) {
        config->pci_ecam = (struct fdt_window){LAYOUT_PCI_ECAM, FDT_PCI_ECAM_SIZE};
        config->pci_window = (struct fdt_window){LAYOUT_PCI_WINDOW, LAYOUT_PCI_WINDOW_SIZE};
        return;
    }
    config->virtio_mmio = windows;
    config->virtio_mmio_count = machine->virtio_count;
    for (unsigned i = 0; i < machine->virtio_count; i++)
        windows[i] = (struct fdt_device){{machine->virtio[i].window, VIRTIO_MMIO_WINDOW},
                                         machine->virtio[i].mmio.irq.gsi};
}

static int write_fdt(struct machine *machine, const char *command_line,
                     const struct memory_range *initrd, struct err *err)
{
    const struct memory_range area = {gpa(LAYOUT_FDT), LAYOUT_FDT_SIZE};
    struct fdt_device windows[MACHINE_VIRTIO_MAX];
    uint32_t cpu_ids[ARCH_VCPUS_MAX];
    struct fdt_config config = {
        .command_line = command_line,
        .initrd = *initrd,
        .cpu_ids = cpu_ids,
        .cpu_count = machine->config.cpus,
        .has_pmu = arch_host_has_pmu(machine->host),
        .gic = describe_gic(machine),
    };

    for (unsigned i = 0; i < config.cpu_count; i++)
        cpu_ids[i] = arch_vcpu_affinity(i);
    describe_devices(machine, &config, windows);
    if (getrandom(config.seed, sizeof config.seed, 0) != sizeof config.seed)
        return err_sys(err, -errno, "cannot get random bytes for the guest");
    return fdt_build(&machine->memory, area, &config, err);
}

/*
 * What a stock kernel needs to be told on this board: where its console is, and to reset warmly
 * after a panic and only then, because distributions leave out the driver of pvpanic.
 */
static const char *own_command_line(const struct machine_config *config)
{
    static const char *const consoles[] = {
        [HUSK_CONSOLE_SERIAL] = "console=ttyAMA0 " PANIC_BY_RESET,
        [HUSK_CONSOLE_VIRTIO] = "console=hvc0 " PANIC_BY_RESET,
        [HUSK_CONSOLE_OFF] = PANIC_BY_RESET,
    };

    return consoles[config->console];
}

static int load_with_command_line(struct machine *machine, char *line, struct err *err)
{
    const struct kernel_limits limits = {&kernel_machine_aarch64, gpa(LAYOUT_KERNEL_MIN),
                                         gpa(UINT64_MAX)};
    struct memory_range initrd;
    struct kernel kernel;
    int rc = board_load_files(machine, &limits, &kernel, &initrd, err);

    if (rc == 0)
        rc = board_command_line(machine, own_command_line(&machine->config), line,
                                COMMAND_LINE_MAX, err);
    if (rc == 0)
        rc = command_line_check(&kernel, line, COMMAND_LINE_MAX, err);
    if (rc == 0)
        rc = write_fdt(machine, line, &initrd, err);
    if (rc)
        return rc;
    machine->board->warm_reset_is_panic = strstr(line, PANIC_BY_RESET);
    machine->memory_used = kernel.range.base.v + kernel.range.size - LAYOUT_RAM;
    machine->entry = (struct boot_entry){kernel.protocol, kernel.entry, gpa(LAYOUT_FDT)};
    return 0;
}

int board_load(struct machine *machine, struct err *err)
{
    char *line = malloc(COMMAND_LINE_MAX);
    int rc;

    if (!line)
        return err_set(err, -ENOMEM, "out of memory");
    rc = load_with_command_line(machine, line, err);
    free(line);
    return rc;
}
