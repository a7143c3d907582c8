/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock of a configuration: the language of --vsock, and what is allowed. */
#include "vmm/config_vsock.h"

#include "devices/vsock/vsock.h"
#include "vmm/config_keys.h"
#include "vmm/config_sizes.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- checks --- */

int config_check_cid(int64_t cid, struct err *err)
{
    return config_check_count(cid, VSOCK_CID_MIN, VSOCK_CID_MAX, err);
}

int config_check_vsock(const struct husk_vsock *vsock, struct err *err)
{
    int rc;

    if (!vsock->path || !*vsock->path)
        return err_set(err, -EINVAL, "path: is empty; give one");
    if (strlen(vsock->path) > VSOCK_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "path: %zu bytes are too many for a socket; give %u at "
                                           "most", strlen(vsock->path), VSOCK_PATH_MAX);
    rc = vsock->cid ? config_check_cid(vsock->cid, err) : 0;
    if (rc)
        err_prefix(err, "cid");
    return rc;
}

uint32_t config_vsock_cid(const struct husk_vsock *vsock)
{
    return vsock->cid ? vsock->cid : VSOCK_CID_MIN;
}

int config_take_vsock(struct husk_config *config, const struct husk_vsock *vsock, struct err *err)
{
    const struct husk_vsock *own = config_own(config, vsock, sizeof *vsock);

    if (!own)
        return err_set(err, -ENOMEM, "out of memory");
    config->vsock = own;
    return 0;
}

/* --- the option --- */

static int set_cid(struct husk_config *config, void *vsock, const char *value, struct err *err)
{
    char *end;
    unsigned long cid = strtoul(value, &end, 10);
    int rc;

    (void)config;
    if (*value < '0' || *value > '9' || *end || cid > INT64_MAX)
        return err_set(err, -EINVAL, "\"%.40s\" is no number", value);
    rc = config_check_cid((int64_t)cid, err);
    if (rc == 0)
        ((struct husk_vsock *)vsock)->cid = (uint32_t)cid;
    return rc;
}

static int parse(struct husk_config *config, const char *option, struct err *err)
{
    static const struct config_key keys[] = {
        {.name = "cid", .type = CONFIG_KEY_OTHER, .set = set_cid},
    };
    struct husk_vsock vsock = {.path = config_take_part(config, &option)};
    int rc = vsock.path ? 0 : err_set(err, -ENOMEM, "out of memory");

    while (option && rc == 0) {
        char *part = config_take_part(config, &option);

        rc = part ? config_apply_key(config, &vsock, keys, 1, part, "cid", err)
                  : err_set(err, -ENOMEM, "out of memory");
    }
    if (rc == 0)
        rc = config_check_vsock(&vsock, err);
    return rc ?: config_take_vsock(config, &vsock, err);
}

int husk_config_set_vsock(struct husk_config *config, const char *option,
                          struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};
    int rc = config_open(config, &view, &err);

    if (rc == 0) {
        rc = parse(&view.config, option, &err);
        rc = config_close(&view, config, rc, &err);
    }
    if (rc == 0)
        return 0;
    err_prefix(&err, "vsock \"%.200s\"", option);
    return public_err_pass(public_err, &err);
}
