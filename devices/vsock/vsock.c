/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a vsock, its listening socket, and the packets that it and the guest exchange. */
#include "devices/vsock/vsock_parts.h"

#include "core/timing.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define RETRY_NANOSECONDS 100000000u

/* --- the listening socket --- */

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int connect_to(int fd, const struct sockaddr_un *address)
{
    return connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
}

/* Makes room for our socket at the path, where something is already. */
static int replace_stale(const struct sockaddr_un *address, struct err *err)
{
    struct stat status;
    int fd, rc;

    if (lstat(address->sun_path, &status) < 0)
        return err_sys(err, -errno, "cannot look at what is there");
    if (!S_ISSOCK(status.st_mode))
        return err_set(err, -EEXIST, "is there already and no socket; give another path");
    fd = new_socket();
    if (fd < 0)
        return err_sys(err, -errno, "cannot make a socket");
    rc = connect_to(fd, address);
    close(fd);
    if (rc != -ECONNREFUSED)
        return err_set(err, -EADDRINUSE, "somebody listens there already; give another path");
    return unlink(address->sun_path) < 0 ? err_sys(err, -errno, "cannot remove the old socket")
                                         : 0;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
    return bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
}

static int open_listener(struct vsock *vsock, struct err *err)
{
    struct stat status;
    int fd = vsock->listener.fd = new_socket();
    int rc;

    if (fd < 0)
        return err_sys(err, -errno, "cannot make a socket");
    rc = bind_to(fd, &vsock->address);
    if (rc == -EADDRINUSE) {
        rc = replace_stale(&vsock->address, err);
        if (rc)
            return rc;
        rc = bind_to(fd, &vsock->address);
    }
    if (rc)
        return err_set(err, rc, "cannot make the socket (%s); check the folder",
                       strerrordesc_np(-rc));
    if (lstat(vsock->address.sun_path, &status) < 0)
        return err_sys(err, -errno, "cannot look at the socket that was made");
    vsock->bound = true;
    vsock->device = status.st_dev;
    vsock->inode = status.st_ino;
    return listen(fd, SOMAXCONN) < 0 ? err_sys(err, -errno, "cannot listen") : 0;
}

/* Unless somebody has put something else there. */
static void remove_file(const struct vsock *vsock)
{
    struct stat status;

    if (vsock->bound && lstat(vsock->address.sun_path, &status) == 0 &&
        status.st_dev == vsock->device && status.st_ino == vsock->inode)
        unlink(vsock->address.sun_path);
}

/* --- life --- */

/* No more than half of the process's descriptors: the other half is for its other work. */
static unsigned connections_limit(void)
{
    struct rlimit descriptors;

    if (getrlimit(RLIMIT_NOFILE, &descriptors) < 0 ||
        descriptors.rlim_cur / 2 > VSOCK_CONNECTIONS_MAX)
        return VSOCK_CONNECTIONS_MAX;
    return (unsigned)(descriptors.rlim_cur / 2);
}

static struct vsock *allocate(const char *path, uint64_t cid)
{
    struct vsock *vsock = calloc(1, sizeof *vsock);

    if (!vsock)
        return NULL;
    *vsock = (struct vsock){
        .cid = cid,
        .address.sun_family = AF_UNIX,
        .listener.fd = -1,
        .retry = TIMER_CLOSED,
        .limit = connections_limit(),
    };
    memcpy(vsock->address.sun_path, path, strlen(path) + 1);
    TAILQ_INIT(&vsock->pending);
    vsock->connections = calloc(vsock->limit, sizeof vsock->connections[0]);
    if (vsock->connections)
        return vsock;
    free(vsock);
    return NULL;
}

int vsock_open(struct vsock **out, const char *path, uint64_t cid, struct err *err)
{
    struct vsock *vsock;
    int rc;

    if (strlen(path) > VSOCK_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "\"%.200s\": is longer than %u bytes; give a shorter "
                                           "path", path, VSOCK_PATH_MAX);
    vsock = allocate(path, cid);
    if (!vsock)
        return err_set(err, -ENOMEM, "out of memory");
    rc = open_listener(vsock, err);
    if (rc) {
        err_prefix(err, "\"%s\"", path);
        vsock_close(vsock);
        return rc;
    }
    *out = vsock;
    return 0;
}

void vsock_close(struct vsock *vsock)
{
    if (!vsock)
        return;
    vsock_detach(vsock);
    remove_file(vsock);
    if (vsock->listener.fd >= 0)
        close(vsock->listener.fd);
    free(vsock->connections);
    free(vsock);
}

uint64_t vsock_cid(const struct vsock *vsock)
{
    return vsock->cid;
}

/* --- programs of the host --- */

/* Takes what connects; false: nobody does any more, or nobody can be let in. */
static bool accept_one(struct vsock *vsock)
{
    int fd = accept4(vsock->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct vsock_connection *connection;

    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED;
    connection = vsock_make(vsock, fd, true);
    if (!connection) {
        close(fd);
        return true;
    }
    connection->state = VSOCK_HANDSHAKE;
    if (vsock_connection_watch(connection))
        vsock_release(connection);
    return true;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
    struct vsock *vsock = (void *)((char *)source - offsetof(struct vsock, listener));
    int turns = ACCEPTS_A_TURN;

    (void)events;
    while (turns > 0 && accept_one(vsock))
        turns--;
    if (turns == 0 || errno == EAGAIN)
        return;
    /* Too few descriptors, or memory: who waits in the backlog makes the loop spin otherwise. */
    if (!vsock->accept_failed)
        log_line(vsock->log, LOG_LEVEL_WARNING, "vsock \"%s\": connections have to wait: %s",
                 vsock->address.sun_path, strerror(errno));
    vsock->accept_failed = true;
    loop_watch(vsock->loop, &vsock->listener, 0);
    timer_arm(&vsock->retry, timing_now() + RETRY_NANOSECONDS);
}

static void retry(void *context)
{
    struct vsock *vsock = context;

    if (vsock->started)
        loop_watch(vsock->loop, &vsock->listener, EPOLLIN);
}

int vsock_attach(struct vsock *vsock, void (*ready)(void *device), void *device,
                 struct loop *loop, const struct log *log, struct err *err)
{
    vsock->ready = ready;
    vsock->attached = device;
    vsock->loop = loop;
    vsock->log = log;
    vsock->listener.ready = listener_ready;
    return timer_open(&vsock->retry, loop, retry, vsock, err);
}

void vsock_detach(struct vsock *vsock)
{
    if (vsock->loop)
        vsock_stop(vsock);
    timer_close(&vsock->retry);
    vsock->loop = NULL;
}

void vsock_start(struct vsock *vsock)
{
    vsock->started = true;
    retry(vsock);
}

void vsock_stop(struct vsock *vsock)
{
    vsock->started = false;
    loop_watch(vsock->loop, &vsock->listener, 0);
    timer_disarm(&vsock->retry);
    for (unsigned i = 0; i < vsock->used; i++) {
        struct vsock_connection *connection = &vsock->connections[i];

        if (connection->state == VSOCK_FREE)
            continue;
        vsock_forget(connection);
        vsock_release(connection);
    }
    vsock->answer_count = 0;
}

/* --- packets of the guest --- */

bool vsock_takes(const struct vsock *vsock)
{
    return vsock->answer_count < VSOCK_ANSWERS_MAX;
}

/* RST is never answered. */
static void answer(struct vsock *vsock, const struct vsock_packet *packet)
{
    unsigned last = (vsock->answer_first + vsock->answer_count) % VSOCK_ANSWERS_MAX;

    if (packet->operation == VIRTIO_VSOCK_OP_RST)
        return;
    vsock->answers[last] = (struct vsock_packet){
        .source_cid = packet->destination_cid,
        .destination_cid = packet->source_cid,
        .source_port = packet->destination_port,
        .destination_port = packet->source_port,
        .type = packet->type,
        .operation = VIRTIO_VSOCK_OP_RST,
    };
    vsock->answer_count++;
}

static bool is_ours(const struct vsock *vsock, const struct vsock_packet *packet)
{
    return packet->source_cid == vsock->cid && packet->destination_cid == VSOCK_HOST_CID &&
           packet->type == VIRTIO_VSOCK_TYPE_STREAM;
}

static struct vsock_connection *find(struct vsock *vsock, const struct vsock_packet *packet)
{
    return is_ours(vsock, packet)
               ? vsock_find(vsock, packet->destination_port, packet->source_port)
               : NULL;
}

/* Ends the connection, which may be NULL, of a guest that breaks the rules. */
static void refuse(struct vsock *vsock, struct vsock_connection *connection,
                   const struct vsock_packet *packet)
{
    answer(vsock, packet);
    if (!connection)
        return;
    vsock_forget(connection);
    vsock_release(connection);
}

static void count_connection(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    connection->counted = true;
    counter_add(connection->by_host ? &vsock->to_guest.connections
                                    : &vsock->from_guest.connections, 1);
}

/* A socket that is connected to PATH_PORT, or -errno. */
static int connect_to_port(const struct vsock *vsock, uint32_t port)
{
    struct sockaddr_un address = vsock->address;
    size_t length = strlen(address.sun_path);
    int fd = new_socket(), rc;

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path + length, sizeof address.sun_path - length, "_%u", port);
    rc = connect_to(fd, &address);
    if (rc)
        close(fd);
    return rc ?: fd;
}

/* The guest asks for a connection; false: there will be none. */
static bool admit(struct vsock *vsock, const struct vsock_packet *packet)
{
    int fd = connect_to_port(vsock, packet->destination_port);
    struct vsock_connection *connection;

    if (fd < 0)
        return false;
    connection = vsock_make(vsock, fd, false);
    if (!connection) {
        close(fd);
        return false;
    }
    connection->state = VSOCK_CONNECTED;
    connection->guest_buffer = packet->buffer_size;
    if (vsock_connection_watch(connection)) {
        vsock_release(connection);
        return false;
    }
    count_connection(connection);
    vsock_enter(connection, packet->destination_port, packet->source_port);
    vsock_connection_owe(connection, VIRTIO_VSOCK_OP_RESPONSE);
    return true;
}

/*
 * How much the guest has taken and can hold (5.10.6.3); false: it claims to have taken what was
 * never sent. A count that goes back is old news.
 */
static bool learn_credit(struct vsock_connection *connection, const struct vsock_packet *packet)
{
    uint32_t taken = packet->forwarded - connection->guest_forwarded;
    bool old = taken > INT32_MAX;

    if (!old && taken > connection->sent - connection->guest_forwarded)
        return false;
    if (!old)
        connection->guest_forwarded = packet->forwarded;
    connection->guest_buffer = packet->buffer_size;
    if (vsock_connection_credit(connection) > 0)
        connection->credit_requested = false;
    if (vsock_connection_pending(connection))
        vsock_queue(connection);
    return true;
}

static bool accepted(struct vsock_connection *connection)
{
    if (connection->state != VSOCK_REQUESTED ||
        connection->owed & 1u << VIRTIO_VSOCK_OP_REQUEST ||
        !vsock_handshake_accepted(connection))
        return false;
    connection->state = VSOCK_CONNECTED;
    count_connection(connection);
    vsock_queue(connection); /* the program may have written more than its line */
    return true;
}

/* Data, within the credit that the guest was told of. */
static bool take_data(struct vsock_connection *connection, const struct vsock_packet *packet,
                      const struct iovec *iov, unsigned count)
{
    uint32_t in_flight = connection->received - connection->forwarded_told;

    if (connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND ||
        connection->owed & 1u << VIRTIO_VSOCK_OP_RESPONSE ||
        packet->size > connection->stage.capacity - in_flight)
        return false;
    return vsock_connection_send(connection, iov, count, packet->size);
}

/* A guest that wants neither half any more gets an RST (5.10.6.5), the host what it was sent. */
static bool take_shutdown(struct vsock_connection *connection, const struct vsock_packet *packet)
{
    connection->guest_shutdown |= (uint8_t)(packet->flags & VSOCK_SHUTDOWN_BOTH);
    if (connection->guest_shutdown == VSOCK_SHUTDOWN_BOTH) {
        answer(connection->vsock, packet);
        vsock_connection_leave(connection);
    } else {
        vsock_connection_guest_shut(connection);
    }
    return true;
}

/* False: the packet breaks the rules. */
static bool take_connected(struct vsock_connection *connection, const struct vsock_packet *packet,
                           const struct iovec *iov, unsigned count)
{
    switch (packet->operation) {
    case VIRTIO_VSOCK_OP_RW:
        return take_data(connection, packet, iov, count);
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        return take_shutdown(connection, packet);
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        vsock_connection_owe(connection, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        return true;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return true;
    default:
        return false;
    }
}

static bool take_known(struct vsock_connection *connection, const struct vsock_packet *packet,
                       const struct iovec *iov, unsigned count)
{
    if (connection->state == VSOCK_ABORTED) /* its RST is on the way */
        return true;
    if (!learn_credit(connection, packet))
        return false;
    if (packet->operation == VIRTIO_VSOCK_OP_RESPONSE)
        return accepted(connection);
    return connection->state == VSOCK_CONNECTED &&
           take_connected(connection, packet, iov, count);
}

static void take(struct vsock *vsock, const struct vsock_packet *packet, const struct iovec *iov,
                 unsigned count)
{
    struct vsock_connection *connection = find(vsock, packet);

    if (!connection) {
        if (!is_ours(vsock, packet) || packet->operation != VIRTIO_VSOCK_OP_REQUEST ||
            !admit(vsock, packet))
            answer(vsock, packet);
    } else if (packet->operation == VIRTIO_VSOCK_OP_RST) {
        vsock_connection_leave(connection);
    } else if (!take_known(connection, packet, iov, count)) {
        refuse(vsock, connection, packet);
    }
}

static void count_packet(struct vsock_counters *counters, const struct vsock_packet *packet)
{
    counter_add(&counters->packets, 1);
    counter_add(&counters->bytes, packet->size);
    counter_add(&counters->resets, packet->operation == VIRTIO_VSOCK_OP_RST);
}

void vsock_take(struct vsock *vsock, const struct vsock_packet *packet, const struct iovec *iov,
                unsigned count)
{
    count_packet(&vsock->from_guest, packet);
    take(vsock, packet, iov, count);
}

void vsock_refuse(struct vsock *vsock, const struct vsock_packet *packet)
{
    counter_add(&vsock->from_guest.packets, 1);
    refuse(vsock, find(vsock, packet), packet);
}

/* --- packets for the guest --- */

bool vsock_pending(const struct vsock *vsock)
{
    return vsock->answer_count > 0 || !TAILQ_EMPTY(&vsock->pending);
}

static bool next_answer(struct vsock *vsock, struct vsock_packet *packet)
{
    if (vsock->answer_count == 0)
        return false;
    *packet = vsock->answers[vsock->answer_first];
    vsock->answer_first = (vsock->answer_first + 1) % VSOCK_ANSWERS_MAX;
    vsock->answer_count--;
    return true;
}

/* Of the connection that has waited longest; then it waits behind the others. */
static bool next_of_connections(struct vsock *vsock, struct vsock_packet *packet,
                                const struct iovec *iov, unsigned count)
{
    struct vsock_connection *connection;
    bool made = false;

    while (!made && (connection = TAILQ_FIRST(&vsock->pending))) {
        TAILQ_REMOVE(&vsock->pending, connection, queue);
        connection->queued = false;
        made = vsock_connection_next(connection, packet, iov, count);
        if (made && packet->operation == VIRTIO_VSOCK_OP_RST) {
            vsock_forget(connection);
            vsock_release(connection);
        } else if (made && vsock_connection_pending(connection)) {
            vsock_queue(connection);
        }
    }
    return made;
}

bool vsock_next(struct vsock *vsock, struct vsock_packet *packet, const struct iovec *iov,
                unsigned count)
{
    if (!next_answer(vsock, packet) && !next_of_connections(vsock, packet, iov, count))
        return false;
    count_packet(&vsock->to_guest, packet);
    return true;
}

const struct vsock_counters *vsock_to_guest(const struct vsock *vsock)
{
    return &vsock->to_guest;
}

const struct vsock_counters *vsock_from_guest(const struct vsock *vsock)
{
    return &vsock->from_guest;
}
