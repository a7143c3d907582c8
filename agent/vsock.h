/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets to the host. All descriptors are closed on exec. Functions return a descriptor or -errno. */
#ifndef HUSK_AGENT_VSOCK_H
#define HUSK_AGENT_VSOCK_H

#include <stdint.h>

int vsock_connect(uint32_t port);

/* `*port` may be 0: any, which is then told. */
int vsock_listen(uint32_t *port);

/* The next connection that comes from the host; programs of the guest are turned away. */
int vsock_accept(int listener);

#endif
