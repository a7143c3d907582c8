/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers and writers of JSON share. For config_json*.c only. */
#ifndef HUSK_VMM_CONFIG_JSON_PARTS_H
#define HUSK_VMM_CONFIG_JSON_PARTS_H

#include "vmm/config_parts.h"

#include <jansson.h>

struct reader {
    struct husk_config *config; /* owns what strings are made */
    struct err *err;
    char place[64]; /* where the value being read is; after an error, the one at fault */
};

/* Says that a value is of another type than `right`. */
int config_wrong_type(struct reader *reader, const json_t *value, const char *right);

/* Fields that are one of several words; what is the default is often not written (NULL). */
int config_read_console(struct reader *reader, void *field, const json_t *value);
json_t *config_write_console(const void *field);
int config_read_rings(struct reader *reader, void *field, const json_t *value);
json_t *config_write_rings(const void *field);
int config_read_bus(struct reader *reader, void *field, const json_t *value);
json_t *config_write_bus(const void *field);
int config_read_cache(struct reader *reader, void *field, const json_t *value);
json_t *config_write_cache(const void *field);
int config_read_engine(struct reader *reader, void *field, const json_t *value);
json_t *config_write_engine(const void *field);

#endif
