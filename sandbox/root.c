/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/root.h"

#include "sandbox/fail.h"
#include "sandbox/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct husk_disk *add_disk(struct root *root, const char *path)
{
    struct husk_disk *disk = &root->disks[root->disk_count++];

    *disk = (struct husk_disk){.path = path};
    return disk;
}

static struct husk_share *add_share(struct root *root, const char *path, const char *target)
{
    unsigned index = root->share_count++;

    snprintf(root->tags[index], sizeof root->tags[index], "husk%u", index);
    root->shares[index] = (struct husk_share){.tag = root->tags[index], .path = path};
    root->targets[index] = target;
    return &root->shares[index];
}

/* Live, if the host can; it is read-only in any case, so that the host must see to it. */
static bool share_folder(struct root *root, const char *path)
{
    struct husk_share *share = add_share(root, path, NULL);

    share->read_only = true;
    share->one_file_system = strcmp(path, "/") == 0; /* not /proc, /sys, /dev, ... */
    if (husk_share_check(share, NULL) == 0)
        return true;
    root->share_count = 0;
    return false;
}

static int prepare_lower(struct root *root, const struct husk_sandbox_config *config,
                         const struct husk_log *log, struct husk_err *err)
{
    const char *path = config->root ? config->root : "/";
    struct stat status;
    int rc = 0;

    if (stat(path, &status) < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot use the root \"%s\"", path);
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "the root \"%s\" is neither a folder nor an image", path);
    if (S_ISDIR(status.st_mode) && share_folder(root, path))
        return 0;
    if (S_ISDIR(status.st_mode))
        rc = image_pack(path, log, config->cancel_fd, root->image, err);
    else
        snprintf(root->image, sizeof root->image, "%s", path);
    rc = rc ?: image_type(root->image, &root->image_type, err);
    if (rc == 0)
        add_disk(root, root->image)->read_only = true;
    return rc;
}

static int prepare_binds(struct root *root, const struct husk_sandbox_config *config,
                         struct husk_err *err)
{
    for (uint32_t i = 0; i < config->bind_count; i++) {
        const struct husk_bind *bind = &config->binds[i];
        struct husk_share *share;
        struct husk_err why;
        struct stat status;

        if (root->share_count == HUSK_SHARES_MAX)
            return fail(err, HUSK_ERR_INPUT, -E2BIG, "there are more than %u shared folders; bind one "
                        "that holds several", HUSK_SHARES_MAX - 1);
        if (bind->guest[0] != '/')
            return fail(err, HUSK_ERR_INPUT, -EINVAL, "bind \"%s\": where it is in the sandbox has to "
                        "begin with /", bind->guest);
        if (stat(bind->host, &status) < 0)
            return fail_sys(err, HUSK_ERR_INPUT, -errno, "bind \"%s\"", bind->host);
        if (!S_ISDIR(status.st_mode))
            return fail(err, HUSK_ERR_INPUT, -ENOTDIR, "bind \"%s\": only folders can be shared; give "
                        "the one that it is in", bind->host);
        share = add_share(root, bind->host, bind->guest);
        share->read_only = bind->read_only;
        if (husk_share_check(share, &why))
            return fail(err, why.kind, why.code, "bind \"%s\": %s", bind->host, why.message);
    }
    return 0;
}

static int prepare_upper(struct root *root, const struct husk_sandbox_config *config,
                         struct husk_err *err)
{
    const struct image_patience patience = {config->cancel_fd, config->stage_timeout};

    if (config->layer)
        root->scratch = image_layer(config->layer, config->disk_size, &patience, err);
    else if (config->disk_size > 0)
        root->scratch = image_scratch(config->disk_size, &patience, err);
    else
        return 0;
    if (root->scratch < 0)
        return root->scratch;
    root->scratch_stays = config->layer != NULL;
    snprintf(root->scratch_path, sizeof root->scratch_path, "/proc/self/fd/%d", root->scratch);
    add_disk(root, root->scratch_path);
    return 0;
}

int root_prepare(struct root *root, const struct husk_sandbox_config *config,
                 const struct husk_log *log, struct husk_err *err)
{
    int rc;

    *root = (struct root)ROOT_NONE;
    rc = prepare_lower(root, config, log, err);
    rc = rc ?: prepare_binds(root, config, err);
    rc = rc ?: prepare_upper(root, config, err);
    if (rc)
        root_release(root);
    return rc;
}

void root_release(struct root *root)
{
    if (root->scratch >= 0)
        close(root->scratch);
    *root = (struct root)ROOT_NONE;
}

int root_take_layer(struct root *root)
{
    int layer = root->scratch_stays ? root->scratch : -1;

    if (layer >= 0)
        root->scratch = -1;
    return layer;
}

int root_add_modules(const struct root *root, struct modules *modules, struct husk_err *err)
{
    int rc = modules_add(modules, "overlay", false, err);

    if (root->share_count > 0)
        rc = rc ?: modules_add(modules, "virtiofs", false, err);
    if (root->disk_count > 0)
        rc = rc ?: modules_add(modules, "virtio_blk", false, err);
    if (root->image_type)
        rc = rc ?: modules_add(modules, root->image_type, false, err);
    if (root->scratch >= 0) {
        rc = rc ?: modules_add(modules, "crc32c_generic", true, err);
        rc = rc ?: modules_add(modules, "ext4", false, err);
    }
    return rc;
}

void root_add_devices(const struct root *root, struct husk_config *config)
{
    config->disks = root->disks;
    config->disk_count = root->disk_count;
    config->shares = root->shares;
    config->share_count = root->share_count;
}

static void describe_lower(const struct root *root, struct fields *fields)
{
    char text[64];

    if (root->image_type)
        snprintf(text, sizeof text, "%s /dev/vda", root->image_type);
    else
        snprintf(text, sizeof text, "virtiofs %s", root->shares[0].tag);
    fields_add(fields, "root", text);
}

/* The scratch disk is the last one. */
static void describe_upper(const struct root *root, struct fields *fields)
{
    char text[64];

    snprintf(text, sizeof text, "ext4 /dev/vd%c", 'a' + (int)root->disk_count - 1);
    fields_add(fields, "upper", root->scratch >= 0 ? text : "tmpfs none");
    if (root->scratch >= 0 && !root->scratch_stays) /* it is gone with the machine: no flushes */
        fields_add(fields, "upper_options", "nobarrier");
}

static void describe_binds(const struct root *root, struct fields *fields)
{
    for (unsigned i = 0; i < root->share_count; i++) {
        char text[PATH_MAX];

        if (!root->targets[i])
            continue;
        snprintf(text, sizeof text, "%s %s %s", root->shares[i].read_only ? "ro" : "rw",
                 root->shares[i].tag, root->targets[i]);
        fields_add(fields, "bind", text);
    }
}

void root_describe(const struct root *root, struct fields *fields)
{
    describe_lower(root, fields);
    describe_upper(root, fields);
    describe_binds(root, fields);
}
