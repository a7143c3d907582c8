/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine is to be, checked once and copied whole: what the rest of the VMM works from.
 * The public struct husk_config (husk.h) is read by config*.c only.
 */
#ifndef HUSK_VMM_CONFIG_H
#define HUSK_VMM_CONFIG_H

#include "core/err.h"
#include "vmm/husk.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_MEMORY_MIN (32ull << 20)
#define CONFIG_MEMORY_MAX (1ull << 40)
#define CONFIG_MEMORY_STEP 4096ull
#define CONFIG_SERIAL_MAX 20u /* bytes; VIRTIO_BLK_T_GET_ID in virtio 1.2, 5.2.6 */

struct machine_disk {
    const char *path;
    const char *serial; /* or NULL */
    bool read_only;
};

/* All strings are owned by it; optional ones are NULL when not given. */
struct machine_config {
    const char *kernel;
    const char *initrd;
    const char *append;
    const char *command_line;
    uint32_t cpus;
    uint64_t memory; /* bytes, a multiple of CONFIG_MEMORY_STEP */
    struct machine_disk disks[HUSK_DISKS_MAX];
    uint32_t disk_count;
    enum husk_console console;
    int console_in_fd;
    int console_out_fd;
};

/*
 * Checks `public_config`, also against this host, and copies it to *config, to be given to
 * machine_config_free(). On error *config is empty. Errors: -EINVAL, -ERANGE (the message names
 * the key), -ENOMEM.
 */
int config_validate(const struct husk_config *public_config, struct machine_config *config,
                    struct err *err);

/* A second copy, which lives apart from the first. Errors: -ENOMEM, with *to empty. */
int machine_config_copy(const struct machine_config *from, struct machine_config *to,
                        struct err *err);

/* Harmless on an empty (zeroed) or freed one. */
void machine_config_free(struct machine_config *config);

#endif
