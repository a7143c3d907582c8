/* SPDX-License-Identifier: Apache-2.0 */
/* Merges default and user parameters; see firmware/command_line.h for the rules. */
#include "firmware/command_line.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* One parameter in a text, without the space around it. */
struct parameter {
    const char *text;
    size_t size;
    size_t key_size; /* what stands before '=' */
};

struct output {
    char *line;
    size_t room;
    size_t used; /* may pass room; then the line does not fit */
};

/* Keys of one group override each other. */
static const char *const groups[][4] = {
    {"quiet", "debug", "loglevel", "ignore_loglevel"},
    {"ro", "rw"},
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes the next parameter off *text; false at its end. Quotes hide spaces, as in Linux. */
static bool next_parameter(const char **text, struct parameter *parameter)
{
    const char *end;
    bool quoted = false;

    while (is_space(**text))
        (*text)++;
    parameter->text = end = *text;
    parameter->key_size = 0;
    for (; *end && (quoted || !is_space(*end)); end++) {
        if (*end == '"')
            quoted = !quoted;
        if (*end == '=' && parameter->key_size == 0)
            parameter->key_size = (size_t)(end - parameter->text);
    }
    parameter->size = (size_t)(end - parameter->text);
    if (parameter->key_size == 0)
        parameter->key_size = parameter->size;
    *text = end;
    return parameter->size > 0;
}

static char fold(char c)
{
    return (char)(c == '-' ? '_' : c);
}

static bool same_key(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size != b_size)
        return false;
    for (size_t i = 0; i < a_size; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

/* The index of the key's group, or -1. */
static int group_of(const struct parameter *parameter)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (size_t j = 0; j < sizeof groups[0] / sizeof groups[0][0] && groups[i][j]; j++)
            if (same_key(parameter->text, parameter->key_size, groups[i][j],
                         strlen(groups[i][j])))
                return (int)i;
    return -1;
}

static bool overrides(const struct parameter *user, const struct parameter *standard)
{
    int group = group_of(standard);

    return same_key(user->text, user->key_size, standard->text, standard->key_size) ||
           (group >= 0 && group == group_of(user));
}

static bool is_overridden(const struct parameter *standard, const char *user_text)
{
    struct parameter user;

    while (next_parameter(&user_text, &user)) {
        if (user.size == 2 && !memcmp(user.text, "--", 2))
            return false; /* the rest is for init */
        if (overrides(&user, standard))
            return true;
    }
    return false;
}

static void put(struct output *output, const char *text, size_t size)
{
    if (size < output->room && output->used < output->room - size)
        memcpy(output->line + output->used, text, size);
    output->used += size;
}

static void put_parameter(struct output *output, const struct parameter *parameter)
{
    if (output->used > 0)
        put(output, " ", 1);
    put(output, parameter->text, parameter->size);
}

int command_line_build(char *line, size_t room, const char *defaults, const char *user,
                       struct err *err)
{
    struct output output = {line, room, 0};
    const char *user_text = user ? user : "";
    const char *rest = defaults ? defaults : "";
    struct parameter parameter;

    while (next_parameter(&rest, &parameter))
        if (!is_overridden(&parameter, user_text))
            put_parameter(&output, &parameter);
    rest = user_text;
    while (next_parameter(&rest, &parameter))
        put_parameter(&output, &parameter);
    if (output.used >= room)
        return err_set(err, -E2BIG,
                       "command line is %zu bytes; there is room for %zu; shorten --append",
                       output.used, room ? room - 1 : 0);
    line[output.used] = '\0';
    return 0;
}

int command_line_check(const struct kernel *kernel, const char *line, uint64_t most,
                       struct err *err)
{
    size_t size = strlen(line);

    if (most > kernel->command_line_max)
        most = kernel->command_line_max;
    if (size > most)
        return err_set(err, -E2BIG,
                       "command line is %zu bytes; this kernel takes at most %llu; "
                       "shorten --append",
                       size, (unsigned long long)most);
    return 0;
}

int command_line_load(const struct guest_memory *memory, struct memory_range area,
                      const struct kernel *kernel, const char *line, struct err *err)
{
    int rc = command_line_check(kernel, line, area.size ? area.size - 1 : 0, err);

    if (rc)
        return rc;
    if (memory_write(memory, area.base, line, strlen(line) + 1))
        return err_set(err, -EFAULT, "command line: no guest memory at 0x%llx",
                       (unsigned long long)area.base.v);
    return 0;
}
