/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces and routes, by netdevice(7). Functions return 0 or -errno. */
#ifndef HUSK_AGENT_NETWORK_H
#define HUSK_AGENT_NETWORK_H

int network_up_loopback(void);

/* `address` in a network of 24 bits; a route to everything by `gateway` (NULL: none). */
int network_up(const char *interface, const char *address, const char *gateway);

#endif
