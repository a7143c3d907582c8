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

/* On return this process is in the sandbox's root, and `report` is connected. */
void boot(struct report *report);

#endif
