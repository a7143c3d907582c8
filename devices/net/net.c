/* SPDX-License-Identifier: Apache-2.0 */
/* What all networks have: two sides a pair, their place on loops, and the link's state. */
#include "devices/net/backend.h"
#include "devices/net/links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- life --- */

static bool usable(const struct net_pair *pair)
{
    return net_link(pair->net) && pair->in_use;
}

/* Watches the descriptor for what is left of `events`, and for room if that is awaited. */
static void watch(struct net_pair *pair, uint32_t events)
{
    if (pair->awaits_room)
        events |= EPOLLOUT;
    else
        events &= ~(uint32_t)EPOLLOUT;
    loop_watch(pair->loop, &pair->source, usable(pair) ? events : 0);
}

static void room(struct net_pair *pair)
{
    const struct net *net = pair->net;

    if (net->backend->flush && !net->backend->flush(pair))
        return;
    pair->awaits_room = false;
    watch(pair, pair->source.events);
    net->front_end->sendable(net->device, pair->index);
}

/* An error or the end of the other side shows with the next frame, in either direction. */
static void ready(struct loop_source *source, uint32_t events)
{
    struct net_pair *pair = (struct net_pair *)((char *)source - offsetof(struct net_pair, source));
    const uint32_t ended = EPOLLERR | EPOLLHUP;

    if (source->events & EPOLLOUT && events & (EPOLLOUT | ended))
        room(pair);
    if (source->events & EPOLLIN && events & (EPOLLIN | ended))
        pair->net->front_end->receivable(pair->net->device, pair->index);
}

void net_init(struct net *net, const struct net_backend *backend, const char *name)
{
    net->backend = backend;
    snprintf(net->name, sizeof net->name, "%s", name);
    net->pairs_in_use = 1;
    net->link = true;
    net->link_event.fd = net->links.fd = -1;
}

void net_add_pair(struct net *net, int fd)
{
    struct net_pair *pair = &net->pairs[net->pair_count];

    *pair = (struct net_pair){
        .net = net,
        .index = net->pair_count,
        .source = {.fd = fd, .ready = ready},
        .vhost = VHOST_CLOSED,
        .in_use = net->pair_count < net->pairs_in_use,
    };
    net->pair_count++;
}

void net_close(struct net *net)
{
    if (!net)
        return;
    net_detach(net);
    for (unsigned i = 0; i < net->pair_count; i++) {
        vhost_close(&net->pairs[i].vhost);
        close(net->pairs[i].source.fd);
    }
    if (net->links.fd >= 0)
        close(net->links.fd);
    net->backend->close(net);
}

int net_open_fd(struct net **net, int fd, struct err *err)
{
    struct ifreq request = {0};
    int type = -1, copy, rc;
    socklen_t size = sizeof type;
    char name[32];

    snprintf(name, sizeof name, "fd %d", fd);
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        rc = err_sys(err, -errno, "cannot be used");
    else if (ioctl(copy, TUNGETIFF, &request) == 0)
        rc = net_adopt_tap(net, copy, err);
    else if (getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
        rc = net_adopt_stream(net, copy, name, err);
    else {
        rc = err_set(err, -EINVAL, "is neither a tap interface's nor a stream socket; give one "
                                   "of these");
        close(copy);
    }
    if (rc)
        err_prefix(err, "%s", name);
    return rc;
}

/* --- vhost --- */

static void look_for_it(struct net *net)
{
    if (!net->backend->exists(net))
        net_lose_link(net, "the interface is gone");
}

static void links_changed(struct loop_source *source, uint32_t events)
{
    (void)events;
    links_drain(source->fd);
    look_for_it((struct net *)((char *)source - offsetof(struct net, links)));
}

/* No frame tells here that the network is gone, so the host is asked to. */
int net_use_vhost(struct net *net, const struct guest_memory *memory, struct err *err)
{
    int rc = links_open(err);

    net->links = (struct loop_source){.fd = rc, .ready = links_changed};
    for (unsigned i = 0; i < net->pair_count && rc >= 0; i++)
        rc = vhost_open(&net->pairs[i].vhost, memory, err);
    rc = rc < 0 ? rc : 0;
    if (rc)
        err_prefix(err, "%s: vhost", net->name);
    return rc;
}

struct vhost *net_vhost(struct net *net, unsigned pair)
{
    struct vhost *vhost = &net->pairs[pair].vhost;

    return vhost->fd < 0 ? NULL : vhost;
}

int net_lend_ring(struct net *net, unsigned index, unsigned ring_index,
                  const struct lent_ring *ring)
{
    struct net_pair *pair = &net->pairs[index];
    int rc = vhost_start_ring(&pair->vhost, ring_index, ring, pair->source.fd);

    if (rc)
        look_for_it(net);
    return rc;
}

/* --- what it is --- */

unsigned net_pairs(const struct net *net)
{
    return net->pair_count;
}

const char *net_name(const struct net *net)
{
    return net->name;
}

unsigned net_mtu(const struct net *net)
{
    return net->mtu;
}

unsigned net_offloads(const struct net *net)
{
    return net->offloads;
}

bool net_link(const struct net *net)
{
    return atomic_load_explicit(&net->link, memory_order_relaxed);
}

const struct net_counters *net_received(const struct net *net, unsigned pair)
{
    return &net->pairs[pair].received;
}

const struct net_counters *net_sent(const struct net *net, unsigned pair)
{
    return &net->pairs[pair].sent;
}

/* --- main loop --- */

static void link_event(struct loop_source *source, uint32_t events)
{
    struct net *net = (struct net *)((char *)source - offsetof(struct net, link_event));

    (void)events;
    net->front_end->link_changed(net->device);
}

static void close_link_event(struct net *net, struct loop *loop)
{
    loop_watch(loop, &net->link_event, 0);
    close(net->link_event.fd);
    net->link_event.fd = -1;
}

int net_attach(struct net *net, const struct net_front_end *front_end, void *device,
               struct loop *loop, const struct log *log, struct err *err)
{
    int rc;

    net->link_event.ready = link_event;
    rc = loop_watch_event(loop, &net->link_event, "a network's link", err);
    if (rc)
        return rc;
    rc = net->links.fd < 0 ? 0 : loop_watch(loop, &net->links, EPOLLIN);
    if (rc) {
        close_link_event(net, loop);
        return err_sys(err, rc, "cannot watch the host's interfaces");
    }
    net->front_end = front_end;
    net->device = device;
    net->loop = loop;
    net->log = log;
    for (unsigned i = 0; i < net->pair_count; i++)
        net_place(net, i, loop);
    return 0;
}

void net_place(struct net *net, unsigned pair, struct loop *loop)
{
    net->pairs[pair].loop = loop;
}

void net_detach(struct net *net)
{
    if (!net->front_end)
        return;
    for (unsigned i = 0; i < net->pair_count; i++)
        loop_watch(net->pairs[i].loop, &net->pairs[i].source, 0);
    if (net->links.fd >= 0)
        loop_watch(net->loop, &net->links, 0);
    close_link_event(net, net->loop);
    net->front_end = NULL;
}

int net_set_offloads(struct net *net, unsigned offloads)
{
    return net->backend->set_offloads ? net->backend->set_offloads(net, offloads) : 0;
}

static void leave(void *argument)
{
    struct net_pair *pair = argument;

    pair->in_use = pair->awaits_room = false;
    watch(pair, 0);
}

static void join(void *argument)
{
    struct net_pair *pair = argument;

    pair->in_use = true;
}

/* A pair is in use only while the host knows it, so that an error never means that it does not. */
int net_set_pairs(struct net *net, unsigned pairs)
{
    int rc = 0;

    if (pairs < 1 || pairs > net->pair_count)
        return -EINVAL;
    while (net->pairs_in_use > pairs) {
        struct net_pair *last = &net->pairs[--net->pairs_in_use];

        loop_call(last->loop, leave, last);
        net->backend->use_pair(last, false);
    }
    while (net->pairs_in_use < pairs && rc == 0) {
        struct net_pair *next = &net->pairs[net->pairs_in_use];

        rc = net->backend->use_pair(next, true);
        if (rc)
            break;
        loop_call(next->loop, join, next);
        net->pairs_in_use++;
    }
    return rc;
}

void net_lose_link(struct net *net, const char *reason)
{
    if (!atomic_exchange(&net->link, false))
        return;
    log_line(net->log, LOG_LEVEL_WARNING, "network %s: %s; the guest's link is down", net->name,
             reason);
    if (net->link_event.fd >= 0)
        eventfd_write(net->link_event.fd, 1);
}

/* --- frames --- */

void net_want_receive(struct net *net, unsigned index, bool wanted)
{
    watch(&net->pairs[index], wanted ? EPOLLIN : 0);
}

void net_await_room(struct net_pair *pair)
{
    pair->awaits_room = true;
    watch(pair, pair->source.events);
}

unsigned net_receive(struct net *net, unsigned index, struct net_slot *slots, unsigned count)
{
    struct net_pair *pair = &net->pairs[index];
    unsigned frames;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        slots[i].size = 0;
    frames = usable(pair) ? net->backend->receive(pair, slots, count) : 0;
    if (pair->awaits_room && !net_link(net))
        room(pair); /* nobody will make any: what is to be sent is dropped from now on */
    for (unsigned i = 0; i < count; i++)
        bytes += slots[i].size ? slots[i].size - NET_HEADER_SIZE : 0;
    counter_add(&pair->received.frames, frames);
    counter_add(&pair->received.bytes, bytes);
    return frames;
}

unsigned net_send(struct net *net, unsigned index, const struct net_frame *frames, unsigned count)
{
    struct net_pair *pair = &net->pairs[index];
    unsigned done = usable(pair) ? net->backend->send(pair, frames, count) : 0;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < done; i++)
        bytes += frames[i].size - NET_HEADER_SIZE;
    counter_add(&pair->sent.frames, done);
    counter_add(&pair->sent.bytes, bytes);
    if (usable(pair))
        return done;
    counter_add(&pair->sent.dropped, count - done);
    return count;
}
