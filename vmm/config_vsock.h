/* SPDX-License-Identifier: Apache-2.0 */
/* What config*.c know of the vsock. */
#ifndef HUSK_VMM_CONFIG_VSOCK_H
#define HUSK_VMM_CONFIG_VSOCK_H

#include "vmm/config_parts.h"

/* Each says what would be right, naming the key. */
int config_check_vsock(const struct husk_vsock *vsock, struct err *err);
int config_check_cid(int64_t cid, struct err *err);

/* The guest's CID: the one that was given, or the first there is. */
uint32_t config_vsock_cid(const struct husk_vsock *vsock);

/* Makes a copy of it, but not of its path, the configuration's. Errors: -ENOMEM. */
int config_take_vsock(struct husk_config *config, const struct husk_vsock *vsock, struct err *err);

#endif
