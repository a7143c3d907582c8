/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the description of a machine: either it is refused with a message, or the tree that
 * comes of it is whole, inside its area, and says what was asked for.
 *
 *     input: counts, flags and area size (struct shape), then windows for the devices in turn, then
 *     the command line
 */
#include "firmware/fdt.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#define RAM 0x40000000ull
#define RAM_SIZE (4ull << 20)
#define COMMAND_LINE_MAX 4096u

struct shape {
    uint16_t cpus;
    uint8_t windows;
    uint8_t gic_version;
    uint32_t area_size;
    uint8_t has_pmu;
    uint8_t reserved[3];
};

struct input {
    const uint8_t *data;
    size_t size;
};

static void require(int condition)
{
    if (!condition)
        abort();
}

/* What is missing at the end of the input is zero. */
static void take(struct input *input, void *to, size_t size)
{
    size_t there = size < input->size ? size : input->size;

    memset(to, 0, size);
    memcpy(to, input->data, there);
    input->data += there;
    input->size -= there;
}

static struct fdt_window take_window(struct input *input)
{
    struct fdt_window window;

    take(input, &window, sizeof window);
    return window;
}

static void check_tree(const void *fdt, uint64_t area_size, const struct fdt_config *config)
{
    int chosen;

    require(fdt_totalsize(fdt) <= area_size);
    require(fdt_check_full(fdt, fdt_totalsize(fdt)) == 0);
    chosen = fdt_path_offset(fdt, "/chosen");
    require(strcmp(fdt_getprop(fdt, chosen, "bootargs", NULL), config->command_line) == 0);
}

static void build(const struct guest_memory *memory, const struct fdt_config *config,
                  uint64_t area_size)
{
    const struct memory_range area = {{RAM}, area_size};
    struct err err = {0};

    if (fdt_build(memory, area, config, &err) == 0)
        check_tree(memory_at(memory, area.base, area.size), area_size, config);
    else
        require(err.code < 0 && err.message[0] && !strchr(err.message, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest_memory memory;
    static uint32_t cpu_ids[FDT_CPUS_MAX];
    const struct memory_range range = {{RAM}, RAM_SIZE};
    struct fdt_device windows[FDT_VIRTIO_MMIO_MAX] = {0};
    char command_line[COMMAND_LINE_MAX + 1] = "";
    struct input input = {data, size};
    struct fdt_config config;
    struct shape shape;

    if (memory.count == 0)
        require(memory_create(&memory, &range, 1, NULL) == 0);
    take(&input, &shape, sizeof shape);
    for (unsigned i = 0; i < FDT_CPUS_MAX; i++)
        cpu_ids[i] = i;
    config = (struct fdt_config){
        .command_line = command_line,
        .cpu_ids = cpu_ids,
        .cpu_count = shape.cpus,
        .has_pmu = shape.has_pmu & 1,
        .gic.version = shape.gic_version & 1 ? FDT_GIC_V2 : FDT_GIC_V3,
        .gic.distributor = take_window(&input),
        .gic.cpus = take_window(&input),
        .gic.messages = take_window(&input),
        .serial.registers = take_window(&input),
        .rtc = take_window(&input),
        .pvpanic = take_window(&input),
        .pci_ecam = take_window(&input),
        .pci_window = take_window(&input),
        .virtio_mmio = windows,
        .virtio_mmio_count = shape.windows,
    };
    for (unsigned i = 0; i < FDT_VIRTIO_MMIO_MAX && i < shape.windows; i++)
        windows[i] = (struct fdt_device){take_window(&input), i};
    take(&input, &config.initrd, sizeof config.initrd);
    take(&input, command_line, COMMAND_LINE_MAX);
    build(&memory, &config, shape.area_size);
    return 0;
}
