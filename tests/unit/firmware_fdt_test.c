/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device trees: read back with libfdt as a kernel reads them, and judged by dtc, for which every
 * warning is an error.
 */
#include "firmware/fdt.h"
#include "support/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RAM 0x40000000ull
#define AREA_SIZE 0x10000u

static const uint32_t cpu_ids[] = {0, 1, 0x100};
static const struct fdt_device windows[] = {{{0xa000000, 0x200}, 2}, {{0xa001000, 0x200}, 3}};

static struct fdt_config everything(void)
{
    struct fdt_config config = {
        .command_line = "console=ttyAMA0 quiet",
        .initrd = {{0x48000000}, 0x12345},
        .cpu_ids = cpu_ids,
        .cpu_count = 3,
        .has_pmu = true,
        .gic =
            {
                .version = FDT_GIC_V3,
                .distributor = {0x8000000, 0x10000},
                .cpus = {0x80a0000, 0x60000},
                .messages = {0x8080000, 0x20000},
            },
        .serial = {{0x9000000, 0x1000}, 1},
        .rtc = {0x9010000, 0x1000},
        .pvpanic = {0x9020000, 2},
        .virtio_mmio = windows,
        .virtio_mmio_count = 2,
        .pci_ecam = {0x20000000, FDT_PCI_ECAM_SIZE},
        .pci_window = {0x10000000, 0x10000000},
        .seed = {1, 2, 3},
    };

    return config;
}

static struct fdt_config with_gicv2(void)
{
    struct fdt_config config = everything();

    config.gic = (struct fdt_gic){
        .version = FDT_GIC_V2,
        .distributor = {0x8000000, 0x10000},
        .cpus = {0x8010000, 0x10000},
        .messages = {0x8020000, 0x1000},
        .message_spi_first = 64,
        .message_spi_count = 128,
    };
    return config;
}

static struct fdt_config least(void)
{
    struct fdt_config config = everything();

    config.initrd.size = 0;
    config.cpu_count = 1;
    config.has_pmu = false;
    config.gic.messages.size = 0;
    config.serial.registers.size = 0;
    config.rtc.size = 0;
    config.pvpanic.size = 0;
    config.virtio_mmio_count = 0;
    config.pci_ecam.size = 0;
    config.command_line = "";
    return config;
}

/* Two regions of RAM; returns the tree at the start of the first. */
static const void *build(struct guest_memory *memory, const struct fdt_config *config)
{
    const struct memory_range ranges[] = {{{RAM}, 1 << 20}, {{0x100000000}, 1 << 20}};
    struct err err = {0};

    assert_int_equal(memory_create(memory, ranges, 2, NULL), 0);
    if (fdt_build(memory, (struct memory_range){gpa(RAM), AREA_SIZE}, config, &err))
        fail_msg("%s", err.message);
    return memory_at(memory, gpa(RAM), AREA_SIZE);
}

static void assert_cells(const void *fdt, const char *path, const char *name,
                         const uint32_t *expected, unsigned count)
{
    int size;
    const fdt32_t *cells = fdt_getprop(fdt, fdt_path_offset(fdt, path), name, &size);

    if (!cells)
        fail_msg("%s has no %s", path, name);
    assert_int_equal(size, count * sizeof *cells);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(fdt32_to_cpu(cells[i]), expected[i]);
}

#define ASSERT_CELLS(fdt, path, name, ...)                                                        \
    assert_cells(fdt, path, name, (const uint32_t[]){__VA_ARGS__},                                \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void assert_string(const void *fdt, const char *path, const char *name,
                          const char *expected)
{
    const char *value = fdt_getprop(fdt, fdt_path_offset(fdt, path), name, NULL);

    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void tells_what_the_kernel_needs_to_start(void **state)
{
    const struct fdt_config config = everything();
    struct guest_memory memory;
    const void *fdt = build(&memory, &config);
    int size;

    (void)state;
    assert_int_equal(fdt_check_full(fdt, AREA_SIZE), 0);
    assert_string(fdt, "/chosen", "bootargs", "console=ttyAMA0 quiet");
    assert_string(fdt, "/chosen", "stdout-path", "/serial@9000000");
    ASSERT_CELLS(fdt, "/chosen", "linux,initrd-start", 0, 0x48000000);
    ASSERT_CELLS(fdt, "/chosen", "linux,initrd-end", 0, 0x48012345);
    assert_memory_equal(fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), "kaslr-seed", &size),
                        "\1\2\3\0\0\0\0\0", 8);
    assert_int_equal(size, 8);
    fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), "rng-seed", &size);
    assert_int_equal(size, FDT_SEED_SIZE - 8);
    ASSERT_CELLS(fdt, "/memory@40000000", "reg", 0, RAM, 0, 1 << 20);
    ASSERT_CELLS(fdt, "/memory@100000000", "reg", 1, 0, 0, 1 << 20);
    memory_destroy(&memory);
}

static void tells_the_processors_and_their_interrupts(void **state)
{
    const struct fdt_config config = everything();
    struct guest_memory memory;
    const void *fdt = build(&memory, &config);

    (void)state;
    ASSERT_CELLS(fdt, "/cpus/cpu@0", "reg", 0);
    ASSERT_CELLS(fdt, "/cpus/cpu@100", "reg", 0x100);
    assert_string(fdt, "/cpus/cpu@1", "enable-method", "psci");
    assert_string(fdt, "/psci", "method", "hvc");
    ASSERT_CELLS(fdt, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
    ASSERT_CELLS(fdt, "/pmu", "interrupts", 1, 7, 4);
    assert_string(fdt, "/interrupt-controller@8000000", "compatible", "arm,gic-v3");
    ASSERT_CELLS(fdt, "/interrupt-controller@8000000", "reg", 0, 0x8000000, 0, 0x10000, 0,
                 0x80a0000, 0, 0x60000);
    assert_string(fdt, "/interrupt-controller@8000000/msi-controller@8080000", "compatible",
                  "arm,gic-v3-its");
    memory_destroy(&memory);
}

static void tells_the_devices(void **state)
{
    const struct fdt_config config = everything();
    struct guest_memory memory;
    const void *fdt = build(&memory, &config);

    (void)state;
    ASSERT_CELLS(fdt, "/serial@9000000", "interrupts", 0, 1, 1);
    ASSERT_CELLS(fdt, "/virtio@a001000", "interrupts", 0, 3, 1);
    ASSERT_CELLS(fdt, "/virtio@a001000", "reg", 0, 0xa001000, 0, 0x200);
    ASSERT_CELLS(fdt, "/pvpanic@9020000", "reg", 0, 0x9020000, 0, 2);
    ASSERT_CELLS(fdt, "/pcie@20000000", "ranges", 0x02000000, 0, 0x10000000, 0, 0x10000000, 0,
                 0x10000000);
    ASSERT_CELLS(fdt, "/pcie@20000000", "msi-map", 0,
                 fdt_get_phandle(fdt, fdt_path_offset(fdt, "/interrupt-controller@8000000/"
                                                           "msi-controller@8080000")),
                 0, 0x10000);
    memory_destroy(&memory);
}

/* The private interrupts of a GICv2 say for which of the three processors they are. */
static void tells_of_a_gicv2(void **state)
{
    const struct fdt_config config = with_gicv2();
    struct guest_memory memory;
    const void *fdt = build(&memory, &config);
    const char *frame = "/interrupt-controller@8000000/msi-controller@8020000";

    (void)state;
    ASSERT_CELLS(fdt, "/timer", "interrupts", 1, 13, 0x704, 1, 14, 0x704, 1, 11, 0x704, 1, 10,
                 0x704);
    assert_string(fdt, frame, "compatible", "arm,gic-v2m-frame");
    ASSERT_CELLS(fdt, frame, "arm,msi-base-spi", 96);
    ASSERT_CELLS(fdt, frame, "arm,msi-num-spis", 128);
    memory_destroy(&memory);
}

static void leaves_out_what_is_not_there(void **state)
{
    const struct fdt_config config = least();
    struct guest_memory memory;
    const void *fdt = build(&memory, &config);
    int chosen = fdt_path_offset(fdt, "/chosen");

    (void)state;
    assert_null(fdt_getprop(fdt, chosen, "linux,initrd-start", NULL));
    assert_null(fdt_getprop(fdt, chosen, "stdout-path", NULL));
    assert_int_equal(fdt_path_offset(fdt, "/pmu"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(fdt, "/serial"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(fdt, "/rtc"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(fdt, "/pcie"), -FDT_ERR_NOTFOUND);
    memory_destroy(&memory);
}

static void refuses_what_no_tree_can_say(void **state)
{
    const struct memory_range range = {{RAM}, 1 << 20}, area = {{RAM}, AREA_SIZE};
    struct fdt_config config = everything();
    struct guest_memory memory;
    struct err err = {0};

    (void)state;
    assert_int_equal(memory_create(&memory, &range, 1, NULL), 0);
    config.cpu_count = 0;
    assert_failure(fdt_build(&memory, area, &config, &err), -EINVAL, &err,
                   "0 processors; 1 to 512");
    config = with_gicv2();
    config.cpu_count = 9;
    assert_failure(fdt_build(&memory, area, &config, &err), -EINVAL, &err, "9 processors; 1 to 8");
    config = everything();
    config.virtio_mmio_count = FDT_VIRTIO_MMIO_MAX + 1;
    assert_failure(fdt_build(&memory, area, &config, &err), -EINVAL, &err, "65 virtio devices");
    config = everything();
    config.pci_window.size = UINT64_MAX;
    assert_failure(fdt_build(&memory, area, &config, &err), -EINVAL, &err, "not below 4 GiB");
    memory_destroy(&memory);
}

static void refuses_an_area_that_is_none(void **state)
{
    const struct memory_range range = {{RAM}, 1 << 20};
    const struct fdt_config config = everything();
    struct guest_memory memory;
    struct err err = {0};

    (void)state;
    assert_int_equal(memory_create(&memory, &range, 1, NULL), 0);
    for (uint64_t size = 0; size < 0x800; size += 7)
        assert_failure(fdt_build(&memory, (struct memory_range){gpa(RAM), size}, &config, &err),
                       -ENOSPC, &err, "does not fit into");
    assert_failure(fdt_build(&memory, (struct memory_range){gpa(0), 4096}, &config, &err), -EFAULT,
                   &err, "no guest memory at 0x0");
    assert_failure(fdt_build(&memory, (struct memory_range){gpa(RAM + 4), 4096}, &config, &err),
                   -EINVAL, &err, "no place for one");
    memory_destroy(&memory);
}

/* --- dtc --- */

static void judge(const struct fdt_config *config)
{
    char path[] = "/tmp/husk-fdt-XXXXXX", command[256];
    struct guest_memory memory;
    const void *fdt = build(&memory, config);
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, fdt, fdt_totalsize(fdt)), fdt_totalsize(fdt));
    close(fd);
    snprintf(command, sizeof command,
             "said=$(dtc -I dtb -O dts -o /dev/null %s 2>&1) && [ -z \"$said\" ] || "
             "{ echo \"$said\"; exit 1; }",
             path);
    rc = system(command);
    unlink(path);
    memory_destroy(&memory);
    assert_int_equal(rc, 0);
}

static void dtc_finds_no_fault(void **state)
{
    const struct fdt_config configs[] = {everything(), with_gicv2(), least()};

    (void)state;
    if (system("dtc --version >/dev/null 2>&1")) {
        print_message("skipped: dtc is not installed (package device-tree-compiler)\n");
        skip();
    }
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        judge(&configs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_the_kernel_needs_to_start),
        cmocka_unit_test(tells_the_processors_and_their_interrupts),
        cmocka_unit_test(tells_the_devices),
        cmocka_unit_test(tells_of_a_gicv2),
        cmocka_unit_test(leaves_out_what_is_not_there),
        cmocka_unit_test(refuses_what_no_tree_can_say),
        cmocka_unit_test(refuses_an_area_that_is_none),
        cmocka_unit_test(dtc_finds_no_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
