/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a kernel, for one architecture and the other, and then as an initrd beside it:
 * whatever is accepted must lie in guest memory, inside the limits, with its entry point in it, and
 * nothing over anything else.
 */
#include "firmware/initrd.h"
#include "firmware/kernel.h"
#include "firmware/zero_page.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_SIZE (64ull << 20)

#define LOWEST 0x100000

static const struct kernel_limits x86_64 = {
    .machine = &kernel_machine_x86_64, .lowest = {LOWEST}, .end = {0x100000000}};
static const struct kernel_limits aarch64 = {
    .machine = &kernel_machine_aarch64, .lowest = {LOWEST}, .end = {UINT64_MAX}};

static void require(int condition)
{
    if (!condition)
        abort();
}

static int inside(struct memory_range inner, uint64_t start, uint64_t end)
{
    return inner.base.v >= start && inner.size <= end - start &&
           inner.base.v - start <= end - start - inner.size;
}

static void check_kernel(const struct kernel *kernel)
{
    require(inside(kernel->range, LOWEST, MEMORY_SIZE));
    require(kernel->entry.v - kernel->range.base.v < kernel->range.size);
}

static void check_initrd(const struct kernel *kernel, struct memory_range initrd, size_t size)
{
    require(initrd.size == size);
    require(inside(initrd, LOWEST, MEMORY_SIZE));
    require(initrd.base.v + initrd.size <= kernel->range.base.v ||
            initrd.base.v >= kernel->range.base.v + kernel->range.size);
}

static void load(const struct guest_memory *memory, int fd, size_t size,
                 const struct kernel_limits *limits)
{
    static const struct memory_map map = {.count = 0};
    const struct boot_parameters parameters = {.map = &map};
    struct memory_range initrd;
    struct kernel kernel;
    struct err err = {0};

    if (kernel_load(memory, fd, "fuzz", limits, &kernel, &err)) {
        require(err.code < 0 && err.message[0] && !strchr(err.message, '\n'));
        return;
    }
    check_kernel(&kernel);
    if (!initrd_load(memory, fd, "fuzz", limits, &kernel, &initrd, &err))
        check_initrd(&kernel, initrd, size);
    if (limits == &x86_64)
        require(zero_page_write(memory, (struct gpa){0x7000}, &kernel, &parameters, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest_memory memory;
    static int fd = -1;

    if (fd < 0) {
        struct memory_range range = {{0}, MEMORY_SIZE};

        require(memory_create(&memory, &range, 1, NULL) == 0);
        fd = memfd_create("kernel_fuzz", MFD_CLOEXEC);
        require(fd >= 0);
    }
    require(ftruncate(fd, (off_t)size) == 0);
    require(pwrite(fd, data, size, 0) == (ssize_t)size);
    load(&memory, fd, size, &x86_64);
    load(&memory, fd, size, &aarch64);
    return 0;
}
