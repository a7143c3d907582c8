/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's start, as the first process of an initramfs: from the kernel's bare root to the
 * sandbox's own, in which this process then lives.
 *
 *     /husk/config, /husk/modules     what the host has composed (agent/protocol.h)
 *     /lower                          the root as it was given, read-only
 *     /upper                          what the sandbox writes
 *     /merged                         an overlay of both, which becomes /
 */
#ifndef HUSK_AGENT_BOOT_H
#define HUSK_AGENT_BOOT_H

#include "agent/report.h"

#define LATE_MODULES_MAX 16

/* Modules that commands need not wait for, as open files: their folder is out of reach by then. */
struct late_modules {
    int files[LATE_MODULES_MAX];
    unsigned count;
};

/* On return this process is in the sandbox's root, and `report` is connected. */
void boot(struct report *report, struct late_modules *late);

/* Loads them, in a process that goes on by itself. What fails is in the kernel's log. */
void boot_load_late(struct late_modules *late);

#endif
