/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the initrd a place and loads it there; see firmware/initrd.h. */
#include "firmware/initrd.h"

#include "firmware/image.h"

#include <errno.h>
#include <stdbool.h>

#define PAGE_SIZE 4096ull

/* Addresses from `start` up to, not including, `end`. Empty when end <= start. */
struct span {
    uint64_t start;
    uint64_t end;
};

struct place {
    uint64_t size;    /* wanted */
    uint64_t largest; /* the largest free span seen, for the message when none is enough */
    bool found;
    struct gpa base;
};

/* Takes the top of the span, if the initrd fits there. */
static void try_span(struct place *place, struct span span)
{
    uint64_t start = (span.start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

    if (place->found || span.end <= start)
        return;
    if (span.end - start > place->largest)
        place->largest = span.end - start;
    if (span.end - start < place->size)
        return;
    place->found = true;
    place->base = gpa((span.end - place->size) & ~(PAGE_SIZE - 1));
}

/* What of a region may hold an initrd, the kernel not yet considered. */
static struct span allowed(const struct memory_region *region, const struct kernel_limits *limits,
                           const struct kernel *kernel)
{
    struct span span = {region->base.v, region->base.v + region->size};

    if (span.start < limits->lowest.v)
        span.start = limits->lowest.v;
    if (span.end > limits->end.v)
        span.end = limits->end.v;
    if (span.end > kernel->initrd_last.v)
        span.end = kernel->initrd_last.v + 1;
    return span;
}

static struct place find_place(const struct guest_memory *memory,
                               const struct kernel_limits *limits, const struct kernel *kernel,
                               uint64_t size)
{
    struct span kernel_span = {kernel->range.base.v, kernel->range.base.v + kernel->range.size};
    struct place place = {.size = size};

    for (unsigned i = memory->count; i-- > 0;) {
        struct span span = allowed(&memory->regions[i], limits, kernel);

        if (kernel_span.start >= span.end || kernel_span.end <= span.start) {
            try_span(&place, span);
            continue;
        }
        try_span(&place, (struct span){kernel_span.end, span.end});
        try_span(&place, (struct span){span.start, kernel_span.start});
    }
    return place;
}

static int load(const struct guest_memory *memory, int fd, const struct kernel_limits *limits,
                const struct kernel *kernel, struct memory_range *initrd, struct err *err)
{
    struct image image;
    struct place place;
    int rc = image_open(&image, fd, err);

    if (rc)
        return rc;
    place = find_place(memory, limits, kernel, image.size);
    if (!place.found)
        return err_set(err, -ENOMEM,
                       "is too large: it has %llu MiB, and the largest free place is %llu MiB; "
                       "raise --memory",
                       (unsigned long long)image_mib(image.size),
                       (unsigned long long)(place.largest / MIB));
    rc = image_load(&image, 0, memory, place.base, image.size, err);
    *initrd = (struct memory_range){place.base, image.size};
    return rc;
}

int initrd_load(const struct guest_memory *memory, int fd, const char *name,
                const struct kernel_limits *limits, const struct kernel *kernel,
                struct memory_range *initrd, struct err *err)
{
    int rc = load(memory, fd, limits, kernel, initrd, err);

    if (rc)
        err_prefix(err, "initrd \"%s\"", name);
    return rc;
}
