/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config_keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 32u

static int set_count(uint32_t *field, const char *value, struct err *err)
{
    char *end;
    unsigned long count = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || count > UINT32_MAX)
        return err_set(err, -EINVAL, "\"%.40s\" is no number", value);
    if (count == 0)
        return err_set(err, -ERANGE, "0 is not possible; give 1 or more, or leave it out");
    *field = (uint32_t)count;
    return 0;
}

static int set_rate(uint64_t *field, const char *value, struct err *err)
{
    int rc = config_parse_size(value, field, err);

    return rc == 0 && *field == 0
               ? err_set(err, -ERANGE, "0 would let nothing pass; leave it out for no limit")
               : rc;
}

int config_find_word(const char *name, const char *const *words, unsigned count, unsigned *place,
                     struct err *err)
{
    char list[128] = "";

    for (*place = 0; *place < count; ++*place)
        if (strcmp(name, words[*place]) == 0)
            return 0;
    for (unsigned i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                 i == 0 ? "" : i + 1 < count ? ", " : " or ", words[i]);
    return err_set(err, -EINVAL, "there is no \"%.40s\"; give %s", name, list);
}

static int set_choice(const struct config_key *key, void *field, const char *value,
                      struct err *err)
{
    unsigned place;
    int rc = config_find_word(value, key->words, key->word_count, &place, err);

    if (rc == 0)
        *(unsigned *)field = place; /* an enum that has no negative values */
    return rc;
}

static int set_key(struct husk_config *config, void *target, const struct config_key *key,
                   const char *value, struct err *err)
{
    void *field = (char *)target + key->offset;

    switch (key->type) {
    case CONFIG_KEY_COUNT:
        return set_count(field, value, err);
    case CONFIG_KEY_RATE:
        return set_rate(field, value, err);
    case CONFIG_KEY_STRING:
        *(const char **)field = value;
        return 0;
    case CONFIG_KEY_FLAG:
        *(bool *)field = true;
        return 0;
    case CONFIG_KEY_CHOICE:
        return set_choice(key, field, value, err);
    case CONFIG_KEY_OTHER:
        return key->set(config, target, value, err);
    }
    return 0;
}

static int unknown_key(const char *name, const struct config_key *keys, size_t count,
                       const char *known, struct err *err)
{
    const char *words[KEYS_MAX];
    const char *nearest;

    for (size_t i = 0; i < count; i++)
        words[i] = keys[i].name;
    nearest = config_nearest(name, words, count);
    if (nearest)
        return err_set(err, -EINVAL, "unknown option \"%.40s\"; did you mean \"%s\"?", name,
                       nearest);
    return err_set(err, -EINVAL, "unknown option \"%.40s\"; there are %s", name, known);
}

int config_apply_key(struct husk_config *config, void *target, const struct config_key *keys,
                     size_t count, char *part, const char *known, struct err *err)
{
    const struct config_key *key = keys;
    char *value = strchr(part, '=');
    int rc;

    if (value)
        *value++ = '\0';
    while (key < keys + count && strcmp(key->name, part) != 0)
        key++;
    if (key == keys + count)
        return unknown_key(part, keys, count, known, err);
    if (key->type == CONFIG_KEY_FLAG && value)
        return err_set(err, -EINVAL, "%s: takes no value", part);
    if (key->type != CONFIG_KEY_FLAG && (!value || !*value))
        return err_set(err, -EINVAL, "%s: give a value, as in %s=...", part, part);
    rc = set_key(config, target, key, value, err);
    if (rc)
        err_prefix(err, "%s", part);
    return rc;
}
