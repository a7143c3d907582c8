/* SPDX-License-Identifier: Apache-2.0 */
/* Alone, because the mark is made for programs without a libc and brings the kernel's own headers. */
#include "agent/mark.h"

#include "timing-mark.h"

void mark(void)
{
    mark_userspace();
}
