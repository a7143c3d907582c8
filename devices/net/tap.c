/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of a tap interface. The kernel reads and writes the virtio header in front of each frame
 * (IFF_VNET_HDR). It moves frames one a system call; a batch goes through an io_uring, one system
 * call for all of it, which halves the time that a small frame takes. To receive, that needs a tap
 * driver that knows RWF_NOWAIT (Linux 6.4): others' reads would wait for a frame that is not there.
 */
#include "devices/net/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN_DEVICE "/dev/net/tun"

/* Linux 6.2; both or none. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define TUN_F_USO (TUN_F_USO4 | TUN_F_USO6)

#define BATCH_FRAMES 64u

/* How a pair's frames move several at once; not at all, which only costs time, if there is no ring. */
struct tap_batches {
    struct io_uring ring; /* ring_fd is -1 where the host has none to give */
    bool receive;         /* the driver lets it */
};

struct tap {
    struct net net; /* first member: the two convert to each other */
    struct tap_batches batches[NET_PAIRS_MAX];
};

/* --- offloads --- */

static unsigned long kernel_offloads(unsigned offloads)
{
    unsigned long flags = TUN_F_CSUM;

    if (!(offloads & NET_OFFLOAD_CSUM))
        return 0; /* the others build on it */
    if (offloads & NET_OFFLOAD_TSO4)
        flags |= TUN_F_TSO4;
    if (offloads & NET_OFFLOAD_TSO6)
        flags |= TUN_F_TSO6;
    if (offloads & NET_OFFLOAD_ECN && flags & (TUN_F_TSO4 | TUN_F_TSO6))
        flags |= TUN_F_TSO_ECN;
    if (offloads & NET_OFFLOAD_UFO)
        flags |= TUN_F_UFO;
    if (offloads & NET_OFFLOAD_USO)
        flags |= TUN_F_USO;
    return flags;
}

static int set_offloads(struct net *net, unsigned offloads)
{
    int fd = net->pairs[0].source.fd;

    return ioctl(fd, TUNSETOFFLOAD, kernel_offloads(offloads)) < 0 ? -errno : 0;
}

/* All that this kernel knows; none is left set. */
static unsigned find_offloads(struct net *net)
{
    const unsigned common = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 |
                            NET_OFFLOAD_ECN | NET_OFFLOAD_UFO;
    unsigned found = 0;

    if (set_offloads(net, common | NET_OFFLOAD_USO) == 0)
        found = common | NET_OFFLOAD_USO;
    else if (set_offloads(net, common) == 0)
        found = common;
    set_offloads(net, 0);
    return found;
}

/* --- frames --- */

static const char *const gone = "the interface is gone";

/* The frame is gone, the interface is not: it had no header for the guest, or the host no memory. */
static bool lost_frame(ssize_t result)
{
    return result == -EINVAL || result == -EFAULT || result == -ENOMEM || result == -ENOBUFS;
}

/* What the kernel answered to a read: the size of a frame, or 0 for none. */
static uint32_t frame_size(struct net_pair *pair, ssize_t result)
{
    if (result > (ssize_t)NET_FRAME_ROOM) { /* of an interface with larger segments than a tap's */
        counter_add(&pair->received.dropped, 1);
        return 0;
    }
    if (result > (ssize_t)NET_HEADER_SIZE)
        return (uint32_t)result;
    if (lost_frame(result))
        counter_add(&pair->received.dropped, 1);
    else if (result < 0 && result != -EAGAIN && result != -EINTR)
        net_lose_link(pair->net, gone);
    return 0;
}

static struct tap_batches *batches_of(const struct net_pair *pair)
{
    return &((struct tap *)pair->net)->batches[pair->index];
}

/* A host that is short of memory takes part of what was prepared: the rest is taken back. */
static void forget_rest(struct io_uring *ring)
{
    ring->sq.sqe_tail = ring->sq.sqe_head = *ring->sq.khead;
    *ring->sq.ktail = ring->sq.sqe_tail;
}

/* Has the kernel do what was prepared, and waits until it is done; how many of it. */
static unsigned submit(struct io_uring *ring, unsigned count)
{
    int submitted = io_uring_submit_and_wait(ring, count);

    if (submitted < (int)count)
        forget_rest(ring);
    return submitted < 0 ? 0 : (unsigned)submitted;
}

static bool receive_one(struct net_pair *pair, struct net_slot *slot)
{
    ssize_t size = readv(pair->source.fd, slot->iov, (int)slot->count);

    counter_add(&pair->received.syscalls, 1);
    slot->size = frame_size(pair, size < 0 ? -errno : size);
    return slot->size > 0;
}

static void prepare_reads(struct io_uring *ring, int fd, struct net_slot *slots, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(ring);

        io_uring_prep_readv2(entry, fd, slots[i].iov, slots[i].count, 0, RWF_NOWAIT);
        io_uring_sqe_set_data(entry, &slots[i]);
    }
}

/* Fills up to `count` slots, BATCH_FRAMES at most; how many of them, or -EAGAIN: it was not tried. */
static int receive_batch(struct net_pair *pair, struct io_uring *ring, struct net_slot *slots,
                         unsigned count)
{
    struct io_uring_cqe *completion;
    int frames = 0;

    prepare_reads(ring, pair->source.fd, slots, count);
    counter_add(&pair->received.syscalls, 1);
    count = submit(ring, count);
    if (count == 0)
        return -EAGAIN;
    while (count-- > 0 && io_uring_wait_cqe(ring, &completion) == 0) {
        struct net_slot *slot = io_uring_cqe_get_data(completion);

        slot->size = frame_size(pair, completion->res);
        frames += slot->size > 0;
        io_uring_cqe_seen(ring, completion);
    }
    return frames;
}

static unsigned tap_receive(struct net_pair *pair, struct net_slot *slots, unsigned count)
{
    struct tap_batches *batches = batches_of(pair);
    unsigned frames = 0;

    if (count > BATCH_FRAMES)
        count = BATCH_FRAMES;
    if (count > 1 && batches->receive) {
        int received = receive_batch(pair, &batches->ring, slots, count);

        if (received >= 0)
            return (unsigned)received;
    }
    while (frames < count && receive_one(pair, &slots[frames]))
        frames++;
    return frames;
}

/*
 * A frame that was not taken is lost, as on a wire: the interface is down or its queue is full, or
 * the guest's header makes no sense.
 */
static void not_sent(struct net_pair *pair, int error)
{
    if (error == EBADFD)
        net_lose_link(pair->net, gone);
    counter_add(&pair->sent.dropped, 1);
}

static void send_one(struct net_pair *pair, const struct net_frame *frame)
{
    counter_add(&pair->sent.syscalls, 1);
    if (writev(pair->source.fd, frame->iov, (int)frame->count) < 0)
        not_sent(pair, errno);
}

/* Takes so many completions; with no limit to what is sent, none has to be waited for. */
static void reap(struct net_pair *pair, struct io_uring *ring, unsigned count)
{
    struct io_uring_cqe *completion;

    while (count-- > 0 && io_uring_wait_cqe(ring, &completion) == 0) {
        if (completion->res < 0)
            not_sent(pair, -completion->res);
        io_uring_cqe_seen(ring, completion);
    }
}

/* Sends at most BATCH_FRAMES frames, in order; how many were handed over. */
static unsigned send_batch(struct net_pair *pair, struct io_uring *ring,
                           const struct net_frame *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(ring);

        io_uring_prep_writev(entry, pair->source.fd, frames[i].iov, frames[i].count, 0);
    }
    counter_add(&pair->sent.syscalls, 1);
    count = submit(ring, count);
    reap(pair, ring, count);
    return count;
}

static unsigned tap_send(struct net_pair *pair, const struct net_frame *frames, unsigned count)
{
    struct io_uring *ring = &batches_of(pair)->ring;
    unsigned done = 0;

    while (count - done > 1 && ring->ring_fd >= 0) {
        unsigned batch = count - done < BATCH_FRAMES ? count - done : BATCH_FRAMES;
        unsigned sent = send_batch(pair, ring, frames + done, batch);

        done += sent;
        if (sent < batch)
            break; /* the rest goes singly */
    }
    while (done < count)
        send_one(pair, &frames[done++]);
    return count;
}

static int use_pair(struct net_pair *pair, bool use)
{
    struct ifreq request = {.ifr_flags = use ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    return ioctl(pair->source.fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

static bool tap_exists(const struct net *net)
{
    struct ifreq request;

    return ioctl(net->pairs[0].source.fd, TUNGETIFF, &request) == 0;
}

static void tap_close(struct net *net)
{
    struct tap *tap = (struct tap *)net;

    for (unsigned i = 0; i < NET_PAIRS_MAX; i++)
        if (tap->batches[i].ring.ring_fd >= 0)
            io_uring_queue_exit(&tap->batches[i].ring);
    free(tap);
}

static const struct net_backend backend = {
    .set_offloads = set_offloads,
    .use_pair = use_pair,
    .exists = tap_exists,
    .receive = tap_receive,
    .send = tap_send,
    .close = tap_close,
};

/* --- opening --- */

static struct tap *create(const char *name)
{
    struct tap *tap = calloc(1, sizeof *tap);

    if (!tap)
        return NULL;
    net_init(&tap->net, &backend, name);
    for (unsigned i = 0; i < NET_PAIRS_MAX; i++)
        tap->batches[i].ring.ring_fd = -1;
    return tap;
}

/* Asks the kernel about an interface; -errno. */
static int ask_interface(const char *name, unsigned long what, struct ifreq *request)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return -errno;
    *request = (struct ifreq){0};
    snprintf(request->ifr_name, sizeof request->ifr_name, "%s", name);
    rc = ioctl(fd, what, request) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

/* A new descriptor that is connected to the interface, or -errno. */
static int connect_queue(const char *name, int flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};
    int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

/* Whether the interface can be had with these flags. */
static bool connectable(const char *name, int flags)
{
    int fd = connect_queue(name, flags);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int explain(const char *name, unsigned pairs, int code, struct err *err)
{
    switch (code) {
    case -ENOENT:
    case -ENXIO:
        return err_set(err, code, TUN_DEVICE " does not exist; load the host's module tun");
    case -EACCES:
        return err_set(err, code, TUN_DEVICE " cannot be opened; check its mode and owner");
    case -EPERM:
        return err_set(err, code, "belongs to another user; make it anew for you: "
                                  "ip tuntap add %s mode tap user $USER", name);
    case -EBUSY:
        return err_set(err, code, "is in use by another program; stop that first");
    case -EINVAL:
        if (pairs > 1 && connectable(name, 0))
            return err_set(err, code, "was made for one queue; make it anew: "
                                      "ip tuntap add %s mode tap multi_queue user $USER", name);
        return err_set(err, code, "is no tap interface; make one: "
                                  "ip tuntap add NAME mode tap user $USER");
    default:
        return err_sys(err, code, "cannot connect to the interface");
    }
}

/* Refuses the descriptor of an interface in another mode, and sets the size of the header. */
static int prepare(int fd, struct err *err)
{
    const int wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int header = NET_HEADER_SIZE, unlimited = INT_MAX;
    struct ifreq request = {0};

    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return err_sys(err, -errno, "cannot ask about the interface");
    if ((request.ifr_flags & wanted) != wanted)
        return err_set(err, -EINVAL, "must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR");
    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return err_sys(err, -errno, "cannot set the size of the header");
    if (ioctl(fd, TUNSETSNDBUF, &unlimited) < 0)
        return err_sys(err, -errno, "cannot lift the limit of what is sent");
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(err, -errno, "cannot make the descriptor non-blocking");
    return 0;
}

/* A driver that does not refuses the flag. A frame that comes meanwhile is lost, as on a wire. */
static bool knows_nowait(int fd)
{
    uint8_t byte;
    const struct iovec iov = {&byte, sizeof byte};

    return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN;
}

/*
 * A ring for the pair's frames. The descriptor is not registered with it, because rings are taken
 * apart after their process has ended, and the interface would be in use until then.
 */
static void add_ring(struct tap_batches *batches, int fd)
{
    if (io_uring_queue_init(BATCH_FRAMES, &batches->ring, 0))
        batches->ring.ring_fd = -1;
    else
        batches->receive = knows_nowait(fd);
}

static int add_queue(struct tap *tap, int fd, struct err *err)
{
    int rc = prepare(fd, err);

    if (rc) {
        close(fd);
        return rc;
    }
    add_ring(&tap->batches[tap->net.pair_count], fd);
    net_add_pair(&tap->net, fd);
    return 0;
}

/* What the interface is, once a queue is connected. */
static void describe(struct tap *tap)
{
    struct ifreq request = {0};

    if (ask_interface(tap->net.name, SIOCGIFMTU, &request) == 0)
        tap->net.mtu = (unsigned)request.ifr_mtu;
    tap->net.offloads = find_offloads(&tap->net);
}

static int open_queues(struct tap *tap, const char *name, unsigned pairs, struct err *err)
{
    int flags = pairs > 1 ? IFF_MULTI_QUEUE : 0, rc = 0;

    for (unsigned i = 0; i < pairs && rc == 0; i++) {
        int fd = connect_queue(name, flags);

        if (fd == -EINVAL && pairs == 1) /* one of many will do */
            fd = connect_queue(name, IFF_MULTI_QUEUE);
        rc = fd < 0 ? explain(name, pairs, fd, err) : add_queue(tap, fd, err);
        if (rc == 0 && i > 0)
            rc = use_pair(&tap->net.pairs[i], false);
    }
    return rc;
}

/* Makes a network of an interface that exists. */
static int open_interface(struct net **net, const char *name, unsigned pairs, struct err *err)
{
    struct tap *tap = create(name);
    int rc;

    if (!tap)
        return err_set(err, -ENOMEM, "out of memory");
    rc = open_queues(tap, name, pairs, err);
    if (rc) {
        net_close(&tap->net);
        return rc;
    }
    describe(tap);
    *net = &tap->net;
    return 0;
}

int net_open_tap(struct net **net, const char *name, unsigned pairs, struct err *err)
{
    struct ifreq request;
    int rc;

    if (strlen(name) >= IFNAMSIZ || ask_interface(name, SIOCGIFINDEX, &request))
        rc = err_set(err, -ENODEV, "does not exist; make it: ip tuntap add %s mode tap%s user "
                                   "$USER, and ip link set %s up",
                     name, pairs > 1 ? " multi_queue" : "", name);
    else
        rc = open_interface(net, name, pairs, err);
    if (rc)
        err_prefix(err, "tap \"%s\"", name);
    return rc;
}

int net_adopt_tap(struct net **net, int fd, struct err *err)
{
    struct ifreq request = {0};
    struct tap *tap;
    int rc;

    ioctl(fd, TUNGETIFF, &request);
    tap = create(request.ifr_name);
    if (!tap) {
        close(fd);
        return err_set(err, -ENOMEM, "out of memory");
    }
    rc = add_queue(tap, fd, err);
    if (rc) {
        net_close(&tap->net);
        return rc;
    }
    describe(tap);
    *net = &tap->net;
    return 0;
}
