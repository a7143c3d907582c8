/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's counters, as JSON. Reads them from any thread while the machine runs, or after. */
#ifndef HUSK_VMM_STATS_H
#define HUSK_VMM_STATS_H

#include "vmm/machine.h"

/*
 *     {"vcpus": [{"pio": 1, "mmio": 2, ...}],
 *      "devices": [{"device": "blk", "queues": [{"kicks": 3, "interrupts": 4, ...}]}]}
 *
 * The caller frees it. NULL: no memory.
 */
char *stats_json(const struct machine *machine);

#endif
