/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream connections between programs of the guest and of the host: the host's half, which knows
 * packets (virtio 1.2, section 5.10.6) and Unix sockets, and no rings.
 *
 *     host to guest   a program connects to the socket PATH and writes "CONNECT <port>\n"; when the
 *                     guest has accepted it reads "OK <port of the host>\n", then what the guest
 *                     writes. A connection that the guest refuses is closed
 *     guest to host   a connection to port P of the host (CID 2) is one to the socket PATH_P, and
 *                     is reset if nobody listens there, or if its backlog is full
 *
 * What the guest sends goes from its buffers to the host's socket. What that does not take waits in
 * a queue as large as the guest was promised (buf_alloc) when the connection was made, so that a
 * slow program delays nobody else; a guest that sends more is reset. What the host sends is read
 * when the guest has both a buffer and credit for it, into that buffer, one packet of each
 * connection in turn.
 *
 * Bounds: VSOCK_CONNECTIONS_MAX connections, and no more than half of the descriptors that the
 * process may have (RLIMIT_NOFILE); about 80 MiB in all queues together. Above the first a guest is
 * reset and a program's socket closed.
 *
 * All of it belongs to one loop.
 */
#ifndef HUSK_DEVICES_VSOCK_H
#define HUSK_DEVICES_VSOCK_H

#include "core/counter.h"
#include "core/err.h"
#include "core/log.h"
#include "core/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define VSOCK_HOST_CID 2u
#define VSOCK_CID_MIN 3u
#define VSOCK_CID_MAX UINT32_C(0xfffffffe)
#define VSOCK_CONNECTIONS_MAX 4096u
#define VSOCK_PAYLOAD_MAX 65536u /* bytes of a packet for the guest */
#define VSOCK_PATH_MAX 96u       /* bytes; "_4294967295" fits behind it in a socket's address */

/* A packet's header (5.10.6) in the host's byte order. */
struct vsock_packet {
    uint64_t source_cid;
    uint64_t destination_cid;
    uint32_t source_port;
    uint32_t destination_port;
    uint32_t size; /* bytes of payload */
    uint16_t type; /* VIRTIO_VSOCK_TYPE_... */
    uint16_t operation;
    uint32_t flags;
    uint32_t buffer_size; /* buf_alloc */
    uint32_t forwarded;   /* fwd_cnt */
};

struct vsock;

/*
 * Listens on `path`, for a guest that is `cid`. A socket there that nobody listens on any more is
 * replaced; the file is gone after vsock_close(), if it is still ours. Each message ends in what to
 * do. Errors: -EADDRINUSE somebody listens there; -EEXIST it is no socket; -ENAMETOOLONG; what
 * bind(2) gives.
 */
int vsock_open(struct vsock **vsock, const char *path, uint64_t cid, struct err *err);

/* When no loop runs. NULL is harmless. */
void vsock_close(struct vsock *vsock);

uint64_t vsock_cid(const struct vsock *vsock);

/*
 * Connects it to a device on a loop: `ready` is called there when vsock_pending() has become true
 * by what the host did. Errors: what epoll and timerfd give. vsock_detach() when no loop runs;
 * harmless if nothing was attached.
 */
int vsock_attach(struct vsock *vsock, void (*ready)(void *device), void *device,
                 struct loop *loop, const struct log *log, struct err *err);
void vsock_detach(struct vsock *vsock);

/*
 * The guest's driver is there: programs are let in, who waited in the socket's backlog until now.
 * Or it is gone: every connection is closed.
 */
void vsock_start(struct vsock *vsock);
void vsock_stop(struct vsock *vsock);

/*
 * Takes a packet of the guest's, whose payload is the list, packet->size bytes. Only while
 * vsock_takes(): there is a bound on the answers that wait for the guest's buffers.
 */
bool vsock_takes(const struct vsock *vsock);
void vsock_take(struct vsock *vsock, const struct vsock_packet *packet, const struct iovec *iov,
                unsigned count);

/* On the same terms: a packet that says of itself what is not true. Its connection is reset. */
void vsock_refuse(struct vsock *vsock, const struct vsock_packet *packet);

/*
 * Whether there may be a packet for the guest; vsock_next() makes it, with its payload in the list,
 * which has room for a byte at least. False: there was none after all.
 */
bool vsock_pending(const struct vsock *vsock);
bool vsock_next(struct vsock *vsock, struct vsock_packet *packet, const struct iovec *iov,
                unsigned count);

/* Of one direction; connections by who has asked for them. */
struct vsock_counters {
    struct counter packets;
    struct counter bytes; /* of payload */
    struct counter resets;
    struct counter connections; /* that were established */
    struct counter closed;      /* of those */
};

const struct vsock_counters *vsock_to_guest(const struct vsock *vsock);
const struct vsock_counters *vsock_from_guest(const struct vsock *vsock);

#endif
