/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News of the host's network interfaces, from its kernel (rtnetlink(7)): that some interface has
 * come, gone or changed. Which one it was is for whoever hears of it to look at.
 */
#ifndef HUSK_DEVICES_NET_LINKS_H
#define HUSK_DEVICES_NET_LINKS_H

#include "core/err.h"

/*
 * A descriptor that is readable when there are news, of the network namespace that this thread is
 * in; or -errno, with a message. The caller closes it.
 */
int links_open(struct err *err);

/* Takes all news that are there. */
void links_drain(int fd);

#endif
