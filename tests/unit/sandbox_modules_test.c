/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules of which files, from made-up trees. */
#include "sandbox/modules.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void write_list(struct scratch *scratch, const char *name, const char *text)
{
    FILE *file = fopen(scratch_file(scratch, name, 0), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void open_with(struct scratch *scratch, struct modules *modules, const char *dependencies,
                      const char *built_in)
{
    struct husk_err err;

    scratch_open(scratch);
    write_list(scratch, "modules.dep", dependencies);
    if (built_in)
        write_list(scratch, "modules.builtin", built_in);
    assert_int_equal(modules_open(modules, "unused", scratch->folder, &err), 0);
}

static void close_both(struct scratch *scratch, struct modules *modules)
{
    modules_close(modules);
    assert_null(modules->dependencies);
    scratch_close(scratch);
}

static void what_is_needed_comes_first(void **state)
{
    struct scratch scratch;
    struct modules modules;
    struct husk_err err;

    (void)state;
    open_with(&scratch, &modules,
              "kernel/a.ko:\n"
              "kernel/b-b.ko.xz: kernel/a.ko\n"
              "kernel/c_c.ko.zst: kernel/b-b.ko.xz kernel/a.ko\n"
              "kernel/abc.ko: kernel/zzz.ko\n",
              NULL);
    assert_int_equal(modules_add(&modules, "c-c", false, &err), 0);
    assert_int_equal(modules.count, 3);
    assert_string_equal(modules.files[0], "kernel/a.ko");
    assert_string_equal(modules.files[1], "kernel/b-b.ko.xz");
    assert_string_equal(modules.files[2], "kernel/c_c.ko.zst");
    assert_int_equal(modules_add(&modules, "b_b", false, &err), 0); /* is there already */
    assert_int_equal(modules.count, 3);
    assert_failure(modules_add(&modules, "ab", false, &err), -ENOENT, &err, "no module ab");
    assert_failure(modules_add(&modules, "b", false, &err), -ENOENT, &err, "no module b");
    close_both(&scratch, &modules);
}

static void some_need_no_file(void **state)
{
    struct scratch scratch;
    struct modules modules;
    struct husk_err err;

    (void)state;
    open_with(&scratch, &modules, "kernel/a.ko:\n", "kernel/fs/in-side.ko\nkernel/last.ko");
    assert_int_equal(modules_add(&modules, "in_side", false, &err), 0);
    assert_int_equal(modules_add(&modules, "last", false, &err), 0);
    assert_int_equal(modules_add(&modules, "missing", true, &err), 0);
    assert_int_equal(modules.count, 0);
    assert_failure(modules_add(&modules, "missing", false, &err), -ENOENT, &err, "missing");
    close_both(&scratch, &modules);
}

/* Nothing is read beyond the text, and no module has an empty name. */
static void odd_lists_do_no_harm(void **state)
{
    static const char *const lists[] = {
        "", "\n\n\n", ":", "::::\n", "a.ko", "a.ko\n", " a.ko:", "a.ko:  ", "a.ko: \n", "a.ko",
        "/a.ko:", "//////a.ko: :", "a.ko: b.ko  :  c.ko ", "x/a.k", "x/a.", "x/a", "a.ko: : :\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct scratch scratch;
        struct modules modules;
        struct husk_err err;

        open_with(&scratch, &modules, lists[i], lists[i]);
        modules_add(&modules, "a", true, &err);
        assert_true(modules.count <= 3);
        for (unsigned m = 0; m < modules.count; m++) {
            assert_true(modules.files[m][0] != '\0');
            assert_null(strchr(modules.files[m], ':'));
            assert_null(strchr(modules.files[m], ' '));
        }
        close_both(&scratch, &modules);
    }
}

static void too_many_are_refused(void **state)
{
    struct scratch scratch;
    struct modules modules;
    struct husk_err err;
    char line[4096] = "a.ko:";

    (void)state;
    for (int i = 0; i < 100; i++)
        sprintf(line + strlen(line), " m%d.ko", i);
    open_with(&scratch, &modules, line, NULL);
    assert_failure(modules_add(&modules, "a", false, &err), -E2BIG, &err, "more than 64");
    assert_int_equal(modules.count, MODULES_MAX);
    close_both(&scratch, &modules);
}

static void a_folder_without_a_list_is_refused(void **state)
{
    struct scratch scratch;
    struct modules modules;
    struct husk_err err;

    (void)state;
    scratch_open(&scratch);
    assert_failure(modules_open(&modules, "unused", scratch.folder, &err), -ENOENT, &err,
                   "has no modules.dep");
    assert_failure(modules_open(&modules, "/nonexistent", NULL, &err), -ENOENT, &err,
                   "cannot open the kernel");
    scratch_file(&scratch, "vmlinuz-0.0-none", 1000);
    assert_failure(modules_open(&modules, scratch.path, NULL, &err), -ENOENT, &err,
                   "version 0.0-none");
    scratch_file(&scratch, "modules.dep", 17u << 20); /* too large to be one */
    assert_failure(modules_open(&modules, "unused", scratch.folder, &err), -EIO, &err, "cannot read");
    scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_needed_comes_first),
        cmocka_unit_test(some_need_no_file),
        cmocka_unit_test(odd_lists_do_no_harm),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(a_folder_without_a_list_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
