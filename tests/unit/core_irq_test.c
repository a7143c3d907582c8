/* SPDX-License-Identifier: Apache-2.0 */
#include "core/irq.h"
#include "support/failure.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

static void edges_can_be_taken_once(void **state)
{
    struct irq_line irq;

    (void)state;
    assert_int_equal(irq_open(&irq, 5, NULL), 0);
    assert_int_equal(irq.gsi, 5);
    assert_false(irq_take(&irq));
    irq_raise(&irq);
    irq_raise(&irq);
    assert_true(irq_take(&irq));
    assert_false(irq_take(&irq));
    irq_close(&irq);
    irq_close(&irq);
}

static void raising_never_blocks(void **state)
{
    struct irq_line irq;

    (void)state;
    assert_int_equal(irq_open(&irq, 5, NULL), 0);
    assert_int_equal(eventfd_write(irq.fd, UINT64_MAX - 1), 0);
    irq_raise(&irq);
    assert_true(irq_take(&irq));
    irq_close(&irq);
}

static void says_when_there_are_no_descriptors_left(void **state)
{
    struct rlimit limit, none;
    struct irq_line irq;
    struct err err = {0};

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = (struct rlimit){0, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    assert_failure(irq_open(&irq, 7, &err), -EMFILE, &err, "gsi 7");
    setrlimit(RLIMIT_NOFILE, &limit);
    irq_close(&irq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_can_be_taken_once),
        cmocka_unit_test(raising_never_blocks),
        cmocka_unit_test(says_when_there_are_no_descriptors_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
