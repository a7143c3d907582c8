/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed tables and how they hang together; see firmware/acpi.h. Section numbers are those of
 * ACPI 6.5.
 *
 *     area  RSDP | DSDT | FADT | MADT | MCFG | XSDT      each at a multiple of 16
 *
 * A table stands behind those that it points to; only the RSDP, which must be found, is first.
 * Tables are made in place: the guest does not run yet.
 */
#include "firmware/acpi.h"

#include "firmware/aml.h"
#include "firmware/dsdt.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define TABLE_ALIGNMENT 16u
#define APIC_ID_BROADCAST 255u /* the first id that needs x2APIC */
#define UID_MAX 255u           /* the last that fits a local APIC entry */

struct table_header { /* section 5.2.6 */
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct rsdp { /* section 5.2.5.3 */
    char signature[8];
    uint8_t checksum; /* over the 20 bytes up to rsdt */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} __attribute__((packed));

#define RSDP_FIRST_SIZE 20u

struct xsdt { /* section 5.2.8 */
    struct table_header header;
    uint64_t entries[3]; /* FADT, MADT, and MCFG if there is one */
} __attribute__((packed));

struct generic_address { /* section 5.2.3.2 */
    uint8_t space;
    uint8_t bits;
    uint8_t offset;
    uint8_t access_size;
    uint64_t address;
} __attribute__((packed));

#define SPACE_SYSTEM_IO 1u
#define ACCESS_BYTE 1u

struct fadt { /* section 5.2.9 */
    struct table_header header;
    uint32_t facs;
    uint32_t dsdt;
    uint8_t reserved;
    uint8_t power_profile;
    uint16_t sci;
    uint8_t pm_hardware[61]; /* SMI_CMD to CENTURY: what a hardware-reduced machine lacks */
    uint16_t boot_arch;
    uint8_t reserved2;
    uint32_t flags;
    struct generic_address reset_register;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor_version;
    uint64_t x_facs;
    uint64_t x_dsdt;
    struct generic_address x_pm_hardware[8];
    struct generic_address sleep_control;
    struct generic_address sleep_status;
    uint64_t hypervisor_vendor;
} __attribute__((packed));

#define FADT_REVISION 6u
#define FADT_MINOR_VERSION 5u
#define BOOT_ARCH_NO_VGA (1u << 2) /* "8042 present", bit 1, stays clear */
#define BOOT_ARCH_NO_CMOS_RTC (1u << 5)
#define FADT_WBINVD (1u << 0)
#define FADT_NO_POWER_BUTTON (1u << 4) /* none as fixed hardware */
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_RESET_REGISTER (1u << 10)
#define FADT_HARDWARE_REDUCED (1u << 20)

struct madt { /* section 5.2.12 */
    struct table_header header;
    uint32_t lapic_base;
    uint32_t flags; /* PCAT_COMPAT stays clear: there is no PIC */
} __attribute__((packed));

struct madt_lapic {
    uint8_t type;
    uint8_t length;
    uint8_t uid;
    uint8_t apic_id;
    uint32_t flags;
} __attribute__((packed));

struct madt_x2apic {
    uint8_t type;
    uint8_t length;
    uint16_t reserved;
    uint32_t apic_id;
    uint32_t flags;
    uint32_t uid;
} __attribute__((packed));

struct madt_ioapic {
    uint8_t type;
    uint8_t length;
    uint8_t id;
    uint8_t reserved;
    uint32_t base;
    uint32_t gsi_base;
} __attribute__((packed));

struct mcfg { /* PCI Firmware Specification 3.3, section 4.1.2 */
    struct table_header header;
    uint64_t reserved;
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus;
    uint8_t last_bus;
    uint32_t reserved2;
} __attribute__((packed));

enum madt_type { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_X2APIC = 9 };

#define MADT_ENABLED 1u

#define XSDT_REVISION 1u
#define MADT_REVISION 6u
#define MCFG_REVISION 1u
#define DSDT_REVISION 2u /* the first whose integers have 64 bits */

_Static_assert(sizeof(struct table_header) == 36, "section 5.2.6");
_Static_assert(sizeof(struct rsdp) == 36, "section 5.2.5.3");
_Static_assert(offsetof(struct fadt, boot_arch) == 109, "section 5.2.9");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "section 5.2.9");
_Static_assert(sizeof(struct fadt) == 276, "section 5.2.9");
_Static_assert(sizeof(struct mcfg) == 60, "PCI Firmware Specification");

/* The area being filled. Once something does not fit, `full` is set and nothing more is given. */
struct tables {
    uint8_t *host;
    uint64_t base;
    uint64_t room;
    uint64_t used;
    bool full;
};

/* Room for `size` zeroed bytes, aligned or directly behind the last; NULL when there is none. */
static void *take(struct tables *tables, uint64_t size, uint64_t alignment)
{
    uint64_t at = (tables->used + alignment - 1) & ~(alignment - 1);

    if (tables->full || at > tables->room || size > tables->room - at) {
        tables->full = true;
        return NULL;
    }
    tables->used = at + size;
    return memset(tables->host + at, 0, size);
}

/* The byte that makes the sum of all 0, for a table whose checksum byte is 0 so far. */
static uint8_t checksum(const void *table, size_t size)
{
    const uint8_t *bytes = table;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

static void begin_table(struct table_header *header, const char *signature, uint8_t revision)
{
    *header = (struct table_header){
        .revision = revision,
        .oem_id = {'H', 'U', 'S', 'K', ' ', ' '},
        .oem_table_id = {'H', 'U', 'S', 'K', 'V', 'M', ' ', ' '},
        .oem_revision = 1,
        .creator_id = {'H', 'U', 'S', 'K'},
        .creator_revision = 1,
    };
    memcpy(header->signature, signature, sizeof header->signature);
}

/* A table ends where the area is used up to. Returns the table's guest-physical address. */
static uint64_t end_table(const struct tables *tables, struct table_header *header)
{
    uint64_t offset = (uint64_t)((uint8_t *)header - tables->host);

    header->length = (uint32_t)(tables->used - offset);
    header->checksum = checksum(header, header->length);
    return tables->base + offset;
}

static struct generic_address byte_port(uint16_t port)
{
    return (struct generic_address){
        .space = SPACE_SYSTEM_IO, .bits = 8, .access_size = ACCESS_BYTE, .address = port};
}

static uint16_t boot_arch(const struct acpi_config *config)
{
    return (uint16_t)(BOOT_ARCH_NO_VGA | (config->rtc_port ? 0 : BOOT_ARCH_NO_CMOS_RTC));
}

/* The DSDT's address is in its 64-bit field only; there is no FACS. */
static uint64_t add_fadt(struct tables *tables, const struct acpi_config *config, uint64_t dsdt)
{
    struct fadt *fadt = take(tables, sizeof *fadt, TABLE_ALIGNMENT);

    if (!fadt)
        return 0;
    begin_table(&fadt->header, "FACP", FADT_REVISION);
    fadt->minor_version = FADT_MINOR_VERSION;
    fadt->boot_arch = boot_arch(config);
    fadt->flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
                  FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED;
    fadt->reset_register = byte_port(config->reset_port);
    fadt->reset_value = config->reset_value;
    fadt->x_dsdt = dsdt;
    fadt->sleep_control = byte_port(config->sleep_control_port);
    fadt->sleep_status = byte_port(config->sleep_status_port);
    memcpy(&fadt->hypervisor_vendor, "HUSK\0\0\0", sizeof fadt->hypervisor_vendor);
    return end_table(tables, &fadt->header);
}

static void add_processor(struct tables *tables, uint32_t uid, uint32_t apic_id)
{
    if (apic_id < APIC_ID_BROADCAST && uid <= UID_MAX) {
        struct madt_lapic *entry = take(tables, sizeof *entry, 1);

        if (entry)
            *entry = (struct madt_lapic){MADT_LAPIC, sizeof *entry, (uint8_t)uid,
                                         (uint8_t)apic_id, MADT_ENABLED};
    } else {
        struct madt_x2apic *entry = take(tables, sizeof *entry, 1);

        if (entry)
            *entry = (struct madt_x2apic){MADT_X2APIC, sizeof *entry, 0,
                                          apic_id, MADT_ENABLED, uid};
    }
}

static void add_ioapic(struct tables *tables, const struct acpi_config *config)
{
    struct madt_ioapic *entry = take(tables, sizeof *entry, 1);

    if (entry)
        *entry = (struct madt_ioapic){MADT_IOAPIC, sizeof *entry, config->ioapic_id, 0,
                                      config->ioapic_base, 0};
}

static uint64_t add_madt(struct tables *tables, const struct acpi_config *config)
{
    struct madt *madt = take(tables, sizeof *madt, TABLE_ALIGNMENT);

    if (!madt)
        return 0;
    begin_table(&madt->header, "APIC", MADT_REVISION);
    madt->lapic_base = config->lapic_base;
    for (unsigned i = 0; i < config->cpu_count; i++)
        add_processor(tables, i, config->apic_ids[i]);
    add_ioapic(tables, config);
    return tables->full ? 0 : end_table(tables, &madt->header);
}

/* 0 where there is no PCI. */
static uint64_t add_mcfg(struct tables *tables, const struct acpi_config *config)
{
    struct mcfg *mcfg = config->ecam_base ? take(tables, sizeof *mcfg, TABLE_ALIGNMENT) : NULL;

    if (!mcfg)
        return 0;
    begin_table(&mcfg->header, "MCFG", MCFG_REVISION);
    mcfg->base = config->ecam_base;
    return end_table(tables, &mcfg->header);
}

static uint64_t add_dsdt(struct tables *tables, const struct acpi_config *config)
{
    struct table_header *header = take(tables, sizeof *header, TABLE_ALIGNMENT);
    struct aml aml;

    if (!header)
        return 0;
    begin_table(header, "DSDT", DSDT_REVISION);
    aml = (struct aml){.data = tables->host + tables->used, .room = tables->room - tables->used};
    dsdt_write(&aml, config);
    tables->used += aml.size;
    tables->full = aml.failed;
    return tables->full ? 0 : end_table(tables, header);
}

static uint64_t add_xsdt(struct tables *tables, uint64_t fadt, uint64_t madt, uint64_t mcfg)
{
    uint64_t absent = mcfg ? 0 : sizeof mcfg;
    struct xsdt *xsdt = take(tables, sizeof *xsdt - absent, TABLE_ALIGNMENT);

    if (!xsdt)
        return 0;
    begin_table(&xsdt->header, "XSDT", XSDT_REVISION);
    xsdt->entries[0] = fadt;
    xsdt->entries[1] = madt;
    if (mcfg)
        xsdt->entries[2] = mcfg;
    return end_table(tables, &xsdt->header);
}

static void fill_rsdp(struct rsdp *rsdp, uint64_t xsdt)
{
    *rsdp = (struct rsdp){
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'H', 'U', 'S', 'K', ' ', ' '},
        .revision = 2,
        .length = sizeof *rsdp,
        .xsdt = xsdt,
    };
    rsdp->checksum = checksum(rsdp, RSDP_FIRST_SIZE);
    rsdp->extended_checksum = checksum(rsdp, sizeof *rsdp);
}

static void add_all(struct tables *tables, const struct acpi_config *config)
{
    struct rsdp *rsdp = take(tables, sizeof *rsdp, TABLE_ALIGNMENT);
    uint64_t dsdt = add_dsdt(tables, config);
    uint64_t fadt = add_fadt(tables, config, dsdt);
    uint64_t madt = add_madt(tables, config);
    uint64_t mcfg = add_mcfg(tables, config);
    uint64_t xsdt = add_xsdt(tables, fadt, madt, mcfg);

    if (!tables->full)
        fill_rsdp(rsdp, xsdt);
}

static int check_config(const struct acpi_config *config, struct err *err)
{
    if (config->cpu_count == 0 || config->cpu_count > ACPI_CPUS_MAX)
        return err_set(err, -EINVAL, "ACPI tables: %u processors; 1 to %u are possible",
                       config->cpu_count, ACPI_CPUS_MAX);
    if (config->virtio_mmio_count > ACPI_VIRTIO_MMIO_MAX)
        return err_set(err, -EINVAL, "ACPI tables: %u virtio devices; at most %u are possible",
                       config->virtio_mmio_count, ACPI_VIRTIO_MMIO_MAX);
    if (config->sleep_type_s5 > 7)
        return err_set(err, -EINVAL, "ACPI tables: SLP_TYP is %u; it has three bits",
                       config->sleep_type_s5);
    if (config->ecam_base > UINT32_MAX + 1ull - ACPI_ECAM_SIZE)
        return err_set(err, -EINVAL, "ACPI tables: the PCI bus is not below 4 GiB");
    for (unsigned i = 0; i < config->virtio_mmio_count; i++) {
        const struct acpi_virtio_mmio *window = &config->virtio_mmio[i];

        if (window->base > UINT32_MAX || window->size > UINT32_MAX + 1ull - window->base)
            return err_set(err, -EINVAL, "ACPI tables: virtio device %u is not below 4 GiB", i);
    }
    return 0;
}

int acpi_build(const struct guest_memory *memory, struct memory_range area,
               const struct acpi_config *config, struct gpa *rsdp, struct err *err)
{
    struct tables tables = {.base = area.base.v, .room = area.size};
    int rc = check_config(config, err);

    if (rc)
        return rc;
    if (area.base.v % TABLE_ALIGNMENT)
        return err_set(err, -EINVAL, "ACPI tables: 0x%llx is not aligned to %u bytes",
                       (unsigned long long)area.base.v, TABLE_ALIGNMENT);
    tables.host = memory_at(memory, area.base, area.size);
    if (!tables.host)
        return err_set(err, -EFAULT, "ACPI tables: no guest memory at 0x%llx",
                       (unsigned long long)area.base.v);
    add_all(&tables, config);
    if (tables.full)
        return err_set(err, -ENOSPC, "ACPI tables: do not fit into %llu bytes",
                       (unsigned long long)area.size);
    *rsdp = area.base;
    return 0;
}
