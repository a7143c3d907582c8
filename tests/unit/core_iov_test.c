/* SPDX-License-Identifier: Apache-2.0 */
#include "core/iov.h"
#include "support/failure.h"

/* "abc", nothing, "defgh", "i" */
struct list {
    char bytes[16];
    struct iovec iov[4];
};

static struct list *make(struct list *list)
{
    memcpy(list->bytes, "abc_defgh_i_____", 16);
    list->iov[0] = (struct iovec){list->bytes, 3};
    list->iov[1] = (struct iovec){NULL, 0};
    list->iov[2] = (struct iovec){list->bytes + 4, 5};
    list->iov[3] = (struct iovec){list->bytes + 10, 1};
    return list;
}

static void sums_up(void **state)
{
    struct list list;

    (void)state;
    assert_int_equal(iov_size(make(&list)->iov, 4), 9);
    assert_int_equal(iov_size(list.iov, 0), 0);
}

static void reads_every_part(void **state)
{
    struct list list;

    (void)state;
    make(&list);
    for (size_t offset = 0; offset <= 11; offset++) {
        for (size_t size = 0; size <= 12; size++) {
            size_t there = offset < 9 ? 9 - offset : 0;
            size_t expected = size < there ? size : there;
            char to[13] = "............";

            assert_int_equal(iov_read(list.iov, 4, offset, to, size), expected);
            assert_memory_equal(to, &"abcdefghi"[offset < 9 ? offset : 9], expected);
            for (size_t i = expected; i < 12; i++)
                assert_int_equal(to[i], '.');
        }
    }
}

static void writes_every_part(void **state)
{
    (void)state;
    for (size_t offset = 0; offset <= 11; offset++) {
        for (size_t size = 0; size <= 12; size++) {
            size_t there = offset < 9 ? 9 - offset : 0;
            size_t expected = size < there ? size : there;
            struct list list;
            char result[9], wanted[10] = "abcdefghi";

            memset(wanted + (offset < 9 ? offset : 9), '#', expected);
            make(&list);
            assert_int_equal(iov_write(list.iov, 4, offset, "############", size), expected);
            assert_int_equal(iov_read(list.iov, 4, 0, result, 9), 9);
            assert_memory_equal(result, wanted, 9);
            assert_int_equal(list.bytes[3], '_');
            assert_int_equal(list.bytes[9], '_');
            assert_int_equal(list.bytes[11], '_');
        }
    }
}

static void slices_without_copying(void **state)
{
    struct iovec out[4];
    struct list list;

    (void)state;
    make(&list);
    assert_int_equal(iov_slice(list.iov, 4, 2, 3, out, 4), 2);
    assert_ptr_equal(out[0].iov_base, list.bytes + 2);
    assert_int_equal(out[0].iov_len, 1);
    assert_ptr_equal(out[1].iov_base, list.bytes + 4);
    assert_int_equal(out[1].iov_len, 2);
    assert_int_equal(iov_slice(list.iov, 4, 0, 100, out, 4), 3);
    assert_int_equal(iov_size(out, 3), 9);
    assert_int_equal(iov_slice(list.iov, 4, 3, 1, out, 4), 1);
    assert_ptr_equal(out[0].iov_base, list.bytes + 4);
    assert_int_equal(iov_slice(list.iov, 4, 9, 1, out, 4), 0);
    assert_int_equal(iov_slice(list.iov, 4, 0, 0, out, 4), 0);
    assert_int_equal(iov_slice(list.iov, 4, (size_t)-1, (size_t)-1, out, 4), 0);
}

static void leaves_out_what_does_not_fit(void **state)
{
    struct iovec out[4] = {{0}};
    struct list list;

    (void)state;
    make(&list);
    assert_int_equal(iov_slice(list.iov, 4, 0, 9, out, 2), 2);
    assert_int_equal(iov_size(out, 2), 8);
    assert_null(out[2].iov_base);
    assert_int_equal(iov_slice(list.iov, 4, 0, 9, out, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_up),
        cmocka_unit_test(reads_every_part),
        cmocka_unit_test(writes_every_part),
        cmocka_unit_test(slices_without_copying),
        cmocka_unit_test(leaves_out_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
