/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: who overrides whom, and how long it may be. */
#include "firmware/command_line.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <stdlib.h>

struct merge_case {
    const char *defaults;
    const char *user;
    const char *expected;
};

static const struct merge_case cases[] = {
    {NULL, NULL, ""},
    {"", "", ""},
    {"quiet", NULL, "quiet"},
    {NULL, "a b=c", "a b=c"},
    {"console=ttyS0 panic=1", "root=/dev/vda", "console=ttyS0 panic=1 root=/dev/vda"},
    {"console=ttyS0 panic=1", "panic=5", "console=ttyS0 panic=5"},
    {"a=1 b=2 c=3", "b", "a=1 c=3 b"},
    {"b", "b=2", "b=2"},
    {"ab=1", "a=1", "ab=1 a=1"},
    {"a=1", "ab=1", "a=1 ab=1"},
    {"console=ttyS0", "console=hvc0 console=tty0", "console=hvc0 console=tty0"},
    {"  a \t b\n", "\tc  d ", "a b c d"},
    {"8250.nr-uarts=1", "8250.nr_uarts=4", "8250.nr_uarts=4"},
    {"a=1", "b=\"x a=2 y\"", "a=1 b=\"x a=2 y\""},
    {"a=\"1 2\" c", "b", "a=\"1 2\" c b"},
    {"a=\"1 2\" c", "a=3", "c a=3"},
    {"a=1 b=1", "b=2 -- a=3", "a=1 b=2 -- a=3"},
    {"a=1", "--a=3", "a=1 --a=3"},
    {"quiet panic=1", "loglevel=7", "panic=1 loglevel=7"},
    {"quiet", "debug", "debug"},
    {"quiet", "ignore-loglevel", "ignore-loglevel"},
    {"loglevel=3", "quiet", "quiet"},
    {"quiet", "debugger", "quiet debugger"},
    {"rw quiet", "ro", "quiet ro"},
    {"a=b=c", "a=d", "a=d"},
    {"=x", "=y", "=x =y"},
};

static void merges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[256];

        assert_int_equal(
            command_line_build(line, sizeof line, cases[i].defaults, cases[i].user, NULL), 0);
        assert_string_equal(line, cases[i].expected);
    }
}

/* In exact heap blocks, so that AddressSanitizer sees a byte too many. */
static void fits_exactly_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].expected);

        for (size_t room = 0; room <= size + 1; room++) {
            char *line = malloc(room ? room : 1);
            struct err err = {0};
            int rc = command_line_build(line, room, cases[i].defaults, cases[i].user, &err);

            if (room <= size)
                assert_failure(rc, -E2BIG, &err, "shorten --append");
            else
                assert_int_equal(rc, 0);
            if (!rc)
                assert_string_equal(line, cases[i].expected);
            free(line);
        }
    }
}

static void tells_both_sizes_when_it_does_not_fit(void **state)
{
    struct err err = {0};
    char line[8];

    (void)state;
    assert_failure(command_line_build(line, sizeof line, "abcd", "efgh", &err), -E2BIG, &err,
                   "command line is 9 bytes; there is room for 7");
}

static void goes_into_memory_with_its_nul(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct memory_range area = {gpa(0x20000), 0x10000};
    struct kernel kernel = {.command_line_max = 5};

    (void)state;
    memset(memory_at(&memory, area.base, 16), 0x5a, 16);
    assert_int_equal(command_line_load(&memory, area, &kernel, "12345", NULL), 0);
    assert_memory_equal(memory_at(&memory, area.base, 7), "12345\0\x5a", 7);
    memory_destroy(&memory);
}

static void kernel_and_area_limit_it(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct kernel kernel = {.command_line_max = 5};
    struct err err = {0};

    (void)state;
    assert_failure(command_line_load(&memory, (struct memory_range){gpa(0), 0x10000}, &kernel,
                                     "123456", &err),
                   -E2BIG, &err, "command line is 6 bytes; this kernel takes at most 5;");
    assert_failure(
        command_line_load(&memory, (struct memory_range){gpa(0), 5}, &kernel, "12345", &err),
        -E2BIG, &err, "takes at most 4");
    kernel.command_line_max = UINT32_MAX;
    assert_failure(
        command_line_load(&memory, (struct memory_range){gpa(0), 0}, &kernel, "1", &err), -E2BIG,
        &err, "takes at most 0");
    assert_failure(command_line_load(&memory, (struct memory_range){gpa(2 * TEST_MIB), 100},
                                     &kernel, "1", &err),
                   -EFAULT, &err, "no guest memory");
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges),
        cmocka_unit_test(fits_exactly_or_not_at_all),
        cmocka_unit_test(tells_both_sizes_when_it_does_not_fit),
        cmocka_unit_test(goes_into_memory_with_its_nul),
        cmocka_unit_test(kernel_and_area_limit_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
