/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to a sandbox's guest, by the Unix socket that its machine's vsock listens on. The guest
 * is hostile: whatever is waited for has a deadline.
 */
#ifndef HUSK_SANDBOX_LINK_H
#define HUSK_SANDBOX_LINK_H

#include "agent/frame.h"
#include "husk.h"

#include <stdint.h>

#define LINK_TIMEOUT_MS 20000

/*
 * Connects `count` sockets (at most 4) to a port of the guest, all at once; they block, with a
 * deadline for each call. Errors: -ESHUTDOWN nobody listens; -ETIMEDOUT.
 */
int link_connect(const char *path, uint32_t port, int *sockets, unsigned count,
                 struct husk_err *err);

/*
 * The guest's next frame, within the socket's deadline in all, however it dribbles. 1, or what
 * frame_reader_read() gives; 0: the time is over.
 */
int link_read_frame(int socket, struct frame_reader *reader);

/* Takes the deadline away, from a connection on which there is no hurry. */
void link_wait_for_ever(int socket);

/* Listens where the guest reaches `port` of the host; a descriptor, or -errno. */
int link_listen(const char *path, uint32_t port, struct husk_err *err);

#endif
