/* SPDX-License-Identifier: Apache-2.0 */
/* What of the processor a configuration keeps from the guest. For config.c only. */
#ifndef HUSK_VMM_CONFIG_CPU_H
#define HUSK_VMM_CONFIG_CPU_H

#include "core/err.h"

#include <stdint.h>

/*
 * The bits (arch/arch.h, struct arch_options) of the names in `text`, which commas separate; NULL
 * has none. -EINVAL for a name that this architecture does not have; the message names the key.
 */
int config_cpu_withheld(const char *text, uint32_t *withheld, struct err *err);

#endif
