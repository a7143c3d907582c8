/* SPDX-License-Identifier: Apache-2.0 */
/* From the errors of the inside (core/err.h) to those of husk.h. */
#ifndef HUSK_VMM_PUBLIC_ERR_H
#define HUSK_VMM_PUBLIC_ERR_H

#include "core/err.h"
#include "vmm/husk.h"

#include <stdio.h>

/* Copies `err` out (`to` may be NULL); returns its code. */
static inline int public_err_pass(struct husk_err *to, const struct err *err)
{
    _Static_assert((int)HUSK_ERR_SELF == (int)ERR_BLAME_SELF, "the same kinds in the same order");
    if (to) {
        to->code = err->code;
        to->kind = (enum husk_err_kind)err->blame;
        snprintf(to->message, sizeof to->message, "%s", err->message);
    }
    return err->code;
}

#endif
