/* SPDX-License-Identifier: Apache-2.0 */
/* News of interfaces, in a network namespace of the test's own, whose loopback goes up and down. */
#include "devices/net/links.h"
#include "support/apart.h"
#include "support/failure.h"

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool set_loopback(bool up)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = (short)(up ? IFF_UP : 0)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool set = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    return set;
}

static bool has_news(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static int listen_to_loopback(void *argument)
{
    struct err err;
    int fd;

    (void)argument;
    if (unshare(CLONE_NEWNET) < 0)
        return APART_CANNOT_TRY;
    fd = links_open(&err);
    if (fd < 0)
        return 1;
    if (has_news(fd))
        return 2;
    if (!set_loopback(true) || !has_news(fd))
        return 3;
    links_drain(fd);
    if (has_news(fd))
        return 4;
    for (unsigned i = 0; i < 2000; i++) /* more than the socket keeps */
        if (!set_loopback(i % 2))
            return 5;
    links_drain(fd);
    if (has_news(fd))
        return 6;
    return set_loopback(false) && has_news(fd) ? 0 : 7;
}

static void hears_what_happens_to_interfaces(void **state)
{
    (void)state;
    run_apart(listen_to_loopback, NULL, "CAP_SYS_ADMIN, for a network namespace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hears_what_happens_to_interfaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
