/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks the process down, once all that it needs is open and before it has seen a byte of the
 * guest's. In this order:
 *
 *     files         a mount namespace (by a user namespace without privilege) whose root holds
 *                   /etc/resolv.conf and nothing else; Landlock says the same
 *     user          root becomes nobody
 *     capabilities  none, and none can be gained; not dumpable, no core
 *     limits        descriptors and memory
 *     system calls  what syscalls.c lists
 *
 * The first can be impossible (a container's rules, an old kernel): that is noted, and the rest
 * still stands. The others are not optional.
 */
#ifndef HUSK_DEVICES_NET_USER_CONFINE_H
#define HUSK_DEVICES_NET_USER_CONFINE_H

#include "core/err.h"

/*
 * `note` is called with a line for each part that this host does not allow. A process that is to be
 * signalled for its standard output (F_SETOWN) still is.
 */
int confine(void (*note)(const char *line), unsigned descriptors, struct err *err);

/* From now on a system call that is not listed fails with EPERM. */
int confine_syscalls(struct err *err);

#endif
