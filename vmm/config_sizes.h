/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs and libraries of different age: a caller's struct husk_config, husk_disk and so on are
 * as long as they were when he was compiled. Inside there is one length, this library's.
 *
 *     the caller knows less    what he lacks has its default
 *     the caller knows more    what is beyond must be zero, and is otherwise refused by name
 */
#ifndef HUSK_VMM_CONFIG_SIZES_H
#define HUSK_VMM_CONFIG_SIZES_H

#include "core/err.h"
#include "vmm/husk.h"

/* A configuration at this library's sizes. The arrays are used if the caller's are otherwise. */
struct config_view {
    struct husk_config config;
    struct husk_disk disks[HUSK_DISKS_MAX];
    struct husk_net nets[HUSK_NETS_MAX];
    struct husk_vsock vsock;
    struct husk_share shares[HUSK_SHARES_MAX];
};

/* The caller's share_size, or ours if his struct ends before it. */
uint32_t config_share_size(const struct husk_config *config);

/*
 * Reads `from`, of which the view borrows everything. The view must stay where it is. Errors:
 * -EINVAL not initialised, -E2BIG made for a newer library, -ERANGE too many elements.
 */
int config_open(const struct husk_config *from, struct config_view *view, struct err *err);

/* One share of the caller's `size` bytes. Errors: as config_open(). */
int config_read_share(const struct husk_share *from, size_t size, struct husk_share *to,
                      struct err *err);

/*
 * Gives a view back to the caller's `to`, of which it was opened, after a change that ended with `rc`,
 * which is returned. Or, if that is 0, -E2BIG: something was set that the caller has no room for.
 */
int config_close(const struct config_view *view, struct husk_config *to, int rc, struct err *err);

#endif
