/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config_sizes.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* No struct will be longer; a size above it is that of something else. */
#define SIZE_MAX_PLAUSIBLE 4096u

/* What every caller has. */
#define SIZE_LEAST offsetof(struct husk_config, kernel)

static bool all_zero(const void *from, size_t size)
{
    const unsigned char *byte = from;

    while (size > 0 && *byte == 0)
        byte++, size--;
    return size == 0;
}

/* Reads one struct of the caller's `theirs` bytes to one of our `ours`. */
static int read_struct(const char *what, void *to, size_t ours, const void *from, size_t theirs,
                       struct err *err)
{
    memcpy(to, from, theirs < ours ? theirs : ours);
    if (theirs > ours && !all_zero((const char *)from + ours, theirs - ours))
        return err_set(err, -E2BIG, "%s: the program sets what this libhusk (%s) does not know; "
                       "it needs a newer one", what, husk_version());
    return 0;
}

static int read_config(const struct husk_config *from, struct husk_config *to, struct err *err)
{
    husk_config_init(to);
    if (from->size < SIZE_LEAST || from->size > SIZE_MAX_PLAUSIBLE)
        return err_set(err, -EINVAL, "husk_config: size is %u; call husk_config_init() first",
                       from->size);
    return read_struct("husk_config", to, sizeof *to, from, from->size, err);
}

struct array {
    const char *name;
    const char *element; /* its struct's name */
    uint32_t most;
    uint32_t count;
    size_t theirs; /* bytes of an element */
    size_t ours;
};

static int check_array(const struct array *array, const void *from, struct err *err)
{
    if (array->count > array->most)
        return err_set(err, -ERANGE, "%s: %u are too many; give %u at most", array->name,
                       array->count, array->most);
    if (array->count > 0 && !from)
        return err_set(err, -EINVAL, "%s: the array is missing", array->name);
    if (array->theirs == 0 || array->theirs > SIZE_MAX_PLAUSIBLE)
        return err_set(err, -EINVAL, "%s: the size of an element is %zu; call husk_config_init() "
                       "first", array->name, array->theirs);
    return 0;
}

/* Leaves *from alone if it is as ours, and otherwise makes a copy in `to`, where it points then. */
static int read_array(const struct array *array, const void **from, void *to, struct err *err)
{
    int rc = check_array(array, *from, err);

    if (rc || !*from || array->theirs == array->ours)
        return rc;
    memset(to, 0, array->count * array->ours);
    for (uint32_t i = 0; i < array->count && rc == 0; i++)
        rc = read_struct(array->element, (char *)to + i * array->ours, array->ours,
                         (const char *)*from + i * array->theirs, array->theirs, err);
    *from = to;
    return rc;
}

int config_open(const struct husk_config *from, struct config_view *view, struct err *err)
{
    struct husk_config *config = &view->config;
    int rc = read_config(from, config, err);
    const struct array disks = {"disks", "husk_disk", HUSK_DISKS_MAX, config->disk_count,
                                config->disk_size, sizeof(struct husk_disk)};
    const struct array nets = {"nets", "husk_net", HUSK_NETS_MAX, config->net_count,
                               config->net_size, sizeof(struct husk_net)};
    const struct array vsocks = {"vsock", "husk_vsock", 1, config->vsock != NULL,
                                 config->vsock_size, sizeof(struct husk_vsock)};
    const struct array shares = {"shares", "husk_share", HUSK_SHARES_MAX, config->share_count,
                                 config->share_size, sizeof(struct husk_share)};
    const void *share = config->shares;
    const void *disk = config->disks, *net = config->nets, *vsock = config->vsock;

    rc = rc ?: read_array(&disks, &disk, view->disks, err);
    rc = rc ?: read_array(&nets, &net, view->nets, err);
    rc = rc ?: read_array(&vsocks, &vsock, &view->vsock, err);
    rc = rc ?: read_array(&shares, &share, view->shares, err);
    config->size = sizeof *config;
    config->disks = disk;
    config->nets = net;
    config->vsock = vsock;
    config->shares = share;
    return rc;
}

int config_read_share(const struct husk_share *from, size_t size, struct husk_share *to,
                      struct err *err)
{
    const struct array one = {"share", "husk_share", 1, 1, size, sizeof *to};
    int rc = check_array(&one, from, err);

    *to = (struct husk_share){0};
    return rc ?: read_struct(one.element, to, sizeof *to, from, size, err);
}

/* Whether the caller's struct goes as far as the shares. */
static bool has_shares(const struct husk_config *config)
{
    return config->size >= offsetof(struct husk_config, shares) + sizeof(void *);
}

uint32_t config_share_size(const struct husk_config *config)
{
    return has_shares(config) ? config->share_size : (uint32_t)sizeof(struct husk_share);
}

/* As the caller's array where it was not changed, and as ours where it was. */
static void close_shares(const struct config_view *view, struct husk_config *written,
                         const struct husk_config *to)
{
    if (!has_shares(to)) {
        if (written->share_count == 0)
            written->share_size = 0;
    } else if (written->shares == view->shares) {
        written->shares = to->shares;
    } else if (written->shares != to->shares) {
        written->share_size = sizeof(struct husk_share);
    }
}

int config_close(const struct config_view *view, struct husk_config *to, int rc, struct err *err)
{
    struct husk_config written = view->config;
    size_t common = to->size < sizeof written ? to->size : sizeof written;

    written.size = to->size;
    if (written.disks == view->disks) /* not changed, so still the caller's */
        written.disks = to->disks;
    else if (written.disks != to->disks)
        written.disk_size = sizeof(struct husk_disk);
    if (written.nets == view->nets)
        written.nets = to->nets;
    else if (written.nets != to->nets)
        written.net_size = sizeof(struct husk_net);
    if (written.vsock == &view->vsock)
        written.vsock = to->vsock;
    else if (written.vsock != to->vsock)
        written.vsock_size = sizeof(struct husk_vsock);
    close_shares(view, &written, to);
    memcpy(to, &written, common);
    if (rc == 0 && !all_zero((const char *)&written + common, sizeof written - common))
        return err_set(err, -E2BIG, "this sets what the program, made for an older libhusk, cannot "
                       "hold; leave it out");
    return rc;
}
