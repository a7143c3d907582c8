/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a vsock share.
 *
 *     vsock.c        life, the listening socket, the packets of the guest and for it
 *     table.c        the connections: which there are, which have something for the guest
 *     connection.c   one connection's host side: its socket, its queue, what the guest is owed
 *     handshake.c    a program's first line
 */
#ifndef HUSK_DEVICES_VSOCK_PARTS_H
#define HUSK_DEVICES_VSOCK_PARTS_H

#include "core/timer.h"
#include "devices/vsock/stage.h"
#include "devices/vsock/vsock.h"

#include <linux/virtio_vsock.h>
#include <sys/queue.h>
#include <sys/un.h>

#define VSOCK_BUCKETS 1024u
#define VSOCK_ANSWERS_MAX 64u /* resets that wait for the guest's buffers */
#define VSOCK_LINE_MAX 20u    /* "CONNECT 4294967295\n" */

#define VSOCK_SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vsock_state {
    VSOCK_FREE,
    VSOCK_HANDSHAKE, /* a program's line has not come yet; the guest knows nothing */
    VSOCK_REQUESTED, /* the guest is, or will be, asked whether it accepts */
    VSOCK_CONNECTED,
    VSOCK_ABORTED,   /* the host's side is closed, and the guest shall be told by RST */
    VSOCK_DRAINING,  /* the guest is done with it; the host gets what is staged */
};

struct vsock_connection {
    struct loop_source source; /* the host's socket, edge-triggered; fd -1: closed */
    struct vsock *vsock;
    LIST_ENTRY(vsock_connection) place;  /* among those that are free, or in a bucket */
    TAILQ_ENTRY(vsock_connection) queue; /* among those with something for the guest */
    enum vsock_state state;
    uint32_t host_port;
    uint32_t guest_port;
    bool in_table; /* the guest knows it, or will */
    bool queued;
    bool by_host;  /* who has asked for it */
    bool counted;  /* as a connection */
    bool readable; /* the socket may have bytes */
    bool ended;    /* the socket was told that the guest sends no more */
    bool credit_requested;
    uint8_t owed;           /* packets for the guest: a bit for each operation */
    uint8_t shutdown;       /* what the host no longer does, VIRTIO_VSOCK_SHUTDOWN_... */
    uint8_t shutdown_told;
    uint8_t guest_shutdown; /* what the guest no longer does */
    uint8_t line_size;
    char line[VSOCK_LINE_MAX];

    /* From the guest to the host; the counts are of bytes, modulo 2^32 (5.10.6.3). */
    struct vsock_stage stage; /* its capacity is what was promised */
    uint32_t received;
    uint32_t forwarded;
    uint32_t forwarded_told;
    /* From the host to the guest. */
    uint32_t guest_buffer;
    uint32_t guest_forwarded;
    uint32_t sent;
};

LIST_HEAD(vsock_list, vsock_connection);
TAILQ_HEAD(vsock_queue, vsock_connection);

struct vsock {
    uint64_t cid;
    struct sockaddr_un address;
    dev_t device; /* of the socket's file, to know it again */
    ino_t inode;
    bool bound;

    struct loop_source listener;
    struct timer retry; /* accept(2) failed for want of something */
    bool started;
    bool accept_failed; /* and was logged */
    struct loop *loop;
    const struct log *log;
    void (*ready)(void *device);
    void *attached;

    struct vsock_connection *connections; /* `limit` of them; never freed while the loop runs */
    unsigned limit;
    unsigned used; /* of these the first, so that the others' memory is never touched */
    struct vsock_list free;
    struct vsock_list buckets[VSOCK_BUCKETS];
    struct vsock_queue pending;
    uint32_t next_port;
    uint64_t promised; /* bytes of queues beyond the least that each connection has */

    struct vsock_packet answers[VSOCK_ANSWERS_MAX];
    unsigned answer_first, answer_count;

    struct vsock_counters to_guest;
    struct vsock_counters from_guest;
};

/* --- table.c --- */

/* A connection with a socket, which it takes over, not yet watched; NULL: there are too many. */
struct vsock_connection *vsock_make(struct vsock *vsock, int fd, bool by_host);

/* Closes the host's side, and gives it back; what the guest knows of it is the caller's. */
void vsock_release(struct vsock_connection *connection);

struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port);
void vsock_enter(struct vsock_connection *connection, uint32_t host_port, uint32_t guest_port);

/* A port of the host that no connection with that port of the guest has. */
uint32_t vsock_choose_port(struct vsock *vsock, uint32_t guest_port);

/* It has something for the guest, behind the others. */
void vsock_queue(struct vsock_connection *connection);

/* The guest knows it no longer. */
void vsock_forget(struct vsock_connection *connection);

/* --- connection.c --- */

/* Watches the socket. Errors: what epoll_ctl(2) gives. */
int vsock_connection_watch(struct vsock_connection *connection);

/* Bytes of the guest's for the host; false: there is no memory to keep them. */
bool vsock_connection_send(struct vsock_connection *connection, const struct iovec *iov,
                           unsigned count, uint32_t size);

/* What the guest no longer does has changed. */
void vsock_connection_guest_shut(struct vsock_connection *connection);

/* The guest is done with it; the host gets what is staged. */
void vsock_connection_leave(struct vsock_connection *connection);

/* The host's side is closed; the guest, if it knows the connection, is told by RST. */
void vsock_connection_abort(struct vsock_connection *connection);

void vsock_connection_close_host(struct vsock_connection *connection);

/* Owes the guest a packet. */
void vsock_connection_owe(struct vsock_connection *connection, unsigned operation);

/* Bytes that the guest has room for. */
uint32_t vsock_connection_credit(const struct vsock_connection *connection);

/* Whether it has, or may have, a packet for the guest; and its next one, false if it has none. */
bool vsock_connection_pending(const struct vsock_connection *connection);
bool vsock_connection_next(struct vsock_connection *connection, struct vsock_packet *packet,
                           const struct iovec *iov, unsigned count);

/* --- handshake.c --- */

/* Reads a program's first line, and asks the guest if it is complete. */
void vsock_handshake(struct vsock_connection *connection);

/* The guest has accepted: tells the program. */
bool vsock_handshake_accepted(struct vsock_connection *connection);

#endif
