/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/initramfs.h"

#include "agent/protocol.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *leaf(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int add_modules(struct archive *archive, const struct modules *modules,
                       struct fields *config, struct husk_err *err)
{
    int rc = archive_add_folder(archive, AGENT_MODULES_PATH, err);

    for (unsigned i = 0; i < modules->count && rc == 0; i++) {
        char path[2 * PATH_MAX], name[PATH_MAX];

        snprintf(path, sizeof path, "%s/%s", modules->folder, modules->files[i]);
        snprintf(name, sizeof name, AGENT_MODULES_PATH "/%.255s", leaf(modules->files[i]));
        fields_add(config, i < modules->early ? "module" : "late_module", leaf(modules->files[i]));
        rc = archive_add_file(archive, name, 0600, path, err);
    }
    return rc;
}

static int add_all(struct archive *archive, const char *agent, const struct modules *modules,
                   struct fields *config, struct husk_err *err)
{
    int rc = archive_add_file(archive, AGENT_PATH, 0700, agent, err);

    rc = rc ?: archive_add_folder(archive, "husk", err);
    rc = rc ?: add_modules(archive, modules, config, err);
    if (rc == 0 && config->failed)
        rc = fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    rc = rc ?: archive_add_bytes(archive, AGENT_CONFIG_PATH, 0600, config->bytes, config->size, err);
    return rc ?: archive_finish(archive, err);
}

int initramfs_make(struct archive *archive, const char *agent, const struct modules *modules,
                   struct fields *config, struct husk_err *err)
{
    int rc = archive_open(archive, err);

    if (rc)
        return rc;
    rc = add_all(archive, agent, modules, config, err);
    if (rc)
        archive_close(archive);
    return rc;
}
