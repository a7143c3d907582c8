/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DSDT: constant data, so that the guest has nothing to interpret, but for one method that runs
 * when the power button is pressed.
 *
 * Processors are not in it: the MADT names them, and without hotplug or power states an ACPI0007
 * device each would tell the guest nothing.
 */
#include "firmware/dsdt.h"

#define NOTIFY_BUTTON_PRESSED 0x80u /* ACPI 6.5, section 5.6.6, of control method buttons */
#define STA_PRESENT_ENABLED_WORKING 0x0bu /* hidden from users, as a panic notifier is */

/* ACPI 6.5, section 7.4.2.6: the SLP_TYP for the one sleep state there is. */
static void write_s5(struct aml *aml, uint8_t sleep_type)
{
    struct aml_block package = aml_begin_package(aml, "_S5_", 4);

    aml_integer(aml, sleep_type);
    aml_integer(aml, sleep_type);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_end(aml, package);
}

static void write_serial(struct aml *aml, uint16_t port, uint32_t gsi)
{
    struct aml_block device = aml_begin_device(aml, "COM1");
    struct aml_block resources;

    aml_name_eisa_id(aml, "_HID", "PNP0501");
    aml_name_integer(aml, "_UID", 1);
    resources = aml_begin_resources(aml);
    aml_io(aml, port, 8);
    aml_interrupt(aml, gsi);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

static void write_rtc(struct aml *aml, uint16_t port, uint32_t gsi)
{
    struct aml_block device = aml_begin_device(aml, "RTC_");
    struct aml_block resources;

    aml_name_eisa_id(aml, "_HID", "PNP0B00");
    resources = aml_begin_resources(aml);
    aml_io(aml, port, 2);
    if (gsi)
        aml_interrupt(aml, gsi);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

static void write_pvpanic(struct aml *aml, uint16_t port)
{
    struct aml_block device = aml_begin_device(aml, "PEVT");
    struct aml_block resources;

    aml_name_string(aml, "_HID", "QEMU0001");
    aml_name_integer(aml, "_STA", STA_PRESENT_ENABLED_WORKING);
    resources = aml_begin_resources(aml);
    aml_io(aml, port, 1);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

static void write_virtio_mmio(struct aml *aml, unsigned index,
                              const struct acpi_virtio_mmio *window)
{
    static const char digits[] = "0123456789ABCDEF";
    char name[5] = {'V', 'R', digits[index >> 4 & 0xf], digits[index & 0xf], '\0'};
    struct aml_block device = aml_begin_device(aml, name);
    struct aml_block resources;

    aml_name_string(aml, "_HID", "LNRO0005");
    aml_name_integer(aml, "_UID", index);
    aml_name_integer(aml, "_CCA", 1);
    resources = aml_begin_resources(aml);
    aml_memory32(aml, (uint32_t)window->base, window->size);
    aml_interrupt(aml, window->gsi);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

/*
 * Operating systems trust the MCFG only where a motherboard resource says that the range is taken
 * (PCI Firmware Specification 3.3, section 4.1.2).
 */
static void write_ecam(struct aml *aml, uint32_t base)
{
    struct aml_block device = aml_begin_device(aml, "ECAM");
    struct aml_block resources;

    aml_name_eisa_id(aml, "_HID", "PNP0C02");
    aml_name_string(aml, "_UID", "ECAM");
    resources = aml_begin_resources(aml);
    aml_memory32(aml, base, ACPI_ECAM_SIZE);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

/* No _PRT, for no function has an interrupt pin. */
static void write_pci(struct aml *aml, uint32_t window_base, uint32_t window_size)
{
    struct aml_block device = aml_begin_device(aml, "PCI0");
    struct aml_block resources;

    aml_name_eisa_id(aml, "_HID", "PNP0A08");
    aml_name_eisa_id(aml, "_CID", "PNP0A03");
    aml_name_integer(aml, "_UID", 0);
    aml_name_integer(aml, "_SEG", 0);
    aml_name_integer(aml, "_BBN", 0);
    aml_name_integer(aml, "_CCA", 1);
    resources = aml_begin_resources(aml);
    aml_bus_numbers(aml, 0, 0);
    aml_memory_window(aml, window_base, window_size);
    aml_end_resources(aml, resources);
    aml_end(aml, device);
}

/*
 * A button that is no fixed hardware (ACPI 6.5, section 4.8.2.2.1.2), and the device whose interrupt
 * says that it is pressed (section 5.6.9, the Generic Event Device).
 */
static void write_power_button(struct aml *aml, uint32_t gsi)
{
    struct aml_block device = aml_begin_device(aml, "PWRB");
    struct aml_block resources, method;

    aml_name_eisa_id(aml, "_HID", "PNP0C0C");
    aml_name_integer(aml, "_UID", 0);
    aml_end(aml, device);

    device = aml_begin_device(aml, "GED_");
    aml_name_string(aml, "_HID", "ACPI0013");
    aml_name_integer(aml, "_UID", 0);
    resources = aml_begin_resources(aml);
    aml_interrupt(aml, gsi);
    aml_end_resources(aml, resources);
    method = aml_begin_method(aml, "_EVT", 1);
    aml_notify(aml, "PWRB", NOTIFY_BUTTON_PRESSED);
    aml_end(aml, method);
    aml_end(aml, device);
}

void dsdt_write(struct aml *aml, const struct acpi_config *config)
{
    struct aml_block scope;

    write_s5(aml, config->sleep_type_s5);
    scope = aml_begin_scope(aml, "_SB_");
    if (config->serial_port)
        write_serial(aml, config->serial_port, config->serial_gsi);
    if (config->rtc_port)
        write_rtc(aml, config->rtc_port, config->rtc_gsi);
    if (config->pvpanic_port)
        write_pvpanic(aml, config->pvpanic_port);
    if (config->power_button_gsi)
        write_power_button(aml, config->power_button_gsi);
    if (config->ecam_base) {
        write_ecam(aml, (uint32_t)config->ecam_base);
        write_pci(aml, config->pci_window_base, config->pci_window_size);
    }
    for (unsigned i = 0; i < config->virtio_mmio_count; i++)
        write_virtio_mmio(aml, i, &config->virtio_mmio[i]);
    aml_end(aml, scope);
}
