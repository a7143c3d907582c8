/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as mappings, private or of a memfd; see core/memory.h for the rules of use. */
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_SIZE (2ull << 20)

/* Pages that memory_resident() asks the host about at a time. */
#define PAGES_ASKED 16384u

static int check_ranges(const struct memory_range *ranges, unsigned count, struct err *err)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = 0;

    if (count == 0 || count > MEMORY_REGIONS_MAX)
        return err_set(err, -EINVAL, "guest memory: %u regions; 1 to %u are possible", count,
                       MEMORY_REGIONS_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct memory_range *range = &ranges[i];

        if (range->size == 0 || range->size % page || range->base.v % page ||
            range->base.v < end || range->base.v + range->size < range->base.v)
            return err_set(err, -EINVAL, "guest memory: bad region %u", i);
        end = range->base.v + range->size;
    }
    return 0;
}

/* An anonymous mapping whose address is aligned like a huge page, as guest addresses are. */
static uint8_t *map_aligned(uint64_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    uint64_t skip;

    if (host == MAP_FAILED || (uintptr_t)host % HUGE_PAGE_SIZE == 0)
        return host;
    /* Kernels before 6.7 do not align by themselves: map more, and trim. */
    munmap(host, size);
    host = mmap(NULL, size + HUGE_PAGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (host == MAP_FAILED)
        return host;
    skip = -(uintptr_t)host % HUGE_PAGE_SIZE;
    if (skip > 0)
        munmap(host, skip);
    munmap(host + skip + size, HUGE_PAGE_SIZE - skip);
    return host + skip;
}

/*
 * Private anonymous memory faults faster than a memfd and is not reserved up front, so the size
 * of a guest costs nothing until the guest uses it. Huge pages make both levels of page table
 * short; but not at the start, where boot tables touch a few small pages and clearing 2 MiB for
 * them would be most of the time of a small payload's start. A guest's memory stays out of core
 * dumps and of children that the process forks: it is large, and not ours to show.
 */
static void advise(uint8_t *host, uint64_t size, bool first)
{
    uint64_t small = first && size > HUGE_PAGE_SIZE ? HUGE_PAGE_SIZE : 0;

    if (small > 0)
        madvise(host, small, MADV_NOHUGEPAGE);
    madvise(host + small, size - small, MADV_HUGEPAGE);
    madvise(host, size, MADV_DONTDUMP);
    madvise(host, size, MADV_DONTFORK);
}

/* Shared memory takes the place of a private mapping, which has found an aligned address for it. */
static uint8_t *map_region(const struct guest_memory *memory, uint64_t size, uint64_t offset)
{
    const int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    uint8_t *host = map_aligned(size);
    uint8_t *shared;

    if (host == MAP_FAILED || !memory->shared)
        return host;
    shared = mmap(host, size, PROT_READ | PROT_WRITE, flags, memory->fd, (off_t)offset);
    if (shared == MAP_FAILED)
        munmap(host, size);
    return shared;
}

static int map_regions(struct guest_memory *memory, const struct memory_range *ranges,
                       unsigned count, struct err *err)
{
    uint64_t offset = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t size = ranges[i].size;
        uint8_t *host = map_region(memory, size, offset);
        int rc;

        if (host == MAP_FAILED) {
            rc = err_sys(err, -errno, "cannot map %llu MiB of guest memory; ask for less",
                         (unsigned long long)(size >> 20));
            memory_destroy(memory);
            return rc;
        }
        advise(host, size, i == 0);
        memory->regions[i] = (struct memory_region){ranges[i].base, size, host, offset};
        memory->count = i + 1;
        offset += (size + HUGE_PAGE_SIZE - 1) & ~(HUGE_PAGE_SIZE - 1);
    }
    return 0;
}

int memory_create(struct guest_memory *memory, const struct memory_range *ranges, unsigned count,
                  struct err *err)
{
    int rc = check_ranges(ranges, count, err);

    *memory = (struct guest_memory){0};
    return rc ?: map_regions(memory, ranges, count, err);
}

/* Sealed, because who truncated it would take memory from under the others' accesses. */
static int open_file(uint64_t size, struct err *err)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int fd = memfd_create("husk-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rc;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0)
        return fd;
    rc = err_sys(err, -errno, "cannot make %llu MiB of shared guest memory; ask for less",
                 (unsigned long long)(size >> 20));
    if (fd >= 0)
        close(fd);
    return rc;
}

int memory_create_shared(struct guest_memory *memory, const struct memory_range *ranges,
                         unsigned count, struct err *err)
{
    int rc = check_ranges(ranges, count, err);
    uint64_t size = 0;

    *memory = (struct guest_memory){0};
    if (rc)
        return rc;
    for (unsigned i = 0; i < count; i++)
        size += (ranges[i].size + HUGE_PAGE_SIZE - 1) & ~(HUGE_PAGE_SIZE - 1);
    rc = open_file(size, err);
    if (rc < 0)
        return rc;
    *memory = (struct guest_memory){.shared = true, .fd = rc};
    return map_regions(memory, ranges, count, err);
}

void memory_destroy(struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++)
        munmap(memory->regions[i].host, memory->regions[i].size);
    if (memory->shared)
        close(memory->fd);
    *memory = (struct guest_memory){0};
}

uint64_t memory_size(const struct guest_memory *memory)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < memory->count; i++)
        size += memory->regions[i].size;
    return size;
}

void *memory_at(const struct guest_memory *memory, struct gpa base, uint64_t size)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct memory_region *region = &memory->regions[i];
        uint64_t offset = base.v - region->base.v;

        if (base.v >= region->base.v && offset < region->size && size <= region->size - offset)
            return region->host + offset;
    }
    return NULL;
}

int memory_read(const struct guest_memory *memory, struct gpa base, void *to, size_t size)
{
    const void *from = memory_at(memory, base, size);

    if (!from)
        return -EFAULT;
    memcpy(to, from, size);
    return 0;
}

int memory_write(const struct guest_memory *memory, struct gpa base, const void *from, size_t size)
{
    void *to = memory_at(memory, base, size);

    if (!to)
        return -EFAULT;
    memcpy(to, from, size);
    return 0;
}

int memory_zero(const struct guest_memory *memory, struct gpa base, size_t size)
{
    void *to = memory_at(memory, base, size);

    if (!to)
        return -EFAULT;
    memset(to, 0, size);
    return 0;
}

/* --- what the host holds of it --- */

static const struct memory_region *region_of(const struct guest_memory *memory, const void *host,
                                             uint64_t size)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct memory_region *region = &memory->regions[i];
        uint64_t offset = (uintptr_t)host - (uintptr_t)region->host;

        if ((uintptr_t)host >= (uintptr_t)region->host && offset < region->size &&
            size <= region->size - offset)
            return region;
    }
    return NULL;
}

/*
 * A private anonymous mapping has nothing but its pages, so that they are gone with it. Of a huge
 * page a part can be given back, but the host splits it for that, and frees it once all is.
 */
static int discard(const struct guest_memory *memory, const struct memory_region *region,
                   uint64_t offset, uint64_t size)
{
    const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    if (memory->shared) /* where what a mapping forgets is still in the file */
        return fallocate(memory->fd, hole, (off_t)(region->offset + offset), (off_t)size) < 0
                   ? -errno : 0;
    return madvise(region->host + offset, size, MADV_DONTNEED) < 0 ? -errno : 0;
}

int memory_discard(const struct guest_memory *memory, const void *host, uint64_t size,
                   uint64_t *discarded)
{
    const struct memory_region *region = region_of(memory, host, size);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t from, to;
    int rc;

    if (discarded)
        *discarded = 0;
    if (!region)
        return -EFAULT;
    from = (uint64_t)((const uint8_t *)host - region->host);
    to = (from + size) / page * page;
    from = (from + page - 1) / page * page;
    if (from >= to)
        return 0;
    rc = discard(memory, region, from, to - from);
    if (rc == 0 && discarded)
        *discarded = to - from;
    return rc;
}

static uint64_t count_resident(const struct memory_region *region, uint64_t page)
{
    unsigned char resident[PAGES_ASKED];
    uint64_t pages = 0, size;

    for (uint64_t at = 0; at < region->size; at += size) {
        size = region->size - at < PAGES_ASKED * page ? region->size - at : PAGES_ASKED * page;
        if (mincore(region->host + at, size, resident) < 0)
            return 0;
        for (uint64_t i = 0; i < size / page; i++)
            pages += resident[i] & 1;
    }
    return pages;
}

uint64_t memory_resident(const struct guest_memory *memory)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t pages = 0;

    for (unsigned i = 0; i < memory->count; i++)
        pages += count_resident(&memory->regions[i], page);
    return pages * page;
}
