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

static int prepare_lower(struct root *root, const struct husk_sandbox_config *config,
                         const struct husk_log *log, struct husk_err *err)
{
    const char *path = config->root ? config->root : "/";
    struct stat status;
    int rc = 0;

    if (stat(path, &status) < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot use the root \"%s\"", path);
    if (S_ISDIR(status.st_mode))
        rc = image_pack(path, log, config->cancel_fd, root->image, err);
    else
        snprintf(root->image, sizeof root->image, "%s", path);
    rc = rc ?: image_type(root->image, &root->image_type, err);
    if (rc == 0)
        add_disk(root, root->image)->read_only = true;
    return rc;
}

/*
 * What a scratch disk holds is gone with the machine, so nothing of it needs to reach the host's
 * disk; a layer that stays is another matter.
 */
static int prepare_upper(struct root *root, const struct husk_sandbox_config *config,
                         struct husk_err *err)
{
    if (config->layer)
        root->scratch = image_layer(config->layer, config->disk_size, err);
    else if (config->disk_size > 0)
        root->scratch = image_scratch(config->disk_size, err);
    else
        return 0;
    if (root->scratch < 0)
        return root->scratch;
    root->scratch_stays = config->layer != NULL;
    snprintf(root->scratch_path, sizeof root->scratch_path, "/proc/self/fd/%d", root->scratch);
    add_disk(root, root->scratch_path)->cache =
        config->layer ? HUSK_CACHE_WRITEBACK : HUSK_CACHE_UNSAFE;
    return 0;
}

int root_prepare(struct root *root, const struct husk_sandbox_config *config,
                 const struct husk_log *log, struct husk_err *err)
{
    int rc;

    *root = (struct root)ROOT_NONE;
    rc = prepare_lower(root, config, log, err);
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
}

void root_describe(const struct root *root, struct fields *fields)
{
    char text[64];

    snprintf(text, sizeof text, "%s /dev/vda", root->image_type);
    fields_add(fields, "root", text);
    snprintf(text, sizeof text, "ext4 /dev/vd%c", 'a' + (int)root->disk_count - 1);
    fields_add(fields, "upper", root->scratch >= 0 ? text : "tmpfs none");
}
