/* SPDX-License-Identifier: Apache-2.0 */
/* What config*.c know of shares. */
#ifndef HUSK_VMM_CONFIG_SHARE_H
#define HUSK_VMM_CONFIG_SHARE_H

#include "vmm/config_parts.h"

/*
 * Says what would be right, naming the key. `others` are the `count` shares before it, whose tags
 * it must not have.
 */
int config_check_share(const struct husk_share *share, const struct husk_share *others,
                       uint32_t count, struct err *err);

#endif
