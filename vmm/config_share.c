/* SPDX-License-Identifier: Apache-2.0 */
/* Shared directories of a configuration: the language of --share, and what is allowed. */
#include "vmm/config_share.h"

#include "devices/virtio/fs.h"
#include "vmm/config_keys.h"
#include "vmm/config_sizes.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- checks --- */

static int check_tag(const struct husk_share *share, const struct husk_share *others,
                     uint32_t count, struct err *err)
{
    size_t length = share->tag ? strlen(share->tag) : 0;

    if (length == 0)
        return err_set(err, -EINVAL, "is empty; give the name that the guest mounts it by");
    if (length > VIRTIO_FS_TAG_MAX)
        return err_set(err, -ENAMETOOLONG, "%zu bytes long; give 1 to %u", length,
                       VIRTIO_FS_TAG_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (others[i].tag && strcmp(others[i].tag, share->tag) == 0)
            return err_set(err, -EEXIST, "another share has \"%s\"; give another one", share->tag);
    return 0;
}

static int check_combination(const struct husk_share *share, struct err *err)
{
    if (share->socket && (share->read_only || share->one_file_system || share->program))
        return err_set(err, -EINVAL, "socket: who serves it decides what is shared and how; leave "
                       "out read_only, one_file_system and program");
    for (size_t i = 0; i < sizeof share->reserved; i++)
        if (share->reserved[i])
            return err_set(err, -EINVAL, "reserved: is not 0; clear the struct first");
    return 0;
}

int config_check_share(const struct husk_share *share, const struct husk_share *others,
                       uint32_t count, struct err *err)
{
    int rc = check_tag(share, others, count, err);

    if (rc) {
        err_prefix(err, "tag");
        return rc;
    }
    if ((rc = config_check_path(share->path ? share->path : "", err)) < 0)
        err_prefix(err, "path");
    else if (share->program && (rc = config_check_path(share->program, err)) < 0)
        err_prefix(err, "program");
    return rc ?: check_combination(share, err);
}

/* --- the option --- */

#define KEY(key, field, kind)                                                                     \
    {.name = (key), .offset = offsetof(struct husk_share, field), .type = CONFIG_KEY_##kind}

static const struct config_key keys[] = {
    KEY("ro", read_only, FLAG),
    KEY("one_file_system", one_file_system, FLAG),
    KEY("socket", socket, FLAG),
    KEY("program", program, STRING),
};

static const char known[] = "ro, one_file_system, socket and program, and a comma in a path is "
                            "written twice";

/* "TAG=PATH", which becomes two strings. */
static int take_place(struct husk_config *config, const char **option, struct husk_share *share,
                      struct err *err)
{
    char *part = config_take_part(config, option);
    char *path = part ? strchr(part, '=') : NULL;

    if (!part)
        return err_set(err, -ENOMEM, "out of memory");
    if (!path)
        return err_set(err, -EINVAL, "has no \"=\"; give TAG=PATH");
    *path = '\0';
    share->tag = part;
    share->path = path + 1;
    return 0;
}

static int add_share(struct husk_config *config, const char *option, struct err *err)
{
    struct husk_share share = {0};
    int rc = take_place(config, &option, &share, err);

    while (option && rc == 0) {
        char *part = config_take_part(config, &option);

        rc = part ? config_apply_key(config, &share, keys, COUNT(keys), part, known, err)
                  : err_set(err, -ENOMEM, "out of memory");
    }
    if (rc == 0)
        rc = config_check_share(&share, config->shares, config->share_count, err);
    return rc ?: config_append_share(config, &share, err);
}

int husk_config_add_share(struct husk_config *config, const char *option,
                          struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};
    int rc = config_open(config, &view, &err);

    if (rc == 0) {
        rc = add_share(&view.config, option, &err);
        rc = config_close(&view, config, rc, &err);
    }
    if (rc == 0)
        return 0;
    err_prefix(&err, "share \"%.200s\"", option);
    return public_err_pass(public_err, &err);
}
