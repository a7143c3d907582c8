/* SPDX-License-Identifier: Apache-2.0 */
/* What can be kept from the guest's processor, whatever this architecture has of that. */
#include "arch/arch.h"
#include "support/failure.h"
#include "vmm/config_cpu.h"

#include <errno.h>
#include <stdio.h>

static void nothing_is_withheld_by_default(void **state)
{
    uint32_t withheld = 1;

    (void)state;
    assert_int_equal(config_cpu_withheld(NULL, &withheld, NULL), 0);
    assert_int_equal(withheld, 0);
}

static void each_name_is_a_bit(void **state)
{
    unsigned count;
    const char *const *names = arch_features(&count);
    char all[128] = "";
    uint32_t withheld;

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(config_cpu_withheld(names[i], &withheld, NULL), 0);
        assert_int_equal(withheld, 1u << i);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "," : "", names[i]);
    }
    assert_int_equal(config_cpu_withheld(count ? all : NULL, &withheld, NULL), 0);
    assert_int_equal(withheld, (1u << count) - 1);
}

static void refuses_what_this_architecture_has_not(void **state)
{
    static const char *const wrong[] = {"", "wings", ",", "sve2", "sv", "wings,"};
    uint32_t withheld;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err err = {0};

        assert_failure(config_cpu_withheld(wrong[i], &withheld, &err), -EINVAL, &err,
                       "cpu_without: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_withheld_by_default),
        cmocka_unit_test(each_name_is_a_bit),
        cmocka_unit_test(refuses_what_this_architecture_has_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
