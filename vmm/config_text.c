/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages of a configuration: sizes, parts of options, and guesses at mistyped words. */
#include "vmm/config_parts.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define WORD_MAX 31u

/* --- sizes --- */

/* The shift of a unit letter, 0 for none, or -1. */
static int unit_shift(const char *unit)
{
    static const char letters[] = "KMGT";
    const char *found;

    if (*unit == '\0')
        return 0;
    found = strchr(letters, *unit & ~0x20); /* of either case */
    return found && *found && unit[1] == '\0' ? 10 * (int)(found - letters + 1) : -1;
}

int config_parse_size(const char *text, uint64_t *bytes, struct err *err)
{
    const char *at = text;
    uint64_t number = 0;
    bool overflow = false;
    int shift;

    for (; *at >= '0' && *at <= '9'; at++)
        overflow |= __builtin_mul_overflow(number, 10u, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number);
    shift = unit_shift(at);
    if (at == text || shift < 0)
        return err_set(err, -EINVAL, "\"%s\" is no size; give a whole number with or without "
                       "K, M, G or T, such as 512M", text);
    if (overflow || number > UINT64_MAX >> shift)
        return err_set(err, -ERANGE, "\"%s\" is too large", text);
    *bytes = number << shift;
    return 0;
}

int husk_parse_size(const char *text, uint64_t *bytes, struct husk_err *public_err)
{
    struct err err = {0};

    return config_parse_size(text, bytes, &err) ? public_err_pass(public_err, &err) : 0;
}

/* --- words --- */

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance, one row of his table at a time; WORD_MAX for what is too long. */
static unsigned distance(const char *a, const char *b)
{
    size_t length_a = strlen(a), length_b = strlen(b);
    unsigned row[WORD_MAX + 1];

    if (length_a > WORD_MAX || length_b > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= length_b; j++)
        row[j] = j;
    for (unsigned i = 1; i <= length_a; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= length_b; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = smallest(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[length_b];
}

const char *config_nearest(const char *typed, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    unsigned least = 3;

    for (size_t i = 0; i < count; i++) {
        unsigned steps = distance(typed, words[i]);

        if (steps < least && steps < strlen(words[i])) {
            least = steps;
            nearest = words[i];
        }
    }
    return nearest;
}

/* --- options --- */

char *config_take_part(struct husk_config *config, const char **option)
{
    const char *from = *option, *end = from;
    char *part, *to;

    while (*end && (*end != ',' || end[1] == ','))
        end += *end == ',' ? 2 : 1;
    part = to = config_own_string(config, from, (size_t)(end - from));
    if (!part)
        return NULL;
    while (from < end) {
        from += *from == ',';
        *to++ = *from++;
    }
    *to = '\0';
    *option = *end ? end + 1 : NULL;
    return part;
}
