/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a configuration: the language of --disk, and what is allowed. */
#include "vmm/config_disk.h"

#include "vmm/config_keys.h"
#include "vmm/config_sizes.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *const config_cache_names[CONFIG_CACHES] = {
    [HUSK_CACHE_WRITEBACK] = "writeback",
    [HUSK_CACHE_NONE] = "none",
    [HUSK_CACHE_UNSAFE] = "unsafe",
};

const char *const config_engine_names[CONFIG_ENGINES] = {
    [HUSK_ENGINE_AUTO] = "auto",
    [HUSK_ENGINE_IO_URING] = "io_uring",
    [HUSK_ENGINE_SYNC] = "sync",
};

int config_check_disk(const struct husk_disk *disk, struct err *err)
{
    int rc;

    if (!disk->path)
        return err_set(err, -EINVAL, "path: is missing; give a path");
    if ((rc = config_check_path(disk->path, err)) < 0)
        err_prefix(err, "path");
    else if (disk->serial && (rc = config_check_serial(disk->serial, err)) < 0)
        err_prefix(err, "serial");
    else if ((unsigned)disk->cache >= CONFIG_CACHES)
        rc = err_set(err, -EINVAL, "cache: %d is none of writeback, none and unsafe",
                     (int)disk->cache);
    else if ((unsigned)disk->engine >= CONFIG_ENGINES)
        rc = err_set(err, -EINVAL, "engine: %d is none of auto, io_uring and sync",
                     (int)disk->engine);
    else if (disk->queues &&
             (rc = config_check_count(disk->queues, 1, HUSK_DISK_QUEUES_MAX, err)) < 0)
        err_prefix(err, "queues");
    else if ((rc = config_check_rate(&disk->rate, err)) < 0)
        err_prefix(err, "rate");
    return rc;
}

unsigned config_disk_queues(const struct husk_disk *disk, const struct husk_config *config)
{
    uint32_t threads = config->iothreads ? config->iothreads : 1;

    if (disk->queues)
        return disk->queues;
    return config->cpus < threads ? config->cpus : threads;
}

/* --- the option --- */

#define KEY(key, field, kind)                                                                    \
    {.name = (key), .offset = offsetof(struct husk_disk, field), .type = CONFIG_KEY_##kind}
#define CHOICE(key, field, names)                                                                 \
    {.name = (key), .offset = offsetof(struct husk_disk, field), .type = CONFIG_KEY_CHOICE,       \
     .words = (names), .word_count = COUNT(names)}

static const struct config_key keys[] = {
    KEY("ro", read_only, FLAG),
    KEY("serial", serial, STRING),
    CHOICE("cache", cache, config_cache_names),
    CHOICE("engine", engine, config_engine_names),
    KEY("queues", queues, COUNT),
    KEY("bps", rate.bytes, RATE),
    KEY("bps_burst", rate.bytes_burst, RATE),
    KEY("iops", rate.operations, RATE),
    KEY("iops_burst", rate.operations_burst, RATE),
};

static const char known[] = "ro, serial, cache, engine, queues, bps, bps_burst, iops and "
                            "iops_burst, and a comma in a path is written twice";

static int add_disk(struct husk_config *config, const char *option, struct err *err)
{
    struct husk_disk disk = {0};
    int rc = 0;

    disk.path = config_take_part(config, &option);
    if (!disk.path)
        return err_set(err, -ENOMEM, "out of memory");
    if ((rc = config_check_path(disk.path, err)) < 0)
        return rc;
    while (option && rc == 0) {
        char *part = config_take_part(config, &option);

        if (!part)
            rc = err_set(err, -ENOMEM, "out of memory");
        else
            rc = config_apply_key(config, &disk, keys, COUNT(keys), part, known, err);
    }
    if (rc == 0)
        rc = config_check_disk(&disk, err);
    return rc ? rc : config_append_disk(config, &disk, err);
}

int husk_config_add_disk(struct husk_config *config, const char *option,
                         struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};
    int rc = config_open(config, &view, &err);

    if (rc == 0) {
        rc = add_disk(&view.config, option, &err);
        rc = config_close(&view, config, rc, &err);
    }
    if (rc == 0)
        return 0;
    err_prefix(&err, "disk \"%.200s\"", option);
    return public_err_pass(public_err, &err);
}
