/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fake_net.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_offloads(struct net *net, unsigned offloads)
{
    ((struct fake_net *)net)->offloads = offloads;
    return 0;
}

static int use_pair(struct net_pair *pair, bool use)
{
    struct fake_net *fake = (struct fake_net *)pair->net;

    fake->pairs_used &= ~(1u << pair->index);
    fake->pairs_used |= (unsigned)use << pair->index;
    return 0;
}

/* As a tap does: each slot is tried. */
static unsigned receive(struct net_pair *pair, struct net_slot *slots, unsigned count)
{
    struct fake_net *fake = (struct fake_net *)pair->net;
    unsigned frames = 0;

    for (unsigned i = 0; i < count; i++) {
        ssize_t size = -1;

        if (fake->gap > 0)
            fake->gap--;
        else
            size = readv(pair->source.fd, slots[i].iov, (int)slots[i].count);
        if (size > (ssize_t)NET_HEADER_SIZE) {
            slots[i].size = (uint32_t)size;
            frames++;
        }
        if (size == 0)
            net_lose_link(pair->net, "the test has ended it");
    }
    return frames;
}

static unsigned send_frames(struct net_pair *pair, const struct net_frame *frames, unsigned count)
{
    struct fake_net *fake = (struct fake_net *)pair->net;
    unsigned done = 0;

    while (done < count && writev(pair->source.fd, frames[done].iov, (int)frames[done].count) >= 0)
        done++;
    fake->sends += done > 0;
    if (done < count)
        net_await_room(pair);
    return done;
}

static bool exists(const struct net *net)
{
    return !((const struct fake_net *)net)->gone;
}

/* The test's own memory. */
static void leave_it(struct net *net)
{
    (void)net;
}

static const struct net_backend backend = {
    .set_offloads = set_offloads,
    .use_pair = use_pair,
    .exists = exists,
    .receive = receive,
    .send = send_frames,
    .close = leave_it,
};

void fake_net_open(struct fake_net *fake, unsigned pairs, unsigned offloads)
{
    *fake = (struct fake_net){.pairs_used = 1};
    net_init(&fake->net, &backend, "fake");
    fake->net.mtu = FAKE_NET_MTU;
    fake->net.offloads = offloads;
    for (unsigned i = 0; i < pairs; i++) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
            abort();
        net_add_pair(&fake->net, ends[0]);
        fake->host[i] = ends[1];
    }
}

void fake_net_leave(struct fake_net *fake)
{
    for (unsigned i = 0; i < fake->net.pair_count; i++)
        if (fake->host[i] >= 0)
            close(fake->host[i]);
}
