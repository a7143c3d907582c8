/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where guest addresses become pointers: every edge of every region. */
#include "core/memory.h"
#include "support/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ull

static struct guest_memory two_regions(void)
{
    const struct memory_range ranges[] = {{gpa(0), 4 * PAGE}, {gpa(16 * PAGE), 2 * PAGE}};
    struct guest_memory memory;
    struct err err = {0};

    if (memory_create(&memory, ranges, 2, &err))
        fail_msg("%s", err.message);
    return memory;
}

static void maps_zeroed_regions(void **state)
{
    struct guest_memory memory = two_regions();
    const uint8_t *bytes = memory_at(&memory, gpa(16 * PAGE), 2 * PAGE);

    (void)state;
    assert_int_equal(memory.count, 2);
    assert_int_equal(memory_size(&memory), 6 * PAGE);
    assert_non_null(bytes);
    for (size_t i = 0; i < 2 * PAGE; i++)
        assert_int_equal(bytes[i], 0);
    memory_destroy(&memory);
    assert_int_equal(memory_size(&memory), 0);
    assert_null(memory_at(&memory, gpa(0), 1));
    memory_destroy(&memory);
}

static void gives_pointers_inside_one_region_only(void **state)
{
    struct guest_memory memory = two_regions();
    uint8_t *low = memory_at(&memory, gpa(0), 1);
    uint8_t *high = memory_at(&memory, gpa(16 * PAGE), 1);

    (void)state;
    assert_ptr_equal(memory_at(&memory, gpa(0), 4 * PAGE), low);
    assert_ptr_equal(memory_at(&memory, gpa(4 * PAGE - 1), 1), low + 4 * PAGE - 1);
    assert_ptr_equal(memory_at(&memory, gpa(17 * PAGE), PAGE), high + PAGE);
    assert_null(memory_at(&memory, gpa(0), 4 * PAGE + 1));
    assert_null(memory_at(&memory, gpa(4 * PAGE - 1), 2));
    assert_null(memory_at(&memory, gpa(4 * PAGE), 1));
    assert_null(memory_at(&memory, gpa(16 * PAGE - 1), 1));
    assert_null(memory_at(&memory, gpa(16 * PAGE - 1), 2));
    assert_null(memory_at(&memory, gpa(18 * PAGE), 1));
    assert_null(memory_at(&memory, gpa(0), 18 * PAGE)); /* across the hole */
    memory_destroy(&memory);
}

static void allows_nothing_of_size_zero_outside(void **state)
{
    struct guest_memory memory = two_regions();

    (void)state;
    assert_non_null(memory_at(&memory, gpa(0), 0));
    assert_non_null(memory_at(&memory, gpa(4 * PAGE - 1), 0));
    assert_null(memory_at(&memory, gpa(4 * PAGE), 0));
    assert_null(memory_at(&memory, gpa(UINT64_MAX), 0));
    memory_destroy(&memory);
}

static void is_not_fooled_by_overflow(void **state)
{
    struct guest_memory memory = two_regions();

    (void)state;
    assert_null(memory_at(&memory, gpa(0), UINT64_MAX));
    assert_null(memory_at(&memory, gpa(1), UINT64_MAX));
    assert_null(memory_at(&memory, gpa(PAGE), UINT64_MAX - PAGE + 1));
    assert_null(memory_at(&memory, gpa(UINT64_MAX), 1));
    assert_null(memory_at(&memory, gpa(UINT64_MAX), 2));
    assert_null(memory_at(&memory, gpa(UINT64_MAX - PAGE + 1), 2 * PAGE));
    assert_null(memory_at(&memory, gpa_add(gpa(UINT64_MAX), 1 + 4 * PAGE), 1));
    memory_destroy(&memory);
}

static void copies_all_or_nothing(void **state)
{
    struct guest_memory memory = two_regions();
    char bytes[8] = "........";

    (void)state;
    assert_int_equal(memory_write(&memory, gpa(4 * PAGE - 4), "abcd", 4), 0);
    assert_int_equal(memory_write(&memory, gpa(4 * PAGE - 3), "WXYZ", 4), -EFAULT);
    assert_int_equal(memory_read(&memory, gpa(4 * PAGE - 4), bytes, 4), 0);
    assert_memory_equal(bytes, "abcd....", 8);
    assert_int_equal(memory_read(&memory, gpa(4 * PAGE - 3), bytes, 4), -EFAULT);
    assert_memory_equal(bytes, "abcd....", 8);
    assert_int_equal(memory_zero(&memory, gpa(4 * PAGE - 2), 3), -EFAULT);
    assert_int_equal(memory_zero(&memory, gpa(4 * PAGE - 2), 2), 0);
    assert_int_equal(memory_read(&memory, gpa(4 * PAGE - 4), bytes, 4), 0);
    assert_memory_equal(bytes, "ab\0\0....", 8);
    memory_destroy(&memory);
}

static void refuses_bad_maps(void **state)
{
    static const struct memory_range empty[] = {{{0}, 0}};
    static const struct memory_range odd_size[] = {{{0}, PAGE + 1}};
    static const struct memory_range odd_base[] = {{{1}, PAGE}};
    static const struct memory_range overlap[] = {{{0}, 2 * PAGE}, {{PAGE}, PAGE}};
    static const struct memory_range descending[] = {{{4 * PAGE}, PAGE}, {{0}, PAGE}};
    static const struct memory_range wrapping[] = {{{PAGE}, -PAGE}};
    static const struct memory_range many[MEMORY_REGIONS_MAX + 1];
    static const struct {
        const struct memory_range *ranges;
        unsigned count;
    } maps[] = {{empty, 1},      {odd_size, 1}, {odd_base, 1}, {overlap, 2},
                {descending, 2}, {wrapping, 1}, {empty, 0},    {many, MEMORY_REGIONS_MAX + 1}};

    (void)state;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        struct guest_memory memory;
        struct err err = {0};

        assert_failure(memory_create(&memory, maps[i].ranges, maps[i].count, &err), -EINVAL, &err,
                       "guest memory: ");
        assert_int_equal(memory.count, 0);
    }
}

static void unmaps_what_it_had_when_the_host_refuses(void **state)
{
    const struct memory_range ranges[] = {{gpa(0), PAGE}, {gpa(PAGE), 1ull << 62}};
    struct guest_memory memory;
    struct err err = {0};

    (void)state;
    assert_failure(memory_create(&memory, ranges, 2, &err), -ENOMEM, &err, "ask for less");
    assert_int_equal(memory.count, 0);
}

static void maps_more_than_one_huge_page(void **state)
{
    const struct memory_range range = {gpa(0), 7ull << 20};
    struct guest_memory memory;
    uint8_t *bytes;

    (void)state;
    assert_int_equal(memory_create(&memory, &range, 1, NULL), 0);
    bytes = memory_at(&memory, gpa(0), range.size);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < range.size; at += PAGE)
        bytes[at] = 1;
    bytes[range.size - 1] = 1;
    memory_destroy(&memory);
}

/* Whether the mapping at `address` has a flag of proc(5), smaps, VmFlags; "dc": not copied. */
static bool has_vm_flag(const void *address, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    bool here = false, found = false;
    char line[512];

    assert_non_null(smaps);
    while (!found && fgets(line, sizeof line, smaps)) {
        uintptr_t start, end;

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            here = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag);
    }
    fclose(smaps);
    return found;
}

static void a_forked_child_does_not_have_it(void **state)
{
    struct guest_memory memory = two_regions();

    (void)state;
    assert_true(has_vm_flag(memory_at(&memory, gpa(0), PAGE), " dc"));
    assert_false(has_vm_flag(state, " dc"));
    memory_destroy(&memory);
}

static void discarded_memory_is_gone_and_can_be_used(void **state)
{
    struct guest_memory memory = two_regions();
    uint8_t *low = memory_at(&memory, gpa(0), 4 * PAGE);
    uint64_t discarded;

    (void)state;
    memset(low, 1, 4 * PAGE);
    assert_int_equal(memory_resident(&memory), 4 * PAGE);
    assert_int_equal(memory_discard(&memory, low + PAGE, 2 * PAGE, &discarded), 0);
    assert_int_equal(discarded, 2 * PAGE);
    assert_int_equal(memory_resident(&memory), 2 * PAGE);
    low[PAGE] = 1;
    assert_int_equal(memory_resident(&memory), 3 * PAGE);
    for (unsigned i = 0; i < 4 * PAGE; i++)
        assert_int_equal(low[i], i <= PAGE || i >= 3 * PAGE);
    assert_int_equal(memory_resident(&memory), 4 * PAGE); /* what was read counts as well */
    assert_int_equal(memory_discard(&memory, low, 4 * PAGE, NULL), 0);
    assert_int_equal(memory_resident(&memory), 0);
    memory_destroy(&memory);
}

static void whole_pages_alone_are_discarded(void **state)
{
    struct guest_memory memory = two_regions();
    uint8_t *low = memory_at(&memory, gpa(0), 4 * PAGE);
    uint64_t discarded;

    (void)state;
    memset(low, 1, 4 * PAGE);
    assert_int_equal(memory_discard(&memory, low + 1, 3 * PAGE - 2, &discarded), 0);
    assert_int_equal(discarded, PAGE); /* of three pages the one in the middle */
    assert_int_equal(memory_discard(&memory, low + 1, 2 * PAGE - 2, &discarded), 0);
    assert_int_equal(discarded, 0);
    assert_int_equal(memory_discard(&memory, low, 0, &discarded), 0);
    assert_int_equal(discarded, 0);
    assert_int_equal(memory_resident(&memory), 3 * PAGE);
    for (unsigned i = 0; i < 4 * PAGE; i++)
        assert_int_equal(low[i], i < PAGE || i >= 2 * PAGE);
    memory_destroy(&memory);
}

static void nothing_else_is_discarded(void **state)
{
    struct guest_memory memory = two_regions();
    uint8_t *low = memory_at(&memory, gpa(0), 4 * PAGE);
    uint64_t discarded = 1;
    uint8_t ours = 1;

    (void)state;
    memset(low, 1, 4 * PAGE);
    assert_int_equal(memory_discard(&memory, low + PAGE, 3 * PAGE + 1, &discarded), -EFAULT);
    assert_int_equal(discarded, 0);
    assert_int_equal(memory_discard(&memory, low - PAGE, 2 * PAGE, NULL), -EFAULT);
    assert_int_equal(memory_discard(&memory, low + PAGE, UINT64_MAX, NULL), -EFAULT);
    assert_int_equal(memory_discard(&memory, low + 4 * PAGE, 0, NULL), -EFAULT);
    assert_int_equal(memory_discard(&memory, &ours, 1, NULL), -EFAULT);
    assert_int_equal(memory_discard(&memory, NULL, PAGE, NULL), -EFAULT);
    assert_int_equal(memory_resident(&memory), 4 * PAGE);
    memory_destroy(&memory);
}

/* More than one question to the host, and a region that ends in the middle of one. */
static void resident_memory_is_counted_in_all_of_it(void **state)
{
    const struct memory_range range = {gpa(0), (129ull << 20) + PAGE};
    struct guest_memory memory;
    uint8_t *bytes;

    (void)state;
    assert_int_equal(memory_create(&memory, &range, 1, NULL), 0);
    bytes = memory_at(&memory, gpa(0), range.size);
    madvise(bytes, range.size, MADV_NOHUGEPAGE);
    assert_int_equal(memory_resident(&memory), 0);
    bytes[0] = bytes[64ull << 20] = bytes[128ull << 20] = bytes[range.size - 1] = 1;
    assert_int_equal(memory_resident(&memory), 4 * PAGE);
    memory_destroy(&memory);
}


static uint64_t pages_of(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512 / PAGE;
}

/* Each region is where it says that it is in the file, and nothing of it exists before it is used. */
static void shared_memory_is_a_file(void **state)
{
    const struct memory_range ranges[] = {{gpa(0), 3 * PAGE}, {gpa(16 * PAGE), 7ull << 20}};
    struct guest_memory memory;
    struct err err = {0};

    (void)state;
    if (memory_create_shared(&memory, ranges, 2, &err))
        fail_msg("%s", err.message);
    assert_true(memory.shared);
    assert_int_equal(pages_of(memory.fd), 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &memory.regions[i];
        uint8_t *other = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd,
                              (off_t)region->offset);

        assert_ptr_not_equal(other, MAP_FAILED);
        assert_int_equal(other[region->size - 1], 0);
        region->host[region->size - 1] = (uint8_t)(i + 1);
        assert_int_equal(other[region->size - 1], i + 1);
        munmap(other, region->size);
        assert_int_equal((uintptr_t)region->host % (2u << 20), 0);
        assert_int_equal(region->offset % (2u << 20), 0);
    }
    memory_destroy(&memory);
    assert_false(memory.shared);
    memory_destroy(&memory);
}

/* Or who has it could take memory from under us, by making it smaller. */
static void shared_memory_keeps_its_size(void **state)
{
    const struct memory_range range = {gpa(0), 4 * PAGE};
    struct guest_memory memory;

    (void)state;
    assert_int_equal(memory_create_shared(&memory, &range, 1, NULL), 0);
    assert_int_equal(ftruncate(memory.fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(memory.fd, 64ll << 20), -1);
    assert_int_equal(fcntl(memory.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(fcntl(memory.fd, F_GETFD), FD_CLOEXEC);
    memory_destroy(&memory);
}

/* What one mapping forgets would still be in the file. */
static void shared_memory_is_given_back(void **state)
{
    const struct memory_range ranges[] = {{gpa(0), 2 * PAGE}, {gpa(16 * PAGE), 4 * PAGE}};
    struct guest_memory memory;
    uint64_t discarded = 0;
    uint8_t *bytes;

    (void)state;
    assert_int_equal(memory_create_shared(&memory, ranges, 2, NULL), 0);
    bytes = memory_at(&memory, gpa(16 * PAGE), 4 * PAGE);
    memset(bytes, 'x', 4 * PAGE);
    memset(memory.regions[0].host, 'y', 2 * PAGE);
    assert_int_equal(pages_of(memory.fd), 6);
    assert_int_equal(memory_discard(&memory, bytes + PAGE, 2 * PAGE, &discarded), 0);
    assert_int_equal(discarded, 2 * PAGE);
    assert_int_equal(pages_of(memory.fd), 4);
    assert_int_equal(bytes[PAGE - 1], 'x');
    assert_int_equal(bytes[PAGE], 0);
    assert_int_equal(bytes[3 * PAGE - 1], 0);
    assert_int_equal(bytes[3 * PAGE], 'x');
    assert_int_equal(memory.regions[0].host[PAGE], 'y');
    memory_destroy(&memory);
}

static void shared_memory_can_be_refused(void **state)
{
    const struct memory_range bad = {gpa(0), 1};
    const struct memory_range large = {gpa(0), 1ull << 62};
    struct guest_memory memory;
    struct err err = {0};

    (void)state;
    assert_failure(memory_create_shared(&memory, &bad, 1, &err), -EINVAL, &err, "bad region");
    assert_failure(memory_create_shared(&memory, &large, 1, &err), -ENOMEM, &err, "ask for less");
    assert_int_equal(memory.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_zeroed_regions),
        cmocka_unit_test(gives_pointers_inside_one_region_only),
        cmocka_unit_test(allows_nothing_of_size_zero_outside),
        cmocka_unit_test(is_not_fooled_by_overflow),
        cmocka_unit_test(copies_all_or_nothing),
        cmocka_unit_test(refuses_bad_maps),
        cmocka_unit_test(unmaps_what_it_had_when_the_host_refuses),
        cmocka_unit_test(maps_more_than_one_huge_page),
        cmocka_unit_test(a_forked_child_does_not_have_it),
        cmocka_unit_test(discarded_memory_is_gone_and_can_be_used),
        cmocka_unit_test(whole_pages_alone_are_discarded),
        cmocka_unit_test(nothing_else_is_discarded),
        cmocka_unit_test(resident_memory_is_counted_in_all_of_it),
        cmocka_unit_test(shared_memory_is_a_file),
        cmocka_unit_test(shared_memory_keeps_its_size),
        cmocka_unit_test(shared_memory_is_given_back),
        cmocka_unit_test(shared_memory_can_be_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
