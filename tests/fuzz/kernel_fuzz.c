/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a kernel, and then as an initrd beside it: whatever is accepted must lie in guest
 * memory, inside the limits, with its entry point in it, and nothing over anything else.
 */
#include "firmware/initrd.h"
#include "firmware/kernel.h"
#include "firmware/zero_page.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_SIZE (64ull << 20)

static const struct kernel_limits limits = {.lowest = {0x100000}, .end = {0x100000000}};

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
    require(inside(kernel->range, limits.lowest.v, MEMORY_SIZE));
    require(kernel->entry.v - kernel->range.base.v < kernel->range.size);
}

static void check_initrd(const struct kernel *kernel, struct memory_range initrd, size_t size)
{
    require(initrd.size == size);
    require(inside(initrd, limits.lowest.v, MEMORY_SIZE));
    require(initrd.base.v + initrd.size <= kernel->range.base.v ||
            initrd.base.v >= kernel->range.base.v + kernel->range.size);
}

static void load(const struct guest_memory *memory, int fd, size_t size)
{
    static const struct memory_map map = {.count = 0};
    const struct boot_parameters parameters = {.map = &map};
    struct memory_range initrd;
    struct kernel kernel;
    struct err err = {0};

    if (kernel_load(memory, fd, "fuzz", &limits, &kernel, &err)) {
        require(err.code < 0 && err.message[0] && !strchr(err.message, '\n'));
        return;
    }
    check_kernel(&kernel);
    if (!initrd_load(memory, fd, "fuzz", &limits, &kernel, &initrd, &err))
        check_initrd(&kernel, initrd, size);
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
    load(&memory, fd, size);
    return 0;
}
