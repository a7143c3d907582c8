/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ioctls want addresses as the generic type of sockets. */
static int parse(struct sockaddr *out, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        return -EINVAL;
    memcpy(out, &address, sizeof address);
    return 0;
}

static int set_address(int fd, struct ifreq *request, unsigned long what, const char *text)
{
    int rc = parse(&request->ifr_addr, text);

    if (rc == 0 && ioctl(fd, what, request) < 0)
        rc = -errno;
    return rc;
}

static int set_up(int fd, struct ifreq *request)
{
    if (ioctl(fd, SIOCGIFFLAGS, request) < 0)
        return -errno;
    request->ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, request) < 0 ? -errno : 0;
}

static int add_default_route(int fd, const char *gateway)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    int rc = parse(&route.rt_gateway, gateway);

    route.rt_dst.sa_family = AF_INET;
    route.rt_genmask.sa_family = AF_INET;
    if (rc == 0 && ioctl(fd, SIOCADDRT, &route) < 0)
        rc = -errno;
    return rc;
}

static int configure(const char *interface, const char *address, const char *gateway)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = 0;

    if (fd < 0)
        return -errno;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (address) {
        rc = set_address(fd, &request, SIOCSIFADDR, address);
        rc = rc ?: set_address(fd, &request, SIOCSIFNETMASK, "255.255.255.0");
    }
    rc = rc ?: set_up(fd, &request);
    if (rc == 0 && gateway)
        rc = add_default_route(fd, gateway);
    close(fd);
    return rc;
}

int network_up_loopback(void)
{
    return configure("lo", NULL, NULL);
}

int network_up(const char *interface, const char *address, const char *gateway)
{
    return configure(interface, address, gateway);
}
