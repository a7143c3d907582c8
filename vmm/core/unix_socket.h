/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to Unix sockets that a configuration names. */
#ifndef HUSK_CORE_UNIX_SOCKET_H
#define HUSK_CORE_UNIX_SOCKET_H

#include "core/err.h"

/*
 * A descriptor, which blocks, of a stream to who listens on the socket `path`. It is never waited for:
 * one whose listener has no room for it is refused. Errors: -ENAMETOOLONG; -EAGAIN no room; what
 * connect(2) gives.
 */
int unix_connect(const char *path, struct err *err);

#endif
