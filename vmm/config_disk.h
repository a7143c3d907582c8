/* SPDX-License-Identifier: Apache-2.0 */
/* What config*.c know of disks. */
#ifndef HUSK_VMM_CONFIG_DISK_H
#define HUSK_VMM_CONFIG_DISK_H

#include "vmm/config.h"
#include "vmm/config_parts.h"

/* By enum husk_cache and enum husk_engine. */
#define CONFIG_CACHES 3u
#define CONFIG_ENGINES 3u
extern const char *const config_cache_names[CONFIG_CACHES];
extern const char *const config_engine_names[CONFIG_ENGINES];

/* Says what would be right, naming the key. */
int config_check_disk(const struct husk_disk *disk, struct err *err);

/* How many queues the disk has: those asked for, or one for each CPU that has a thread for it. */
unsigned config_disk_queues(const struct husk_disk *disk, const struct husk_config *config);

#endif
