/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of a configuration (JSON, options) share: limits, and memory of its own. */
#ifndef HUSK_VMM_CONFIG_PARTS_H
#define HUSK_VMM_CONFIG_PARTS_H

#include "core/err.h"
#include "vmm/husk.h"

#include <stddef.h>
#include <stdint.h>

/* Each says what would be right; none names the key, which the caller puts in front. */
int config_check_count(int64_t count, unsigned least, unsigned most, struct err *err);
int config_check_memory(uint64_t memory, struct err *err);
int config_check_path(const char *path, struct err *err);
int config_check_serial(const char *serial, struct err *err);
int config_check_rate(const struct husk_rate *rate, struct err *err);

/* "512M" to bytes; the inside of husk_parse_size(). */
int config_parse_size(const char *text, uint64_t *bytes, struct err *err);

/* A copy of text[0..size) that husk_config_release() frees; NULL: no memory. */
char *config_own_string(struct husk_config *config, const char *text, size_t size);

/* The same of any bytes, such as an array of pointers. */
void *config_own(struct husk_config *config, const void *bytes, size_t size);

/* Appends a disk, whose strings must live as long as `config`. Errors: -ENOSPC, -ENOMEM. */
int config_append_disk(struct husk_config *config, const struct husk_disk *disk, struct err *err);

/* Appends a network, as config_append_disk(). */
int config_append_net(struct husk_config *config, const struct husk_net *net, struct err *err);

/* Appends a share, as config_append_disk(). */
int config_append_share(struct husk_config *config, const struct husk_share *share,
                        struct err *err);

/*
 * Takes the part of `option` up to the next single comma, with doubled commas made single, into a
 * string that `config` owns, and moves `option` behind it (NULL: that was the last part).
 */
char *config_take_part(struct husk_config *config, const char **option);

/*
 * Of the `count` words, the one that `typed` is probably meant to be (it differs in at most two
 * letters, inserted, left out or replaced), or NULL.
 */
const char *config_nearest(const char *typed, const char *const *words, size_t count);

#endif
