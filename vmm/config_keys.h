/* SPDX-License-Identifier: Apache-2.0 */
/* The "key=value" parts of an option such as --disk or --net, by tables. For config*.c only. */
#ifndef HUSK_VMM_CONFIG_KEYS_H
#define HUSK_VMM_CONFIG_KEYS_H

#include "vmm/config_parts.h"

#include <stdbool.h>

struct config_key {
    const char *name;
    size_t offset; /* of the field in what the option describes */
    const char *const *words; /* of a choice */
    int (*set)(struct husk_config *config, void *target, const char *value, struct err *err);
    unsigned word_count;
    enum {
        CONFIG_KEY_COUNT,  /* uint32_t, 1 or more */
        CONFIG_KEY_RATE,   /* uint64_t, 1 or more, with or without a unit */
        CONFIG_KEY_STRING, /* const char *, owned by the configuration */
        CONFIG_KEY_FLAG,   /* bool; it takes no value */
        CONFIG_KEY_CHOICE, /* enum whose values have the names in `words` */
        CONFIG_KEY_OTHER,  /* what `set` does with it */
    } type;
};

/*
 * Applies `part`, which the configuration owns, to `target`. `known` completes the message about
 * an unknown key: "there are ...".
 */
int config_apply_key(struct husk_config *config, void *target, const struct config_key *keys,
                     size_t count, char *part, const char *known, struct err *err);

/* The place of `name` among the words; -EINVAL says which there are. */
int config_find_word(const char *name, const char *const *words, unsigned count, unsigned *place,
                     struct err *err);

#endif
