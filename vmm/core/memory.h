/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the only place where a guest-physical address becomes a pointer.
 *
 * A guest address is a `struct gpa`, which cannot be dereferenced or mixed up with a host
 * pointer. It is turned into one only by functions that check the whole range [gpa, gpa + size)
 * against one region. The bytes behind the pointer can change at any time, because the guest's
 * vCPUs run: copy a value once, then check the copy, then use the copy.
 */
#ifndef HUSK_CORE_MEMORY_H
#define HUSK_CORE_MEMORY_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gpa {
    uint64_t v;
};

static inline struct gpa gpa(uint64_t value)
{
    return (struct gpa){value};
}

/* May wrap; every user of the result checks it against a region. */
static inline struct gpa gpa_add(struct gpa base, uint64_t offset)
{
    return gpa(base.v + offset);
}

#define MEMORY_REGIONS_MAX 4

struct memory_range {
    struct gpa base;
    uint64_t size; /* bytes */
};

struct memory_region {
    struct gpa base;
    uint64_t size; /* bytes, a multiple of the page size, never 0 */
    uint8_t *host; /* zero-filled, faulted in on use */
    uint64_t offset; /* in the file of memory that is shared */
};

struct guest_memory {
    struct memory_region regions[MEMORY_REGIONS_MAX]; /* ascending, disjoint */
    unsigned count;
    bool shared; /* by `fd`, a memfd that can change its content and never its size */
    int fd;
};

/*
 * Maps `count` ranges (ascending, disjoint, page-aligned) as private anonymous memory. On error
 * nothing stays mapped. Errors: -EINVAL for a bad map, -ENOMEM when the host refuses.
 */
int memory_create(struct guest_memory *memory, const struct memory_range *ranges, unsigned count,
                  struct err *err);

/* The same, of a memfd, so that other processes can map it. It is slower to touch first. */
int memory_create_shared(struct guest_memory *memory, const struct memory_range *ranges,
                         unsigned count, struct err *err);

/* Unmaps everything; harmless on a zeroed or destroyed object. */
void memory_destroy(struct guest_memory *memory);

/* Sum of all regions in bytes. */
uint64_t memory_size(const struct guest_memory *memory);

/*
 * The host address of [base, base + size), or NULL unless all of it lies in one region.
 * size 0 is allowed where base itself lies in a region. No alignment is promised beyond base's.
 */
void *memory_at(const struct guest_memory *memory, struct gpa base, uint64_t size);

/* Copies out of, into, or zero-fills guest memory: 0, or -EFAULT with nothing done. */
int memory_read(const struct guest_memory *memory, struct gpa base, void *to, size_t size);
int memory_write(const struct guest_memory *memory, struct gpa base, const void *from, size_t size);
int memory_zero(const struct guest_memory *memory, struct gpa base, size_t size);

/*
 * Gives [host, host + size), which is guest memory as memory_at() gave it, back to the host, as far
 * as it is whole pages of the host: the guest finds zeros there, and takes memory anew where it
 * writes. Whether it has a memslot yet is all the same. *discarded (may be NULL) are the bytes of
 * those pages; a call without any makes no system call, otherwise it makes one.
 * Errors: -EFAULT not all of it is in one region; what madvise(2) or fallocate(2) says:
 * -EINVAL, it is locked.
 */
int memory_discard(const struct guest_memory *memory, const void *host, uint64_t size,
                   uint64_t *discarded);

/*
 * Bytes of it that are in the host's memory now; pages that were read and never written count as
 * well. It takes time in proportion to what is resident, some 10 ns for each small page, and a
 * system call for each 64 MiB. 0 if the host does not tell.
 */
uint64_t memory_resident(const struct guest_memory *memory);

#endif
