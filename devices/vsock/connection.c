/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between its socket and the guest. The socket is edge-triggered: what it was
 * ready for is remembered until a call says EAGAIN, so that nothing is asked of epoll while bytes
 * flow, and a connection that has to wait for the guest costs nothing.
 */
#include "devices/vsock/vsock_parts.h"

#include "core/iov.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECES_MAX 256u

/* Of what a guest says that it has room for; keeps differences of counts positive in 31 bits. */
#define CREDIT_MAX (UINT32_C(1) << 30)

static bool gave_up(const struct vsock_connection *connection, uint8_t directions)
{
    return connection->shutdown & directions;
}

static bool guest_gave_up(const struct vsock_connection *connection, uint8_t directions)
{
    return connection->guest_shutdown & directions;
}

void vsock_connection_owe(struct vsock_connection *connection, unsigned operation)
{
    connection->owed |= (uint8_t)(1u << operation);
    vsock_queue(connection);
}

/* --- the ends of the host's side --- */

void vsock_connection_close_host(struct vsock_connection *connection)
{
    if (connection->source.fd < 0)
        return;
    loop_watch(connection->vsock->loop, &connection->source, 0);
    close(connection->source.fd);
    connection->source.fd = -1;
    connection->readable = false;
    vsock_stage_drop(&connection->stage, connection->stage.size);
}

void vsock_connection_abort(struct vsock_connection *connection)
{
    bool unknown = !connection->in_table || connection->owed & 1u << VIRTIO_VSOCK_OP_REQUEST;

    vsock_connection_close_host(connection);
    connection->owed = 0;
    if (unknown) {
        vsock_forget(connection);
        vsock_release(connection);
        return;
    }
    connection->state = VSOCK_ABORTED;
    vsock_connection_owe(connection, VIRTIO_VSOCK_OP_RST);
}

void vsock_connection_leave(struct vsock_connection *connection)
{
    vsock_forget(connection);
    connection->owed = 0;
    if (connection->stage.size > 0)
        connection->state = VSOCK_DRAINING;
    else
        vsock_release(connection);
}

/* A connection of which the host wants neither half keeps its ports until the guest's RST. */
static void give_up(struct vsock_connection *connection, uint8_t directions)
{
    connection->shutdown |= directions;
    if (connection->shutdown == VSOCK_SHUTDOWN_BOTH)
        vsock_connection_close_host(connection);
    vsock_queue(connection);
}

/* --- from the guest to the host --- */

/* The guest hears of it when it may think that half of the queue is full. */
static void forward(struct vsock_connection *connection, uint32_t size)
{
    connection->forwarded += size;
    if (connection->state == VSOCK_CONNECTED &&
        connection->forwarded - connection->forwarded_told >= connection->stage.capacity / 2)
        vsock_connection_owe(connection, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

/* Nobody reads any more: what was sent, and what will be, is dropped. */
static void lose_reader(struct vsock_connection *connection)
{
    uint32_t staged = connection->stage.size;

    vsock_stage_drop(&connection->stage, staged);
    if (connection->state != VSOCK_CONNECTED)
        return;
    forward(connection, staged);
    give_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* As many bytes as the socket takes, 0 if it has no room or no reader. */
static uint32_t send_pieces(struct vsock_connection *connection, const struct iovec *pieces,
                            unsigned count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
    ssize_t sent;

    do
        sent = sendmsg(connection->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN)
        lose_reader(connection);
    return sent > 0 ? (uint32_t)sent : 0;
}

/* What the guest's last byte to the host is followed by: once, for each time is an event. */
static void end_of_guest(struct vsock_connection *connection)
{
    if (connection->ended || connection->stage.size > 0 || connection->source.fd < 0 ||
        !guest_gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_SEND))
        return;
    connection->ended = true;
    shutdown(connection->source.fd, SHUT_WR);
}

static void flush(struct vsock_connection *connection)
{
    struct iovec pieces[2];
    uint32_t sent = 1;

    while (connection->stage.size > 0 && sent > 0) {
        unsigned count = vsock_stage_pieces(&connection->stage, pieces);

        sent = send_pieces(connection, pieces, count);
        if (sent == 0)
            continue;
        vsock_stage_drop(&connection->stage, sent);
        forward(connection, sent);
    }
    end_of_guest(connection);
}

bool vsock_connection_send(struct vsock_connection *connection, const struct iovec *iov,
                           unsigned count, uint32_t size)
{
    uint32_t sent = 0;

    connection->received += size;
    if (size > 0 && connection->stage.size == 0 &&
        !gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV))
        sent = send_pieces(connection, iov, count);
    if (gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV))
        sent = size;
    else if (vsock_stage_put(&connection->stage, iov, count, sent, size - sent))
        return false;
    forward(connection, sent);
    return true;
}

void vsock_connection_guest_shut(struct vsock_connection *connection)
{
    if (guest_gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV) && connection->source.fd >= 0)
        shutdown(connection->source.fd, SHUT_RD);
    end_of_guest(connection);
}

/* --- from the host to the guest --- */

uint32_t vsock_connection_credit(const struct vsock_connection *connection)
{
    uint32_t in_flight = connection->sent - connection->guest_forwarded;
    uint32_t room = connection->guest_buffer < CREDIT_MAX ? connection->guest_buffer : CREDIT_MAX;

    return in_flight < room ? room - in_flight : 0;
}

static bool may_read(const struct vsock_connection *connection)
{
    return connection->state == VSOCK_CONNECTED && connection->readable &&
           !gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_SEND) &&
           !guest_gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* Reads up to `limit` bytes into the list; 0: there are none now, or no more at all. */
static uint32_t receive(struct vsock_connection *connection, const struct iovec *iov,
                        unsigned count, uint32_t limit)
{
    struct iovec pieces[PIECES_MAX];
    struct msghdr message = {.msg_iov = pieces};
    ssize_t got;

    message.msg_iovlen = iov_slice(iov, count, 0, limit, pieces, PIECES_MAX);
    do
        got = recvmsg(connection->source.fd, &message, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        connection->sent += (uint32_t)got;
        return (uint32_t)got;
    }
    if (got == 0)
        give_up(connection, VIRTIO_VSOCK_SHUTDOWN_SEND);
    else if (errno == EAGAIN)
        connection->readable = false;
    else
        vsock_connection_abort(connection);
    return 0;
}

/* The size of a packet of data, or 0. Without credit the guest is asked for some, once. */
static uint32_t read_packet(struct vsock_connection *connection, const struct iovec *iov,
                            unsigned count)
{
    uint32_t credit = vsock_connection_credit(connection);

    if (credit > 0)
        return receive(connection, iov, count,
                       credit < VSOCK_PAYLOAD_MAX ? credit : VSOCK_PAYLOAD_MAX);
    if (!connection->credit_requested)
        connection->owed |= 1u << VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    connection->credit_requested = true;
    return 0;
}

/* --- packets for the guest --- */

static bool must_tell_shutdown(const struct vsock_connection *connection)
{
    return connection->state == VSOCK_CONNECTED &&
           connection->shutdown != connection->shutdown_told;
}

bool vsock_connection_pending(const struct vsock_connection *connection)
{
    return connection->owed || must_tell_shutdown(connection) ||
           (may_read(connection) &&
            (vsock_connection_credit(connection) > 0 || !connection->credit_requested));
}

/* Of these operations, in their order, the first that is owed; INVALID if none is. */
static unsigned first_owed(const struct vsock_connection *connection, const uint8_t *operations,
                           unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (connection->owed & 1u << operations[i])
            return operations[i];
    return VIRTIO_VSOCK_OP_INVALID;
}

/* What to say before data, and what after: all say how much credit the guest has. */
static unsigned choose(struct vsock_connection *connection, const struct iovec *iov,
                       unsigned count, uint32_t *size)
{
    static const uint8_t before[] = {VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_REQUEST,
                                     VIRTIO_VSOCK_OP_RESPONSE};
    static const uint8_t after[] = {VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_CREDIT_REQUEST,
                                    VIRTIO_VSOCK_OP_CREDIT_UPDATE};
    unsigned operation = first_owed(connection, before, sizeof before);

    *size = 0;
    if (operation != VIRTIO_VSOCK_OP_INVALID)
        return operation;
    if (may_read(connection))
        *size = read_packet(connection, iov, count);
    if (*size > 0)
        return VIRTIO_VSOCK_OP_RW;
    if (must_tell_shutdown(connection))
        return VIRTIO_VSOCK_OP_SHUTDOWN;
    return first_owed(connection, after, sizeof after);
}

bool vsock_connection_next(struct vsock_connection *connection, struct vsock_packet *packet,
                           const struct iovec *iov, unsigned count)
{
    uint32_t size;
    unsigned operation = choose(connection, iov, count, &size);

    if (operation == VIRTIO_VSOCK_OP_INVALID)
        return false;
    *packet = (struct vsock_packet){
        .source_cid = VSOCK_HOST_CID,
        .destination_cid = connection->vsock->cid,
        .source_port = connection->host_port,
        .destination_port = connection->guest_port,
        .size = size,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .operation = (uint16_t)operation,
        .buffer_size = connection->stage.capacity,
        .forwarded = connection->forwarded,
    };
    connection->owed &= (uint8_t)~(1u << operation | 1u << VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    connection->forwarded_told = connection->forwarded;
    if (operation == VIRTIO_VSOCK_OP_SHUTDOWN)
        packet->flags = connection->shutdown_told = connection->shutdown;
    return true;
}

/* --- the socket's events --- */

/* The events of a wait may be older than the connection, whose place another one had. */
static bool hung_up(const struct vsock_connection *connection)
{
    struct pollfd poll_fd = {.fd = connection->source.fd};

    return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLHUP | POLLERR);
}

static void serve_connected(struct vsock_connection *connection, uint32_t events)
{
    connection->readable = true;
    if (events & EPOLLOUT)
        flush(connection);
    if (connection->source.fd >= 0 && events & (EPOLLHUP | EPOLLERR) && hung_up(connection)) {
        lose_reader(connection);
        if (guest_gave_up(connection, VIRTIO_VSOCK_SHUTDOWN_RCV)) /* nobody reads up to the end */
            give_up(connection, VIRTIO_VSOCK_SHUTDOWN_SEND);
    }
    if (vsock_connection_pending(connection))
        vsock_queue(connection);
}

static void serve(struct loop_source *source, uint32_t events)
{
    struct vsock_connection *connection = (struct vsock_connection *)source;
    struct vsock *vsock = connection->vsock;

    switch (connection->state) {
    case VSOCK_HANDSHAKE:
        vsock_handshake(connection);
        break;
    case VSOCK_REQUESTED:
        connection->readable = true;
        if (events & (EPOLLHUP | EPOLLERR) && hung_up(connection))
            vsock_connection_abort(connection);
        break;
    case VSOCK_CONNECTED:
        serve_connected(connection, events);
        break;
    case VSOCK_DRAINING:
        flush(connection);
        if (connection->stage.size == 0)
            vsock_release(connection);
        break;
    case VSOCK_FREE:
    case VSOCK_ABORTED:
        break;
    }
    if (vsock_pending(vsock))
        vsock->ready(vsock->attached);
}

int vsock_connection_watch(struct vsock_connection *connection)
{
    connection->source.ready = serve;
    return loop_watch(connection->vsock->loop, &connection->source,
                      EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}
