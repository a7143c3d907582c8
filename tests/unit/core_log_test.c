/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"
#include "support/failure.h"

struct lines {
    unsigned count;
    enum log_level level;
    char last[1024];
};

static void keep(void *context, enum log_level level, const char *line)
{
    struct lines *lines = context;

    lines->count++;
    lines->level = level;
    strncpy(lines->last, line, sizeof lines->last - 1);
}

static void passes_formatted_lines_to_the_sink(void **state)
{
    struct lines lines = {0};
    const struct log log = {keep, &lines, LOG_LEVEL_WARNING};

    (void)state;
    log_line(&log, LOG_LEVEL_WARNING, "disk %d", 3);
    assert_int_equal(lines.count, 1);
    assert_int_equal(lines.level, LOG_LEVEL_WARNING);
    assert_string_equal(lines.last, "disk 3");
    log_line(&log, LOG_LEVEL_ERROR, "worse");
    assert_int_equal(lines.count, 2);
}

static void drops_what_is_above_its_level(void **state)
{
    struct lines lines = {0};
    const struct log log = {keep, &lines, LOG_LEVEL_WARNING};

    (void)state;
    log_line(&log, LOG_LEVEL_INFO, "chatter");
    log_line(&log, LOG_LEVEL_DEBUG, "chatter");
    assert_int_equal(lines.count, 0);
}

static void cuts_long_lines(void **state)
{
    struct lines lines = {0};
    const struct log log = {keep, &lines, LOG_LEVEL_DEBUG};

    (void)state;
    log_line(&log, LOG_LEVEL_INFO, "%1000d", 1);
    assert_int_equal(strlen(lines.last), 511);
}

static void a_line_is_one(void **state)
{
    struct lines lines = {0};
    const struct log log = {keep, &lines, LOG_LEVEL_DEBUG};

    (void)state;
    log_line(&log, LOG_LEVEL_INFO, "%s", "a\nb\033[2J");
    assert_string_equal(lines.last, "a?b?[2J");
}

static void needs_no_sink(void **state)
{
    const struct log log = {.level = LOG_LEVEL_DEBUG};

    (void)state;
    log_line(NULL, LOG_LEVEL_ERROR, "lost");
    log_line(&log, LOG_LEVEL_ERROR, "lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_formatted_lines_to_the_sink),
        cmocka_unit_test(drops_what_is_above_its_level),
        cmocka_unit_test(cuts_long_lines),
        cmocka_unit_test(a_line_is_one),
        cmocka_unit_test(needs_no_sink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
