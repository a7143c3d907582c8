/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface in a network namespace of the test's own. Frames that the test writes to the
 * interface's socket are received by the network, in as few system calls as this host can do with.
 */
#include "devices/net/net.h"
#include "support/apart.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define TAP "husk-test"
#define SLOTS 16u
#define FRAMES 10u

/* What a frame of the test is: its number behind an Ethernet header of a type that nobody speaks. */
struct numbered {
    uint8_t addresses[12];
    uint16_t type;
    uint32_t number;
    uint8_t rest[100];
};

#define TYPE 0x88b5 /* IEEE 802: for experiments */

/* Slots, each in two pieces, as a guest's buffer and a stage behind it. */
struct slots {
    uint8_t memory[SLOTS][NET_FRAME_ROOM];
    struct iovec iov[SLOTS][2];
    struct net_slot slots[SLOTS];
};

static void lay_out(struct slots *slots)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        slots->iov[i][0] = (struct iovec){slots->memory[i], 40};
        slots->iov[i][1] = (struct iovec){slots->memory[i] + 40, NET_FRAME_ROOM - 40};
        slots->slots[i] = (struct net_slot){.iov = slots->iov[i], .count = 2};
    }
}

/* The kernel's own IPv6 frames would be among ours. */
static void be_silent(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* a kernel without it */
    must(write(fd, "1", 1) == 1, "disable_ipv6");
    close(fd);
}

static void make_tap(void)
{
    struct ifreq request = {.ifr_name = TAP, .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), sock = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0)
        _exit(APART_CANNOT_TRY);
    must(ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETPERSIST, 1) == 0, "TUNSETIFF");
    close(fd);
    request.ifr_flags = IFF_UP;
    must(ioctl(sock, SIOCSIFFLAGS, &request) == 0, "SIOCSIFFLAGS");
    close(sock);
}

/* Without a queue in between, which the kernel may work off later. */
static int open_wire(void)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE),
                                  .sll_ifindex = (int)if_nametoindex(TAP)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), bypass = 1;

    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "wire");
    must(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass) == 0, "bypass");
    return fd;
}

static void put_on_wire(int wire, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        struct numbered frame = {.type = htons(TYPE), .number = i};

        must(send(wire, &frame, sizeof frame, 0) == sizeof frame, "send");
    }
}

/* The frames lie in the first slots, in order. */
static void check_slots(const struct slots *slots, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct numbered *frame = (const void *)(slots->memory[i] + NET_HEADER_SIZE);
        uint32_t size = i < count ? NET_HEADER_SIZE + sizeof *frame : 0;

        must(slots->slots[i].size == size, "size of a frame");
        must(i >= count || frame->number == first + i, "order of frames");
    }
}

/* The taps of Linux 6.4 and later let several be asked for at once. */
static uint64_t syscalls_for(unsigned slots, unsigned frames)
{
    struct utsname host;
    unsigned major = 0, minor = 0;

    must(uname(&host) == 0 && sscanf(host.release, "%u.%u", &major, &minor) == 2, "uname");
    if (slots > 1 && (major > 6 || (major == 6 && minor >= 4)))
        return 1;
    return frames < slots ? frames + 1 : frames;
}

/* Receives with `slots` slots: `expected` frames, of which the first has number `first`. */
static void receive(struct net *net, struct slots *slots, unsigned count, unsigned first,
                    unsigned expected)
{
    uint64_t before = counter_read(&net_received(net, 0)->syscalls);

    lay_out(slots);
    must(net_receive(net, 0, slots->slots, count) == expected, "count of frames");
    check_slots(slots, first, expected);
    must(counter_read(&net_received(net, 0)->syscalls) - before == syscalls_for(count, expected),
         "count of system calls");
}

/* A frame that has no room where the guest's buffer should be is lost, and nothing else is. */
static void lose_one(struct net *net, struct slots *slots, int wire)
{
    void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(hole != MAP_FAILED, "mmap");
    lay_out(slots);
    slots->iov[0][0].iov_base = hole;
    put_on_wire(wire, 0, 1);
    must(net_receive(net, 0, slots->slots, 1) == 0, "frame for a hole");
    must(counter_read(&net_received(net, 0)->dropped) == 1 && net_link(net), "one frame lost");
    put_on_wire(wire, 1, 1);
    receive(net, slots, 1, 1, 1);
    munmap(hole, 4096);
}

/* What goes wrong ends it, with a message. */
static int receive_bursts(void *argument)
{
    struct slots *slots = calloc(1, sizeof *slots);
    struct net *net;
    struct err err;
    int wire;

    (void)argument;
    if (unshare(CLONE_NEWNET) < 0)
        return APART_CANNOT_TRY;
    be_silent();
    make_tap();
    must(net_open_tap(&net, TAP, 1, &err) == 0, "net_open_tap");
    wire = open_wire();
    receive(net, slots, SLOTS, 0, 0);
    put_on_wire(wire, 0, FRAMES);
    receive(net, slots, SLOTS, 0, FRAMES);
    put_on_wire(wire, 10, SLOTS + 1);
    receive(net, slots, SLOTS, 10, SLOTS);
    receive(net, slots, 1, 10 + SLOTS, 1);
    receive(net, slots, 1, 0, 0);
    lose_one(net, slots, wire);
    must(net_link(net), "link");
    close(wire);
    net_close(net);
    free(slots);
    return 0;
}

static void bursts_are_received_in_order_and_at_once(void **state)
{
    (void)state;
    run_apart(receive_bursts, NULL, "CAP_SYS_ADMIN, for a network namespace, and the module tun");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_are_received_in_order_and_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
