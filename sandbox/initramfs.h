/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs of a sandbox: the agent, the modules, and the agent's configuration. */
#ifndef HUSK_SANDBOX_INITRAMFS_H
#define HUSK_SANDBOX_INITRAMFS_H

#include "agent/frame.h"
#include "husk.h"
#include "sandbox/archive.h"
#include "sandbox/modules.h"

/*
 * `config` is what the agent is told (agent/protocol.h); the modules are added to it. archive_close()
 * the archive.
 * Errors: what reading the files gives.
 */
int initramfs_make(struct archive *archive, const char *agent, const struct modules *modules,
                   struct fields *config, struct husk_err *err);

#endif
