/* SPDX-License-Identifier: Apache-2.0 */
/* Tells kernel formats apart and hands over to the one that fits; see firmware/kernel.h. */
#include "firmware/kernel.h"

#include "firmware/kernel_formats.h"

#include <errno.h>

const struct kernel_machine kernel_machine_x86_64 = {
    .name = "x86_64",
    .wanted = "a bzImage or vmlinux for x86_64",
    .loaders = (const struct kernel_loader *const[]){&bzimage_loader, &elf_loader, NULL},
};

const struct kernel_machine kernel_machine_aarch64 = {
    .name = "aarch64",
    .wanted = "an arm64 Image",
    .loaders = (const struct kernel_loader *const[]){&image_loader, &zboot_image_loader,
                                                     &gzip_image_loader, NULL},
};

static int read_head(struct kernel_source *source, int fd, struct err *err)
{
    int rc = image_open(&source->image, fd, err);

    if (rc)
        return rc;
    source->head_size = KERNEL_HEAD_SIZE;
    if (source->image.size < source->head_size)
        source->head_size = (size_t)source->image.size;
    return image_read(&source->image, 0, source->head, source->head_size, err);
}

static int load(struct kernel_source *source, int fd, struct kernel *kernel, struct err *err)
{
    const struct kernel_machine *machine = source->limits.machine;
    int rc = read_head(source, fd, err);

    if (rc)
        return rc;
    *kernel = (struct kernel){0};
    for (const struct kernel_loader *const *loader = machine->loaders; *loader; loader++)
        if ((*loader)->detect(source))
            return (*loader)->load(source, kernel, err);
    return kernel_refuse(machine, source->head, source->head_size, err);
}

int kernel_load(const struct guest_memory *memory, int fd, const char *name,
                const struct kernel_limits *limits, struct kernel *kernel, struct err *err)
{
    struct kernel_source source;
    int rc;

    source.memory = memory;
    source.limits = *limits;
    rc = load(&source, fd, kernel, err);
    if (rc)
        err_prefix(err, "kernel \"%s\"", name);
    return rc;
}

int kernel_check_range(const struct kernel_source *source, struct gpa base, uint64_t size,
                       struct err *err)
{
    const struct guest_memory *memory = source->memory;
    unsigned long long first = base.v;
    unsigned long long end = base.v + size;

    if (end < first || end > source->limits.end.v)
        return err_set(err, -ENOMEM,
                       "wants %llu bytes at 0x%llx, but must end below 0x%llx; link it lower",
                       (unsigned long long)size, first,
                       (unsigned long long)source->limits.end.v);
    if (first < source->limits.lowest.v)
        return err_set(err, -ENOMEM,
                       "wants address 0x%llx, but what is below 0x%llx is the machine's; "
                       "link it higher",
                       first, (unsigned long long)source->limits.lowest.v);
    if (memory_at(memory, base, size))
        return 0;
    /* With two regions the RAM below the hole is as large as it gets. */
    if (memory->count == 1 && end > memory->regions[0].base.v + memory->regions[0].size)
        return err_set(err, -ENOMEM, "needs at least %llu MiB of memory; raise --memory",
                       (unsigned long long)image_mib(end - memory->regions[0].base.v));
    return err_set(err, -ENOMEM, "wants 0x%llx to 0x%llx, where the machine has no memory", first,
                   end - 1);
}
