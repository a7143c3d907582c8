/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fake_peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VERSION 1u
#define REPLY 4u
#define NEED_REPLY 8u
#define PROTOCOL_FEATURES (UINT64_C(1) << 30)
#define REPLY_ACK (UINT64_C(1) << 3)

struct message {
    uint32_t request, flags, size;
    union {
        uint64_t number;
        struct {
            uint32_t index, number;
        } state;
        struct {
            uint32_t index, flags;
            uint64_t descriptors, used, avail, log;
        } address;
        struct {
            uint32_t count, padding;
            struct {
                uint64_t guest_address, size, user_address, offset;
            } regions[FAKE_PEER_REGIONS];
        } memory;
    } __attribute__((packed)) payload;
    int fds[FAKE_PEER_REGIONS]; /* not sent */
    unsigned fd_count;
} __attribute__((packed));

#define HEADER_SIZE 12u

static void must(struct fake_peer *peer, bool holds, const char *rule)
{
    if (!holds && !peer->broken_rule[0])
        snprintf(peer->broken_rule, sizeof peer->broken_rule, "%s", rule);
}

static void take_descriptors(struct message *message, struct msghdr *msg)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

    if (!cmsg)
        return;
    message->fd_count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (unsigned i = 0; i < message->fd_count; i++)
        memcpy(&message->fds[i], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
}

/* False: the other side has gone. */
static bool receive(struct fake_peer *peer, struct message *message)
{
    char control[CMSG_SPACE(FAKE_PEER_REGIONS * sizeof(int))];
    struct iovec iov = {message, HEADER_SIZE};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = sizeof control};

    memset(message, 0, sizeof *message);
    if (recvmsg(peer->fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != HEADER_SIZE)
        return false;
    take_descriptors(message, &msg);
    if (message->size > sizeof message->payload)
        abort();
    return message->size == 0 ||
           recv(peer->fd, &message->payload, message->size, MSG_WAITALL) == (ssize_t)message->size;
}

static void answer(struct fake_peer *peer, struct message *message, uint32_t size)
{
    message->flags = VERSION | REPLY;
    message->size = size;
    poll(NULL, 0, (int)peer->delay_ms);
    send(peer->fd, message, HEADER_SIZE + size, MSG_NOSIGNAL);
}

/* --- requests --- */

static void set_memory(struct fake_peer *peer, const struct message *message)
{
    must(peer, message->fd_count == message->payload.memory.count, "a descriptor a region");
    for (unsigned i = 0; i < peer->region_count; i++)
        close(peer->regions[i].fd);
    peer->region_count = message->payload.memory.count;
    for (unsigned i = 0; i < peer->region_count; i++)
        peer->regions[i] = (struct fake_region){
            message->payload.memory.regions[i].guest_address,
            message->payload.memory.regions[i].size,
            message->payload.memory.regions[i].user_address,
            message->payload.memory.regions[i].offset,
            message->fds[i],
        };
}

static void set_event(struct fake_peer *peer, int *event, const struct message *message)
{
    must(peer, message->fd_count == 1, "one descriptor");
    if (*event >= 0)
        close(*event);
    *event = message->fds[0];
}

static struct fake_peer_ring *ring_of(struct fake_peer *peer, uint32_t index)
{
    must(peer, index < FAKE_PEER_RINGS, "there is no such ring");
    return &peer->rings[index % FAKE_PEER_RINGS];
}

static void stop(struct fake_peer_ring *ring)
{
    int *const events[] = {&ring->kick, &ring->call, &ring->fault};

    for (unsigned i = 0; i < 3; i++) {
        if (*events[i] >= 0)
            close(*events[i]);
        *events[i] = -1;
    }
    ring->enabled = false;
}

static void set_ring(struct fake_peer *peer, const struct message *message)
{
    struct fake_peer_ring *ring = ring_of(peer, message->payload.state.index);

    must(peer, peer->region_count > 0 && peer->accepted, "features and memory before rings");
    must(peer, ring->kick < 0 || message->request == FAKE_SET_VRING_ENABLE, "the ring runs");
    switch (message->request) {
    case FAKE_SET_VRING_NUM:
        ring->size = message->payload.state.number;
        break;
    case FAKE_SET_VRING_BASE:
        ring->position = message->payload.state.number;
        break;
    case FAKE_SET_VRING_ADDR:
        ring->descriptors = message->payload.address.descriptors;
        ring->used = message->payload.address.used;
        ring->avail = message->payload.address.avail;
        break;
    case FAKE_SET_VRING_KICK:
        must(peer, ring->size && ring->avail, "all of a ring before its kick");
        set_event(peer, &ring->kick, message);
        break;
    case FAKE_SET_VRING_CALL:
        set_event(peer, &ring->call, message);
        break;
    case FAKE_SET_VRING_ERR:
        set_event(peer, &ring->fault, message);
        break;
    case FAKE_SET_VRING_ENABLE:
        must(peer, ring->kick >= 0, "a ring starts before it is enabled");
        ring->enabled = message->payload.state.number;
        break;
    default:
        must(peer, false, "an unknown request");
    }
}

/* The size of the answer that the request has of its own, or 0. */
static uint32_t serve(struct fake_peer *peer, struct message *message)
{
    must(peer, peer->owned || message->request == FAKE_SET_OWNER, "an owner first");
    switch (message->request) {
    case FAKE_SET_OWNER:
        peer->owned = true;
        return 0;
    case FAKE_GET_FEATURES:
        message->payload.number = peer->features;
        return 8;
    case FAKE_SET_FEATURES:
        must(peer, !(message->payload.number & ~peer->features), "features as offered");
        peer->accepted = message->payload.number;
        return 0;
    case FAKE_GET_PROTOCOL_FEATURES:
        must(peer, peer->features & PROTOCOL_FEATURES, "protocol features if there are any");
        message->payload.number = peer->protocol;
        return 8;
    case FAKE_SET_PROTOCOL_FEATURES:
        must(peer, !(message->payload.number & ~peer->protocol), "protocol features as offered");
        return 0;
    case FAKE_SET_MEM_TABLE:
        set_memory(peer, message);
        return 0;
    case FAKE_GET_VRING_BASE:
        stop(ring_of(peer, message->payload.state.index));
        message->payload.state.number = peer->rings[message->payload.state.index].position;
        return 8;
    default:
        set_ring(peer, message);
        return 0;
    }
}

/* --- faults --- */

static void fail(struct fake_peer *peer, struct message *message)
{
    message->flags = VERSION | REPLY;
    message->size = 8;
    switch (peer->fault) {
    case FAKE_END:
        shutdown(peer->fd, SHUT_RDWR);
        return;
    case FAKE_HALF_AN_ANSWER:
        send(peer->fd, message, HEADER_SIZE + 3, MSG_NOSIGNAL);
        shutdown(peer->fd, SHUT_RDWR);
        return;
    case FAKE_REFUSAL:
        message->payload.number = 1;
        break;
    case FAKE_OTHER_REQUEST:
        message->request++;
        break;
    case FAKE_OTHER_SIZE:
        message->size = 4;
        break;
    case FAKE_HUGE_SIZE:
        message->size = UINT32_MAX;
        break;
    case FAKE_OTHER_VERSION:
        message->flags = 2 | REPLY;
        break;
    case FAKE_NO_REPLY_FLAG:
        message->flags = VERSION;
        break;
    case FAKE_OTHER_RING:
        message->payload.state.index++;
        break;
    default: /* silence */
        return;
    }
    send(peer->fd, message, HEADER_SIZE + 8, MSG_NOSIGNAL);
}

static void *serve_all(void *argument)
{
    struct fake_peer *peer = argument;
    struct message message;

    while (receive(peer, &message)) {
        bool needs_reply = message.flags & NEED_REPLY;
        uint32_t size;

        pthread_mutex_lock(&peer->lock);
        must(peer, !needs_reply || peer->acknowledges, "no reply is needed that was not agreed on");
        if (message.request == peer->fault_at && peer->fault != FAKE_NOTHING_WRONG) {
            fail(peer, &message);
            peer->fault_at = 0;
            for (unsigned i = 0; i < message.fd_count; i++)
                close(message.fds[i]);
        } else {
            size = serve(peer, &message);
            if (size == 0 && needs_reply) {
                message.payload.number = 0;
                size = 8;
            }
            if (message.request == FAKE_SET_PROTOCOL_FEATURES)
                peer->acknowledges = message.payload.number & REPLY_ACK;
            if (size > 0)
                answer(peer, &message, size);
        }
        pthread_mutex_unlock(&peer->lock);
    }
    return NULL;
}

/* --- for tests --- */

void fake_peer_start(struct fake_peer *peer, int fd, uint64_t features, uint64_t protocol)
{
    *peer = (struct fake_peer){.fd = fd, .features = features, .protocol = protocol};
    for (unsigned i = 0; i < FAKE_PEER_RINGS; i++)
        peer->rings[i] = (struct fake_peer_ring){.kick = -1, .call = -1, .fault = -1};
    pthread_mutex_init(&peer->lock, NULL);
    if (pthread_create(&peer->thread, NULL, serve_all, peer))
        abort();
}

void fake_peer_stop(struct fake_peer *peer)
{
    pthread_join(peer->thread, NULL);
    for (unsigned i = 0; i < FAKE_PEER_RINGS; i++)
        stop(&peer->rings[i]);
    for (unsigned i = 0; i < peer->region_count; i++)
        close(peer->regions[i].fd);
    close(peer->fd);
    pthread_mutex_destroy(&peer->lock);
}

void fake_peer_fail(struct fake_peer *peer, uint32_t request, enum fake_fault fault)
{
    pthread_mutex_lock(&peer->lock);
    peer->fault_at = request;
    peer->fault = fault;
    pthread_mutex_unlock(&peer->lock);
}

struct fake_peer_ring fake_peer_ring(struct fake_peer *peer, unsigned index)
{
    struct fake_peer_ring ring;

    pthread_mutex_lock(&peer->lock);
    ring = peer->rings[index];
    pthread_mutex_unlock(&peer->lock);
    return ring;
}
