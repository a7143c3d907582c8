/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/links.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

int links_open(struct err *err)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE), rc;

    if (fd < 0)
        return err_sys(err, -errno, "cannot ask for news of the host's interfaces");
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    rc = err_sys(err, -errno, "cannot hear news of the host's interfaces");
    close(fd);
    return rc;
}

/* That some were lost (ENOBUFS) is news as well. */
void links_drain(int fd)
{
    char news[4096];
    ssize_t size;

    do
        size = recv(fd, news, sizeof news, 0);
    while (size > 0 || (size < 0 && errno == ENOBUFS));
}
