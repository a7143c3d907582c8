/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: followed from the RSDP as a guest does, each field at the offset that ACPI 6.5
 * gives it, and judged by iasl, which takes them apart and compiles them again.
 */
#include "firmware/acpi.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AREA 0xe0000u
#define AREA_SIZE 0x20000u
#define VIRTIO_MAX 20u
#define CPUS 64u

static uint32_t apic_ids[1024];
static struct acpi_virtio_mmio windows[ACPI_VIRTIO_MMIO_MAX + 1];

static struct acpi_config full_config(void)
{
    for (unsigned i = 0; i < sizeof apic_ids / sizeof apic_ids[0]; i++)
        apic_ids[i] = i;
    for (unsigned i = 0; i < sizeof windows / sizeof windows[0]; i++)
        windows[i] = (struct acpi_virtio_mmio){0xd0000000 + i * 0x1000ull, 0x200, 5 + i};
    return (struct acpi_config){
        .apic_ids = apic_ids,
        .cpu_count = CPUS,
        .lapic_base = 0xfee00000,
        .ioapic_base = 0xfec00000,
        .ioapic_id = 3,
        .sleep_control_port = 0x600,
        .sleep_status_port = 0x601,
        .sleep_type_s5 = 5,
        .reset_port = 0x602,
        .reset_value = 0x42,
        .serial_port = 0x3f8,
        .serial_gsi = 4,
        .rtc_port = 0x70,
        .rtc_gsi = 8,
        .pvpanic_port = 0x505,
        .power_button_gsi = 0x30,
        .virtio_mmio = windows,
        .virtio_mmio_count = VIRTIO_MAX,
    };
}

static struct acpi_config least_config(void)
{
    struct acpi_config config = full_config();

    config.cpu_count = 1;
    config.serial_port = config.rtc_port = config.pvpanic_port = 0;
    config.power_button_gsi = 0;
    config.virtio_mmio_count = 0;
    return config;
}

static struct acpi_config pci_config(void)
{
    struct acpi_config config = full_config();

    config.virtio_mmio_count = 0;
    config.ecam_base = 0xe0000000;
    config.pci_window_base = 0xc0000000;
    config.pci_window_size = 0x10000000;
    return config;
}

static uint64_t field(const uint8_t *table, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, table + offset, size);
    return value;
}

static unsigned sum(const uint8_t *bytes, size_t size)
{
    unsigned total = 0;

    for (size_t i = 0; i < size; i++)
        total += bytes[i];
    return total & 0xff;
}

static struct guest_memory build(const struct acpi_config *config)
{
    struct guest_memory memory = test_memory(2);
    struct gpa rsdp = {0};

    memset(memory_at(&memory, gpa(AREA), AREA_SIZE), 0x5a, AREA_SIZE);
    assert_int_equal(acpi_build(&memory, (struct memory_range){gpa(AREA), AREA_SIZE}, config,
                                &rsdp, NULL),
                     0);
    assert_int_equal(rsdp.v, AREA);
    return memory;
}

/* The table at an address: in the area, aligned, with a good checksum. */
static const uint8_t *table_at(const struct guest_memory *memory, uint64_t address,
                               const char *signature)
{
    const uint8_t *table = memory_at(memory, gpa(address), 36);
    uint64_t size;

    assert_true(address >= AREA && address % 16 == 0);
    assert_non_null(table);
    size = field(table, 4, 4);
    assert_true(size >= 36 && address + size <= AREA + AREA_SIZE);
    assert_memory_equal(table, signature, 4);
    assert_int_equal(sum(table, size), 0);
    return table;
}

static const uint8_t *find(const struct guest_memory *memory, const char *signature)
{
    const uint8_t *rsdp = memory_at(memory, gpa(AREA), 36);
    const uint8_t *xsdt = table_at(memory, field(rsdp, 24, 8), "XSDT");
    const uint8_t *fadt = table_at(memory, field(xsdt, 36, 8), "FACP");

    if (!strcmp(signature, "XSDT"))
        return xsdt;
    if (!strcmp(signature, "FACP"))
        return fadt;
    if (!strcmp(signature, "MCFG"))
        return table_at(memory, field(xsdt, 52, 8), "MCFG");
    if (!strcmp(signature, "DSDT"))
        return table_at(memory, field(fadt, 140, 8), "DSDT");
    return table_at(memory, field(xsdt, 44, 8), signature);
}

static void rsdp_and_xsdt(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory = build(&config);
    const uint8_t *rsdp = memory_at(&memory, gpa(AREA), 36);

    (void)state;
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    assert_int_equal(rsdp[15], 2);           /* revision */
    assert_int_equal(field(rsdp, 16, 4), 0); /* no RSDT */
    assert_int_equal(field(rsdp, 20, 4), 36);
    assert_int_equal(field(find(&memory, "XSDT"), 4, 4), 36 + 2 * 8);
    memory_destroy(&memory);
}

static void fadt_is_hardware_reduced(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory = build(&config);
    const uint8_t *fadt = find(&memory, "FACP");

    (void)state;
    assert_int_equal(field(fadt, 4, 4), 276);
    assert_int_equal(fadt[8], 6);                    /* version 6 */
    assert_int_equal(fadt[131], 5);                  /* .5 */
    assert_int_equal(field(fadt, 36, 8), 0);         /* no FACS, no 32-bit DSDT */
    assert_int_equal(field(fadt, 109, 2), 1u << 2);  /* no VGA; no 8042; MSI; an RTC */
    assert_int_equal(field(fadt, 112, 4),
                     1u << 20 | 1u << 10 | 1u << 5 | 1u << 4 | 1u << 0);
    assert_memory_equal(fadt + 116, "\x01\x08\x00\x01\x02\x06\0\0\0\0\0\0", 12); /* reset */
    assert_int_equal(fadt[128], 0x42);
    assert_memory_equal(fadt + 244, "\x01\x08\x00\x01\x00\x06\0\0\0\0\0\0", 12); /* control */
    assert_memory_equal(fadt + 256, "\x01\x08\x00\x01\x01\x06\0\0\0\0\0\0", 12); /* status */
    for (unsigned i = 46; i < 109; i++)
        assert_int_equal(fadt[i], 0);
    for (unsigned i = 148; i < 244; i++)
        assert_int_equal(fadt[i], 0);
    memory_destroy(&memory);
}

static void fadt_tells_that_there_is_no_rtc(void **state)
{
    struct acpi_config config = least_config();
    struct guest_memory memory = build(&config);

    (void)state;
    assert_int_equal(field(find(&memory, "FACP"), 109, 2), 1u << 2 | 1u << 5);
    memory_destroy(&memory);
}

static void madt_names_processors_and_ioapic(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory;
    const uint8_t *madt, *entry;

    (void)state;
    apic_ids[1] = 254;
    apic_ids[2] = 255;
    apic_ids[3] = 0x12345;
    config.cpu_count = 4;
    memory = build(&config);
    madt = find(&memory, "APIC");
    assert_int_equal(field(madt, 4, 4), 44 + 2 * 8 + 2 * 16 + 12);
    assert_int_equal(field(madt, 36, 4), 0xfee00000);
    assert_int_equal(field(madt, 40, 4), 0); /* no PCAT_COMPAT */
    entry = madt + 44;
    assert_memory_equal(entry, "\x00\x08\x00\x00\x01\0\0\0", 8);
    assert_memory_equal(entry + 8, "\x00\x08\x01\xfe\x01\0\0\0", 8);
    assert_memory_equal(entry + 16, "\x09\x10\0\0\xff\0\0\0\x01\0\0\0\x02\0\0\0", 16);
    assert_memory_equal(entry + 32, "\x09\x10\0\0\x45\x23\x01\0\x01\0\0\0\x03\0\0\0", 16);
    assert_memory_equal(entry + 48, "\x01\x0c\x03\x00\x00\x00\xc0\xfe\0\0\0\0", 12);
    memory_destroy(&memory);
}

static void madt_uses_x2apic_entries_for_large_uids(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory;
    const uint8_t *madt;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        apic_ids[i] = 7;
    config.cpu_count = 300;
    memory = build(&config);
    madt = find(&memory, "APIC");
    assert_int_equal(field(madt, 4, 4), 44 + 256 * 8 + 44 * 16 + 12);
    memory_destroy(&memory);
}

/* How often the bytes occur in the DSDT. */
static unsigned count(const uint8_t *dsdt, const char *bytes, size_t size)
{
    const uint8_t *next = dsdt;
    const uint8_t *end = dsdt + field(dsdt, 4, 4);
    unsigned found = 0;

    while ((next = memmem(next, (size_t)(end - next), bytes, size))) {
        found++;
        next += size;
    }
    return found;
}

#define COUNT(dsdt, literal) count((dsdt), (literal), sizeof(literal) - 1)

static void dsdt_has_every_device(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory = build(&config);
    const uint8_t *dsdt = find(&memory, "DSDT");

    (void)state;
    assert_int_equal(dsdt[8], 2);
    assert_int_equal(COUNT(dsdt, "_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00"), 1);
    assert_int_equal(COUNT(dsdt, "LNRO0005"), VIRTIO_MAX);
    /* The last window: \_SB.VR13, its memory, its interrupt. */
    assert_int_equal(COUNT(dsdt, "VR13"), 1);
    assert_int_equal(COUNT(dsdt, "\x86\x09\x00\x01\x00\x30\x01\xd0\x00\x02\x00\x00"
                                 "\x89\x06\x00\x03\x01\x18\x00\x00\x00"), 1);
    assert_int_equal(COUNT(dsdt, "_HID\x0c\x41\xd0\x05\x01"), 1); /* PNP0501 */
    assert_int_equal(COUNT(dsdt, "\x47\x01\xf8\x03\xf8\x03\x01\x08"
                                 "\x89\x06\x00\x03\x01\x04\x00\x00\x00"), 1);
    assert_int_equal(COUNT(dsdt, "_HID\x0c\x41\xd0\x0b\x00"), 1); /* PNP0B00 */
    assert_int_equal(COUNT(dsdt, "\x47\x01\x70\x00\x70\x00\x01\x02"
                                 "\x89\x06\x00\x03\x01\x08\x00\x00\x00"), 1);
    assert_int_equal(COUNT(dsdt, "QEMU0001\0\x08_STA\x0a\x0b"), 1);
    assert_int_equal(COUNT(dsdt, "\x47\x01\x05\x05\x05\x05\x01\x01"), 1);
    assert_int_equal(COUNT(dsdt, "PWRB\x08_HID\x0c\x41\xd0\x0c\x0c"), 1); /* PNP0C0C */
    assert_int_equal(COUNT(dsdt, "ACPI0013"), 1);
    assert_int_equal(COUNT(dsdt, "\x89\x06\x00\x03\x01\x30\x00\x00\x00"), 1);
    assert_int_equal(COUNT(dsdt, "\x14\x0d_EVT\x01\x86PWRB\x0a\x80"), 1); /* Notify */
    memory_destroy(&memory);
}

static void dsdt_leaves_out_what_is_absent(void **state)
{
    struct acpi_config config = least_config();
    struct guest_memory memory = build(&config);
    const uint8_t *dsdt = find(&memory, "DSDT");

    (void)state;
    assert_int_equal(COUNT(dsdt, "_S5_"), 1);
    assert_int_equal(COUNT(dsdt, "_HID"), 0);
    memory_destroy(&memory);

    config.rtc_port = 0x70;
    config.rtc_gsi = 0;
    memory = build(&config);
    dsdt = find(&memory, "DSDT");
    assert_int_equal(COUNT(dsdt, "\x47\x01\x70\x00\x70\x00\x01\x02\x79\x00"), 1);
    memory_destroy(&memory);
}

static void mcfg_names_the_configuration_space(void **state)
{
    struct acpi_config config = pci_config();
    struct guest_memory memory = build(&config);
    const uint8_t *mcfg = find(&memory, "MCFG");

    (void)state;
    assert_int_equal(field(find(&memory, "XSDT"), 4, 4), 36 + 3 * 8);
    assert_int_equal(field(mcfg, 4, 4), 60);
    assert_int_equal(field(mcfg, 36, 8), 0);
    assert_int_equal(field(mcfg, 44, 8), 0xe0000000);
    assert_int_equal(field(mcfg, 52, 4), 0); /* segment 0, bus 0 to bus 0 */
    memory_destroy(&memory);
}

static void dsdt_has_the_host_bridge(void **state)
{
    struct acpi_config config = pci_config();
    struct guest_memory memory = build(&config);
    const uint8_t *dsdt = find(&memory, "DSDT");

    (void)state;
    assert_int_equal(COUNT(dsdt, "_HID\x0c\x41\xd0\x0a\x08"), 1); /* PNP0A08 */
    assert_int_equal(COUNT(dsdt, "_CID\x0c\x41\xd0\x0a\x03"), 1); /* PNP0A03 */
    assert_int_equal(COUNT(dsdt, "_HID\x0c\x41\xd0\x0c\x02"), 1); /* PNP0C02: the ECAM */
    assert_int_equal(COUNT(dsdt, "\x86\x09\x00\x01\x00\x00\x00\xe0\x00\x00\x10\x00"), 1);
    assert_int_equal(COUNT(dsdt, "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                                 "\x01\x00"), 1); /* bus 0 */
    assert_int_equal(COUNT(dsdt, "\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\xc0"
                                 "\xff\xff\xff\xcf\x00\x00\x00\x00\x00\x00\x00\x10"), 1);
    assert_int_equal(COUNT(dsdt, "LNRO0005"), 0);
    memory_destroy(&memory);
}

static void fits_or_says_so(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory = test_memory(2);
    uint8_t *area = memory_at(&memory, gpa(AREA), AREA_SIZE);
    struct gpa rsdp;
    unsigned room;

    (void)state;
    for (room = 0;; room++) {
        struct err err = {0};
        int rc;

        memset(area, 0x5a, AREA_SIZE);
        rc = acpi_build(&memory, (struct memory_range){gpa(AREA), room}, &config, &rsdp, &err);
        for (unsigned i = room; i < room + 4096; i++)
            assert_int_equal(area[i], 0x5a);
        if (!rc)
            break;
        assert_failure(rc, -ENOSPC, &err, "ACPI tables: do not fit");
    }
    assert_true(room < 4096); /* 64 processors and 20 devices are far from 128 KiB */
    memory_destroy(&memory);
}

static void the_largest_machine_fits(void **state)
{
    struct acpi_config config = full_config();
    struct guest_memory memory;

    (void)state;
    config.cpu_count = ACPI_CPUS_MAX;
    config.virtio_mmio_count = ACPI_VIRTIO_MMIO_MAX;
    memory = build(&config);
    assert_int_equal(COUNT(find(&memory, "DSDT"), "LNRO0005"), ACPI_VIRTIO_MMIO_MAX);
    memory_destroy(&memory);
}

static int try_build(const struct acpi_config *config, struct memory_range area, struct err *err)
{
    struct guest_memory memory = test_memory(2);
    struct gpa rsdp;
    int rc = acpi_build(&memory, area, config, &rsdp, err);

    memory_destroy(&memory);
    return rc;
}

static void refuses_what_no_table_can_say(void **state)
{
    const struct memory_range area = {gpa(AREA), AREA_SIZE};
    const struct acpi_config good = full_config();
    struct acpi_config config = good;
    struct err err = {0};

    (void)state;
    config.cpu_count = 0;
    assert_failure(try_build(&config, area, &err), -EINVAL, &err, "0 processors");
    config.cpu_count = ACPI_CPUS_MAX + 1;
    assert_failure(try_build(&config, area, &err), -EINVAL, &err, "1025 processors");
    config = good;
    config.virtio_mmio_count = ACPI_VIRTIO_MMIO_MAX + 1;
    assert_failure(try_build(&config, area, &err), -EINVAL, &err, "65 virtio devices");
    config = good;
    config.ecam_base = 0xfff00001;
    assert_failure(try_build(&config, area, &err), -EINVAL, &err, "PCI bus is not below");
    config = good;
    config.sleep_type_s5 = 8;
    assert_failure(try_build(&config, area, &err), -EINVAL, &err, "SLP_TYP is 8");
    windows[1].base = 0xfffffe01;
    assert_failure(try_build(&good, area, &err), -EINVAL, &err, "virtio device 1 is not below");
    windows[1].base = 0xfffffe00;
    assert_int_equal(try_build(&good, area, &err), 0);
    windows[1].base = 1ull << 33;
    assert_failure(try_build(&good, area, &err), -EINVAL, &err, "virtio device 1 is not below");
    config = full_config();
    assert_failure(try_build(&config, (struct memory_range){gpa(AREA + 8), AREA_SIZE}, &err),
                   -EINVAL, &err, "not aligned");
    assert_failure(try_build(&config, (struct memory_range){gpa(2 * TEST_MIB - 16), 32}, &err),
                   -EFAULT, &err, "no guest memory");
}

static char folder[32]; /* iasl reads and writes here */

/* What iasl judges: the table's signature, and its name in the folder. */
static const char *const judged[][2] = {
    {"DSDT", "dsdt"}, {"FACP", "facp"}, {"APIC", "apic"}, {"XSDT", "xsdt"}, {"MCFG", "mcfg"}};

#define JUDGED (sizeof judged / sizeof judged[0])

static FILE *open_table(const char *name, const char *suffix, const char *mode)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix);
    file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static void write_table(const char *name, const uint8_t *table, size_t size)
{
    FILE *file = open_table(name, "bin", "wb");

    assert_int_equal(fwrite(table, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* What iasl compiled is the same, except that it names itself as creator. */
static void compare_table(const char *name, const uint8_t *table, size_t size)
{
    static uint8_t again[AREA_SIZE];
    FILE *file = open_table(name, "aml", "rb");

    assert_int_equal(fread(again, 1, sizeof again, file), size);
    assert_int_equal(fclose(file), 0);
    assert_memory_equal(again, table, 9);
    assert_memory_equal(again + 10, table + 10, 28 - 10);
    assert_memory_equal(again + 36, table + 36, size - 36);
}

/* True when the shell script ends with 0. */
static bool run_in_folder(const char *script)
{
    char line[512];

    snprintf(line, sizeof line, "cd %s && %s", folder, script);
    return system(line) == 0;
}

/* Warnings of the disassembler do not change its exit status. */
static const char iasl_script[] =
    "for t in *.bin; do t=${t%.bin};"
    " { iasl -d $t.bin && iasl -we $t.dsl; } >$t.log 2>&1 &&"
    " ! grep -E 'Error|Warning|nvalid|ncorrect' $t.log | grep -v '0 Errors, 0 Warnings'"
    " || { cat $t.log; exit 1; }; done";

static void judge(const struct acpi_config *config)
{
    struct guest_memory memory = build(config);
    const uint8_t *tables[JUDGED];
    size_t judged_count = config->ecam_base ? JUDGED : JUDGED - 1;

    for (size_t i = 0; i < judged_count; i++) {
        tables[i] = find(&memory, judged[i][0]);
        write_table(judged[i][1], tables[i], field(tables[i], 4, 4));
    }
    assert_true(run_in_folder(iasl_script));
    for (size_t i = 0; i < judged_count; i++)
        compare_table(judged[i][1], tables[i], field(tables[i], 4, 4));
    memory_destroy(&memory);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/husk-acpi-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return run_in_folder("rm -f ./* && rmdir \"$PWD\"") ? 0 : -1;
}

static void iasl_finds_no_fault(void **state)
{
    struct acpi_config configs[] = {full_config(), least_config(), pci_config()};

    (void)state;
    if (system("iasl -v >/dev/null 2>&1")) {
        print_message("skipped: iasl is not installed (package acpica-tools)\n");
        skip();
    }
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        judge(&configs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsdp_and_xsdt),
        cmocka_unit_test(fadt_is_hardware_reduced),
        cmocka_unit_test(fadt_tells_that_there_is_no_rtc),
        cmocka_unit_test(madt_names_processors_and_ioapic),
        cmocka_unit_test(madt_uses_x2apic_entries_for_large_uids),
        cmocka_unit_test(dsdt_has_every_device),
        cmocka_unit_test(dsdt_leaves_out_what_is_absent),
        cmocka_unit_test(mcfg_names_the_configuration_space),
        cmocka_unit_test(dsdt_has_the_host_bridge),
        cmocka_unit_test(fits_or_says_so),
        cmocka_unit_test(the_largest_machine_fits),
        cmocka_unit_test(refuses_what_no_table_can_say),
        cmocka_unit_test_setup_teardown(iasl_finds_no_fault, make_folder, remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
