/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x86_64 board: which devices answer at the addresses of arch/x86_64/layout.h, and what the
 * guest is told of them.
 */
#include "vmm/board.h"
#include "vmm/board_parts.h"

#include "arch/x86_64/layout.h"
#include "devices/legacy/acpi_power.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/pvpanic.h"
#include "devices/legacy/rtc_cmos.h"
#include "devices/legacy/timing_port.h"
#include "devices/legacy/uart16550.h"
#include "devices/pci/bus.h"
#include "firmware/acpi.h"
#include "firmware/boot_parameters.h"
#include "firmware/command_line.h"
#include "firmware/kernel.h"
#include "firmware/memory_map.h"
#include "firmware/pvh.h"
#include "firmware/zero_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SLEEP_TYPE_S5 5
#define IOAPIC_ID 0

#define OWN_PARAMETERS_MAX 128

struct board {
    bool has_uart;
    struct uart16550 uart;
    struct irq_line uart_irq;
    struct rtc_cmos rtc;
    struct i8042 i8042;
    struct acpi_power power;
    struct pvpanic pvpanic;
    struct timing_port timing_port;
    bool has_pci;
    struct pci_bus pci;
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
    uart16550_init(&board->uart, &machine->console, &board->uart_irq);
    board->has_uart = true;
    return bus_add(&machine->pio, LAYOUT_SERIAL_PORT, UART16550_SIZE, &uart16550_ops,
                   &board->uart, err);
}

static int add_ports(struct machine *machine, struct board *board, struct err *err)
{
    const struct bus_range ports[] = {
        {LAYOUT_I8042_DATA_PORT, I8042_PORT_SIZE, &i8042_data_ops, &board->i8042},
        {LAYOUT_I8042_COMMAND_PORT, I8042_PORT_SIZE, &i8042_command_ops, &board->i8042},
        {LAYOUT_RTC_PORT, RTC_CMOS_SIZE, &rtc_cmos_ops, &board->rtc},
        {LAYOUT_PVPANIC_PORT, PVPANIC_SIZE, &pvpanic_ops, &board->pvpanic},
        {LAYOUT_TIMING_PORT, TIMING_PORT_SIZE, &timing_port_ops, &board->timing_port},
        {LAYOUT_POWER_PORT, ACPI_POWER_SIZE, &acpi_power_ops, &board->power},
    };
    int rc = 0;

    for (unsigned i = 0; i < sizeof ports / sizeof ports[0] && rc == 0; i++)
        rc = bus_add(&machine->pio, ports[i].base, ports[i].size, ports[i].ops, ports[i].device,
                     err);
    return rc;
}

struct pci_bus *board_pci_bus(struct board *board)
{
    return board->has_pci ? &board->pci : NULL;
}

int board_create(struct machine *machine, struct board **out, struct err *err)
{
    const struct pci_window window = {LAYOUT_PCI_WINDOW, LAYOUT_PCI_WINDOW_SIZE};
    struct power_sink sink = machine_power_sink(machine);
    struct board *board = calloc(1, sizeof *board);
    int rc;

    if (!board)
        return err_set(err, -ENOMEM, "out of memory");
    board->uart_irq.fd = -1;
    rtc_cmos_init(&board->rtc, NULL, NULL);
    i8042_init(&board->i8042, sink);
    acpi_power_init(&board->power, SLEEP_TYPE_S5, LAYOUT_RESET_VALUE, sink);
    pvpanic_init(&board->pvpanic, sink);
    timing_port_init(&board->timing_port, board_mark_phase, machine);
    *out = board;
    rc = add_uart(machine, board, err);
    if (rc == 0)
        rc = add_ports(machine, board, err);
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
        uart16550_destroy(&board->uart);
    irq_close(&board->uart_irq);
    i8042_destroy(&board->i8042);
    rtc_cmos_destroy(&board->rtc);
    if (board->has_pci)
        pci_bus_destroy(&board->pci);
    free(board);
}

int board_connect(struct machine *machine, struct board *board, struct err *err)
{
    return board->has_uart ? vm_connect_irq(&machine->vm, &board->uart_irq, err) : 0;
}

/* It says so by pvpanic. */
bool board_reset_is_panic(const struct board *board, uint64_t flags)
{
    (void)board;
    (void)flags;
    return false;
}

int board_press_power_button(const struct machine *machine, struct err *err)
{
    return vm_pulse_irq(&machine->vm, LAYOUT_POWER_BUTTON_GSI, err);
}

/*
 * The RTC's and the SCI's lines are skipped, because guests expect those devices there; that of the
 * SCI, which hardware-reduced ACPI has none of, is the power button's.
 */
int board_virtio_slot(unsigned slot, uint64_t *window, uint32_t *gsi, struct err *err)
{
    *gsi = LAYOUT_VIRTIO_GSI_FIRST + slot;
    if (*gsi >= LAYOUT_RTC_GSI)
        *gsi += 2;
    if (*gsi >= LAYOUT_GSI_COUNT)
        return err_set(err, -ENOSPC,
                       "too many devices: %u fit; use fewer disks or networks, or --bus pci", slot);
    *window = LAYOUT_VIRTIO_MMIO + slot * LAYOUT_VIRTIO_MMIO_STRIDE;
    return 0;
}

/* --- boot image and tables --- */

/*
 * What a stock kernel needs to be told to boot fast on this board: there is no PCI bus to probe, or
 * none to look at before ACPI has told where it is, and one serial port at most.
 */
static void own_command_line(const struct machine_config *config, char *line, size_t room)
{
    static const char *const consoles[] = {
        [HUSK_CONSOLE_SERIAL] = "console=ttyS0 8250.nr_uarts=1",
        [HUSK_CONSOLE_VIRTIO] = "console=hvc0 8250.nr_uarts=0",
        [HUSK_CONSOLE_OFF] = "8250.nr_uarts=0",
    };
    static const char *const pci[] = {
        [HUSK_BUS_MMIO] = "off",
        [HUSK_BUS_PCI] = "noearly",
    };

    snprintf(line, room, "%s reboot=a pci=%s", consoles[config->console], pci[config->bus]);
}

static int load_command_line(struct machine *machine, const struct kernel *kernel,
                             struct err *err)
{
    const struct memory_range area = {gpa(LAYOUT_COMMAND_LINE), LAYOUT_COMMAND_LINE_MAX};
    char own[OWN_PARAMETERS_MAX];
    char *line = malloc(LAYOUT_COMMAND_LINE_MAX);
    int rc;

    if (!line)
        return err_set(err, -ENOMEM, "out of memory");
    own_command_line(&machine->config, own, sizeof own);
    rc = board_command_line(machine, own, line, LAYOUT_COMMAND_LINE_MAX, err);
    if (rc == 0)
        rc = command_line_load(&machine->memory, area, kernel, line, err);
    free(line);
    return rc;
}

static int write_acpi(struct machine *machine, struct gpa *rsdp, struct err *err)
{
    const struct memory_range area = {gpa(LAYOUT_ACPI), LAYOUT_ACPI_SIZE};
    struct acpi_virtio_mmio windows[MACHINE_VIRTIO_MAX];
    uint32_t apic_ids[ARCH_VCPUS_MAX];
    bool pci = board_pci_bus(machine->board);
    const struct acpi_config config = {
        .apic_ids = apic_ids,
        .cpu_count = machine->config.cpus,
        .lapic_base = LAYOUT_LAPIC,
        .ioapic_base = LAYOUT_IOAPIC,
        .ioapic_id = IOAPIC_ID,
        .sleep_control_port = LAYOUT_SLEEP_CONTROL_PORT,
        .sleep_status_port = LAYOUT_SLEEP_STATUS_PORT,
        .sleep_type_s5 = SLEEP_TYPE_S5,
        .reset_port = LAYOUT_RESET_PORT,
        .reset_value = LAYOUT_RESET_VALUE,
        .serial_port = machine->config.console == HUSK_CONSOLE_SERIAL ? LAYOUT_SERIAL_PORT : 0,
        .serial_gsi = LAYOUT_SERIAL_GSI,
        .rtc_port = LAYOUT_RTC_PORT,
        .pvpanic_port = LAYOUT_PVPANIC_PORT,
        .power_button_gsi = LAYOUT_POWER_BUTTON_GSI,
        .virtio_mmio = windows,
        .virtio_mmio_count = pci ? 0 : machine->virtio_count,
        .ecam_base = pci ? LAYOUT_PCI_ECAM : 0,
        .pci_window_base = LAYOUT_PCI_WINDOW,
        .pci_window_size = LAYOUT_PCI_WINDOW_SIZE,
    };

    for (unsigned i = 0; i < config.cpu_count; i++)
        apic_ids[i] = i; /* as cpuid_for_vcpu() has them */
    for (unsigned i = 0; i < config.virtio_mmio_count; i++)
        windows[i] = (struct acpi_virtio_mmio){
            .base = machine->virtio[i].window,
            .size = VIRTIO_MMIO_WINDOW,
            .gsi = machine->virtio[i].mmio.irq.gsi,
        };
    return acpi_build(&machine->memory, area, &config, rsdp, err);
}

/*
 * The only firmware there is. On hardware-reduced ACPI Linux resets by EFI or, failing that, by a
 * jump to the real-mode reset vector, unless the command line names another way.
 */
static int write_reset_vector(struct machine *machine, struct err *err)
{
    const uint8_t code[] = {
        0xba, LAYOUT_RESET_PORT & 0xff, LAYOUT_RESET_PORT >> 8, /* mov $LAYOUT_RESET_PORT, %dx */
        0xb0, LAYOUT_RESET_VALUE,                               /* mov $LAYOUT_RESET_VALUE, %al */
        0xee,                                                   /* out %al, %dx */
        0xf4,                                                   /* hlt */
    };

    if (memory_write(&machine->memory, gpa(LAYOUT_RESET_VECTOR), code, sizeof code))
        return err_set(err, -EFAULT, "no memory for the reset vector");
    return 0;
}

static int map_memory(struct machine *machine, struct memory_map *map, struct err *err)
{
    const struct memory_map_entry others[] = {
        {gpa(LAYOUT_LOW_RAM_END), LAYOUT_ACPI - LAYOUT_LOW_RAM_END, MEMORY_MAP_RESERVED},
        {gpa(LAYOUT_ACPI), LAYOUT_ACPI_SIZE, MEMORY_MAP_ACPI},
        {gpa(LAYOUT_BIOS), LAYOUT_KERNEL_MIN - LAYOUT_BIOS, MEMORY_MAP_RESERVED},
        {gpa(LAYOUT_PCI_ECAM), LAYOUT_PCI_ECAM_SIZE, MEMORY_MAP_RESERVED}, /* the last: if any */
    };
    unsigned count = sizeof others / sizeof others[0] - !board_pci_bus(machine->board);

    return memory_map_build(map, &machine->memory, others, count, err);
}

/* Writes what the kernel's boot protocol wants, and says where. */
static int write_parameters(struct machine *machine, const struct kernel *kernel,
                            const struct boot_parameters *parameters, struct err *err)
{
    const struct memory_range pvh = {gpa(LAYOUT_PVH_START_INFO), LAYOUT_PVH_START_INFO_SIZE};
    struct boot_entry *entry = &machine->entry;

    *entry = (struct boot_entry){.protocol = kernel->protocol, .entry = kernel->entry};
    if (kernel->protocol == BOOT_PVH) {
        entry->parameters = pvh.base;
        return pvh_write(&machine->memory, pvh, parameters, err);
    }
    entry->parameters = gpa(LAYOUT_ZERO_PAGE);
    return zero_page_write(&machine->memory, entry->parameters, kernel, parameters, err);
}

int board_load(struct machine *machine, struct err *err)
{
    const struct kernel_limits limits = {&kernel_machine_x86_64, gpa(LAYOUT_KERNEL_MIN),
                                          gpa(LAYOUT_HOLE)};
    struct memory_map map;
    struct boot_parameters parameters = {.command_line = gpa(LAYOUT_COMMAND_LINE), .map = &map};
    struct kernel kernel;
    int rc;

    if ((rc = board_load_files(machine, &limits, &kernel, &parameters.initrd, err)))
        return rc;
    if ((rc = load_command_line(machine, &kernel, err)))
        return rc;
    if ((rc = write_acpi(machine, &parameters.rsdp, err)))
        return rc;
    if ((rc = write_reset_vector(machine, err)))
        return rc;
    if ((rc = map_memory(machine, &map, err)))
        return rc;
    machine->memory_used = kernel.range.base.v + kernel.range.size;
    return write_parameters(machine, &kernel, &parameters, err);
}
