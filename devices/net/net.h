/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network: where a guest's Ethernet frames go to and come from. Knows nothing of virtio rings,
 * but that every frame has NET_HEADER_SIZE bytes in front: a struct virtio_net_hdr_v1, which the
 * kernel's tap driver reads and writes too, so that a frame goes between the tap and the guest's
 * buffers without being copied in between.
 *
 *     tap      the frames of an interface of the host, one descriptor for each queue pair
 *     stream   a stream socket, as passt and QEMU's "-netdev stream" speak: each frame has its
 *              length in front, 4 bytes, big-endian; no header
 *
 * A queue pair belongs to one loop's thread; pairs share nothing but the state of the link. What
 * concerns the whole network belongs to the main loop.
 *
 * Nothing here waits. What cannot be sent stays with the caller until `sendable`; and the host's
 * queue is watched only while the caller has buffers (net_want_receive()): a guest that offers
 * none neither makes the loop spin nor loses the wake-up, as it is asked for anew.
 */
#ifndef HUSK_DEVICES_NET_H
#define HUSK_DEVICES_NET_H

#include "core/counter.h"
#include "core/err.h"
#include "core/lent_ring.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/memory.h"
#include "devices/net/vhost.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HEADER_SIZE 12u
#define NET_FRAME_MIN 14u    /* Ethernet's header */
#define NET_FRAME_MAX 65600u /* bytes: 64 KiB of IP, Ethernet's header and VLAN tags */
#define NET_FRAME_ROOM (NET_HEADER_SIZE + NET_FRAME_MAX)
#define NET_PAIRS_MAX 8u

struct net;

/*
 * An existing tap interface, with `pairs` queue pairs. It is not made here: an interface that
 * nobody has configured leads nowhere, and a mistyped name shall not make one.
 *
 * Every message ends in what to do. Errors: -ENODEV no such interface; -EPERM another user's;
 * -EBUSY in use; -EINVAL no tap, or not made for several queues; or what open(2) says.
 */
int net_open_tap(struct net **net, const char *name, unsigned pairs, struct err *err);

/* Connects to a Unix socket of type SOCK_STREAM. Errors: as connect(2). */
int net_open_stream(struct net **net, const char *path, struct err *err);

/*
 * A descriptor that was opened before: of a tap interface, or a connected stream socket. It is
 * duplicated, and stays the caller's. Errors: -EBADF, -EINVAL it is neither.
 */
int net_open_fd(struct net **net, int fd, struct err *err);

/*
 * Gives each pair of a tap a vhost-net, which serves the guest's rings as soon as it has them. That
 * the interface goes is noticed in the network namespace of this thread alone, which is where a tap
 * that was opened by its name is. Errors: as vhost_open() and socket(2). Before net_attach().
 */
int net_use_vhost(struct net *net, const struct guest_memory *memory, struct err *err);

/* NULL is harmless. */
void net_close(struct net *net);

unsigned net_pairs(const struct net *net);

/* "tap0", a path, "fd 5": for messages; lives as long as the network. */
const char *net_name(const struct net *net);

/* The largest packet without Ethernet's header that goes through, in bytes; 0: not known. */
unsigned net_mtu(const struct net *net);

/*
 * What frames may leave to the other side of the network, as their headers say: in both
 * directions, as far as the host supports it. A network without any gives and takes complete
 * frames, and headers of zeros.
 */
#define NET_OFFLOAD_CSUM (1u << 0) /* the checksum */
#define NET_OFFLOAD_TSO4 (1u << 1) /* cutting TCP over IPv4 into segments */
#define NET_OFFLOAD_TSO6 (1u << 2)
#define NET_OFFLOAD_ECN (1u << 3) /* TSO of frames with CWR */
#define NET_OFFLOAD_UFO (1u << 4) /* cutting UDP into IP fragments */
#define NET_OFFLOAD_USO (1u << 5) /* cutting UDP into datagrams */

unsigned net_offloads(const struct net *net);

/* --- main loop --- */

struct net_front_end {
    /* A frame may have come, while it is wanted. On the pair's loop. */
    void (*receivable)(void *device, unsigned pair);
    /* There is room again after a short net_send(). On the pair's loop. */
    void (*sendable)(void *device, unsigned pair);
    /* net_link() has changed. On the main loop. */
    void (*link_changed)(void *device);
};

/*
 * Connects the network to a device, and each pair to its loop: all of it before frames move.
 * Errors: what epoll and eventfd give. net_detach() ends all callbacks, when no loop runs; it is
 * harmless if nothing was attached.
 */
int net_attach(struct net *net, const struct net_front_end *front_end, void *device,
               struct loop *loop, const struct log *log, struct err *err);
void net_place(struct net *net, unsigned pair, struct loop *loop);
void net_detach(struct net *net);

/* False for good once the tap or the peer is gone: what is sent is dropped. Any thread. */
bool net_link(const struct net *net);

/* What received frames may leave undone, of net_offloads(); nothing at first. 0 or -errno. */
int net_set_offloads(struct net *net, unsigned offloads);

/* Spreads received frames over the first `pairs` pairs; 1 at first. 0 or -errno. */
int net_set_pairs(struct net *net, unsigned pairs);

/* --- the pair's loop --- */

/* Starts or stops calls of `receivable`; they are stopped at first. */
void net_want_receive(struct net *net, unsigned pair, bool wanted);

/* A place for a frame with its header: a list with room for NET_FRAME_ROOM bytes. */
struct net_slot {
    const struct iovec *iov;
    unsigned count;
    uint32_t size; /* of the frame that came, 0 if none did */
};

/*
 * Takes frames, as many as there are and have a slot; returns how many. They lie in the order in
 * which they came, but where one came late an empty slot can be before it. The header's num_buffers
 * is left as it is.
 */
unsigned net_receive(struct net *net, unsigned pair, struct net_slot *slots, unsigned count);

struct net_frame {
    const struct iovec *iov; /* the header first */
    unsigned count;
    uint32_t size; /* of the list: more than NET_HEADER_SIZE, at most NET_FRAME_ROOM */
};

/*
 * Sends frames in order; returns how many are done with, sent or dropped. If that is less than
 * `count` there is no room now, and `sendable` is called once when there is.
 */
unsigned net_send(struct net *net, unsigned pair, const struct net_frame *frames, unsigned count);

/* --- vhost --- */

/* NULL without net_use_vhost(). */
struct vhost *net_vhost(struct net *net, unsigned pair);

/*
 * Has vhost move frames between the ring and the pair's descriptor. Errors: -errno; net_link() tells
 * whether that is because the network is gone.
 */
int net_lend_ring(struct net *net, unsigned pair, unsigned ring_index,
                  const struct lent_ring *ring);

/* --- counters --- */

/* Of one direction of a pair, whose loop counts. */
struct net_counters {
    struct counter frames;
    struct counter bytes;    /* without headers */
    struct counter dropped;  /* the host did not take them, or there is no link */
    struct counter syscalls; /* for frames */
};

const struct net_counters *net_received(const struct net *net, unsigned pair);
const struct net_counters *net_sent(const struct net *net, unsigned pair);

#endif
