/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vhost_user/vhost_user.h"

#include "core/timing.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
};

#define FLAGS_VERSION 0x1u
#define FLAGS_VERSION_MASK 0x3u
#define FLAGS_REPLY 0x4u
#define FLAGS_NEED_REPLY 0x8u

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define F_PROTOCOL_FEATURES 30 /* a bit that no virtio device has */
#define PROTOCOL_F_REPLY_ACK 3

#define RING_FEATURES                                                                             \
    (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |                         \
     FEATURE(VIRTIO_RING_F_EVENT_IDX))

struct header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of what follows */
};

struct region {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address; /* rings are told by it */
    uint64_t offset;       /* in its descriptor */
};

struct memory_table {
    uint32_t count;
    uint32_t padding;
    struct region regions[MEMORY_REGIONS_MAX];
};

/* What is sent: a payload, of which descriptors are a part. */
struct message {
    enum request request;
    const void *payload;
    uint32_t size;
    const int *descriptors;
    unsigned descriptor_count;
};

/* --- bytes --- */

/* The peer is of no use any more; the first reason counts. */
static int lose(struct vhost_user *peer, int rc, const char *fault)
{
    if (!peer->fault) {
        peer->fault = fault;
        shutdown(peer->fd, SHUT_RDWR);
    }
    return rc;
}

/* Waits for the socket to be `ready`, until `deadline`. */
static int await(struct vhost_user *peer, short ready, uint64_t deadline)
{
    struct pollfd pollfd = {.fd = peer->fd, .events = ready};

    for (;;) {
        uint64_t now = timing_now();
        int left = now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;
        int rc = poll(&pollfd, 1, left);

        if (rc > 0)
            return 0;
        if (rc == 0)
            return lose(peer, -ETIMEDOUT, "it does not answer");
        if (errno != EINTR)
            return lose(peer, -errno, "its socket fails");
    }
}

/* Descriptors go along with the first byte. */
static ssize_t send_some(const struct vhost_user *peer, const struct iovec *iov, unsigned count,
                         const struct message *message)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MEMORY_REGIONS_MAX * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
    size_t size = message->descriptor_count * sizeof(int);

    if (size > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(size);
        control.header = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), message->descriptors, size);
    }
    return sendmsg(peer->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_message(struct vhost_user *peer, const struct message *message, uint32_t flags,
                        uint64_t deadline)
{
    const struct header header = {message->request, flags, message->size};
    struct message rest = *message;
    char bytes[sizeof header + sizeof(struct memory_table)];
    size_t size = sizeof header + message->size, done = 0;

    memcpy(bytes, &header, sizeof header);
    if (message->size > 0)
        memcpy(bytes + sizeof header, message->payload, message->size);
    while (done < size) {
        const struct iovec iov = {bytes + done, size - done};
        ssize_t sent = send_some(peer, &iov, 1, &rest);
        int rc = sent < 0 && errno == EAGAIN ? await(peer, POLLOUT, deadline) : 0;

        if (rc)
            return rc;
        if (sent > 0) {
            done += (size_t)sent;
            rest.descriptor_count = 0;
        } else if (errno != EAGAIN && errno != EINTR) {
            return lose(peer, -ECONNRESET, "it ended");
        }
    }
    return 0;
}

/* Descriptors that come along are not taken, and so closed by the kernel. */
static int receive(struct vhost_user *peer, void *to, size_t size, uint64_t deadline)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = recv(peer->fd, (char *)to + done, size - done, MSG_DONTWAIT);
        int rc = got < 0 && errno == EAGAIN ? await(peer, POLLIN, deadline) : 0;

        if (rc)
            return rc;
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return lose(peer, -ECONNRESET, "it ended");
    }
    return 0;
}

/* --- requests --- */

/* The one answer that is allowed: to this request, and of this size. */
static int receive_answer(struct vhost_user *peer, enum request request, void *payload,
                          uint32_t size, uint64_t deadline)
{
    struct header header;
    int rc = receive(peer, &header, sizeof header, deadline);

    if (rc)
        return rc;
    if (header.request != (uint32_t)request || header.size != size ||
        (header.flags & (FLAGS_VERSION_MASK | FLAGS_REPLY)) != (FLAGS_VERSION | FLAGS_REPLY))
        return lose(peer, -EPROTO, "it breaks the protocol");
    return receive(peer, payload, size, deadline);
}

/* One deadline for all that a function of ours asks: a peer could come just before that of each. */
static void begin_asking(struct vhost_user *peer)
{
    peer->deadline = timing_now() + (uint64_t)peer->patience * 1000000;
}

/* What has an answer of its own: its payload, in `answer`. */
static int ask(struct vhost_user *peer, const struct message *message, void *answer, uint32_t size)
{
    int rc = peer->fault ? -ECONNRESET : send_message(peer, message, FLAGS_VERSION, peer->deadline);

    return rc ?: receive_answer(peer, message->request, answer, size, peer->deadline);
}

/* What has none; a peer that acknowledges says whether it has done it. */
static int tell(struct vhost_user *peer, const struct message *message)
{
    uint32_t flags = FLAGS_VERSION | (peer->acknowledges ? FLAGS_NEED_REPLY : 0);
    uint64_t failed = 0;
    int rc = peer->fault ? -ECONNRESET : send_message(peer, message, flags, peer->deadline);

    if (rc == 0 && peer->acknowledges)
        rc = receive_answer(peer, message->request, &failed, sizeof failed, peer->deadline);
    return rc == 0 && failed ? lose(peer, -EPROTO, "it refuses what it was asked for") : rc;
}

static int ask_number(struct vhost_user *peer, enum request request, uint64_t *number)
{
    return ask(peer, &(struct message){.request = request}, number, sizeof *number);
}

static int tell_number(struct vhost_user *peer, enum request request, uint64_t number)
{
    return tell(peer, &(struct message){request, &number, sizeof number, NULL, 0});
}

static int tell_state(struct vhost_user *peer, enum request request, unsigned index,
                      unsigned number)
{
    const struct vhost_vring_state state = {.index = index, .num = number};

    return tell(peer, &(struct message){request, &state, sizeof state, NULL, 0});
}

/* A ring's eventfd. The number is its index; a bit of it would say that there is none. */
static int tell_event(struct vhost_user *peer, enum request request, unsigned index, int event)
{
    const uint64_t number = index;

    return tell(peer, &(struct message){request, &number, sizeof number, &event, 1});
}

/* --- life --- */

void vhost_user_open(struct vhost_user *peer, int fd, const struct guest_memory *memory)
{
    *peer = (struct vhost_user){.fd = fd, .memory = memory, .patience = VHOST_USER_GREETING_MS};
}

void vhost_user_close(struct vhost_user *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    peer->fault = peer->fault ?: "it is closed";
}

static int agree(struct vhost_user *peer)
{
    uint64_t protocol = 0;
    int rc = tell(peer, &(struct message){.request = SET_OWNER});

    rc = rc ?: ask_number(peer, GET_FEATURES, &peer->features);
    peer->has_protocol = rc == 0 && peer->features & FEATURE(F_PROTOCOL_FEATURES);
    if (!peer->has_protocol)
        return rc;
    rc = ask_number(peer, GET_PROTOCOL_FEATURES, &protocol);
    protocol &= FEATURE(PROTOCOL_F_REPLY_ACK);
    rc = rc ?: tell_number(peer, SET_PROTOCOL_FEATURES, protocol);
    peer->acknowledges = protocol != 0;
    return rc;
}

int vhost_user_greet(struct vhost_user *peer, struct err *err)
{
    int rc;

    begin_asking(peer);
    rc = agree(peer);
    peer->patience = VHOST_USER_ANSWER_MS;
    if (rc)
        return err_set(err, rc, "%s", peer->fault);
    if (!(peer->features & FEATURE(VIRTIO_F_VERSION_1)))
        return err_set(err, -ENOTSUP, "it does not know virtio 1");
    return 0;
}

uint64_t vhost_user_supported(const struct vhost_user *peer, uint64_t features)
{
    return features & (peer->features | ~RING_FEATURES) & ~FEATURE(VIRTIO_F_RING_PACKED);
}

static int tell_memory(struct vhost_user *peer)
{
    const struct guest_memory *memory = peer->memory;
    struct memory_table table = {.count = memory->count};
    int descriptors[MEMORY_REGIONS_MAX];

    for (unsigned i = 0; i < memory->count; i++) {
        const struct memory_region *region = &memory->regions[i];

        descriptors[i] = memory->fd;
        table.regions[i] = (struct region){region->base.v, region->size, (uintptr_t)region->host,
                                           region->offset};
    }
    return tell(peer, &(struct message){
        SET_MEM_TABLE, &table,
        (uint32_t)(offsetof(struct memory_table, regions) + memory->count * sizeof(struct region)),
        descriptors, memory->count});
}

int vhost_user_begin(struct vhost_user *peer, uint64_t accepted)
{
    uint64_t features = accepted & RING_FEATURES;

    begin_asking(peer);
    if (peer->has_protocol)
        features |= FEATURE(F_PROTOCOL_FEATURES);
    return tell_number(peer, SET_FEATURES, features) ?: tell_memory(peer);
}

/* --- rings --- */

/* The kick is last of what it needs: with it a ring starts, and is disabled until it is enabled. */
int vhost_user_start_ring(struct vhost_user *peer, unsigned index,
                          const struct lent_ring *ring)
{
    const struct vhost_vring_addr addresses = {
        .index = index,
        .desc_user_addr = (uintptr_t)ring->descriptors,
        .used_user_addr = (uintptr_t)ring->used,
        .avail_user_addr = (uintptr_t)ring->avail,
    };
    const struct message where = {SET_VRING_ADDR, &addresses, sizeof addresses, NULL, 0};

    begin_asking(peer);
    return tell_state(peer, SET_VRING_NUM, index, ring->size)
               ?: tell_state(peer, SET_VRING_BASE, index, ring->position)
               ?: tell(peer, &where)
               ?: tell_event(peer, SET_VRING_CALL, index, ring->call)
               ?: tell_event(peer, SET_VRING_ERR, index, ring->fault)
               ?: tell_event(peer, SET_VRING_KICK, index, ring->kick)
               ?: (peer->has_protocol ? tell_state(peer, SET_VRING_ENABLE, index, 1) : 0);
}

int vhost_user_stop_ring(struct vhost_user *peer, unsigned index, uint16_t *position)
{
    const struct vhost_vring_state asked = {.index = index};
    struct vhost_vring_state answer = {0};
    const struct message message = {GET_VRING_BASE, &asked, sizeof asked, NULL, 0};
    int rc;

    begin_asking(peer);
    rc = ask(peer, &message, &answer, sizeof answer);
    if (rc == 0 && (answer.index != index || answer.num > UINT16_MAX))
        rc = lose(peer, -EPROTO, "it breaks the protocol");
    if (rc == 0)
        *position = (uint16_t)answer.num;
    return rc;
}

void vhost_user_hear(struct vhost_user *peer)
{
    char byte;
    ssize_t got = recv(peer->fd, &byte, 1, MSG_DONTWAIT);

    if (got > 0)
        lose(peer, -EPROTO, "it breaks the protocol");
    else if (got == 0 || errno != EAGAIN)
        lose(peer, -ECONNRESET, "it ended");
}
