/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a vsock. Their memory is one array, of which what was never used takes none,
 * and in which an event that comes late finds a connection that is free or another one, never
 * nothing.
 */
#include "devices/vsock/vsock_parts.h"

/* A connection's queue has the least, and of the rest a part of what is left. */
#define STAGE_MIN (UINT32_C(4) << 10)
#define STAGE_MAX (UINT32_C(256) << 10)
#define STAGES_TOTAL (UINT64_C(64) << 20)
#define STAGE_SHARE 16u

/* Ports that programs of the host have, in a range in which nobody listens. */
#define PORT_FIRST (UINT32_C(1) << 30)
#define PORT_END (UINT32_C(1) << 31)

/* --- making --- */

static uint32_t promise(struct vsock *vsock)
{
    uint64_t more = (STAGES_TOTAL - vsock->promised) / STAGE_SHARE;

    if (more > STAGE_MAX - STAGE_MIN)
        more = STAGE_MAX - STAGE_MIN;
    vsock->promised += more;
    return STAGE_MIN + (uint32_t)more;
}

static struct vsock_connection *take_place(struct vsock *vsock)
{
    struct vsock_connection *connection = LIST_FIRST(&vsock->free);

    if (connection)
        LIST_REMOVE(connection, place);
    else if (vsock->used < vsock->limit)
        connection = &vsock->connections[vsock->used++];
    return connection;
}

struct vsock_connection *vsock_make(struct vsock *vsock, int fd, bool by_host)
{
    struct vsock_connection *connection = take_place(vsock);

    if (!connection)
        return NULL;
    *connection = (struct vsock_connection){
        .source.fd = fd,
        .vsock = vsock,
        .by_host = by_host,
    };
    vsock_stage_init(&connection->stage, promise(vsock));
    return connection;
}

static void count_closed(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    if (connection->counted)
        counter_add(connection->by_host ? &vsock->to_guest.closed : &vsock->from_guest.closed, 1);
}

void vsock_release(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    vsock_connection_close_host(connection);
    count_closed(connection);
    vsock->promised -= connection->stage.capacity - STAGE_MIN;
    connection->state = VSOCK_FREE;
    LIST_INSERT_HEAD(&vsock->free, connection, place);
}

/* --- finding --- */

static struct vsock_list *bucket(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
    uint64_t key = (uint64_t)host_port << 32 | guest_port;

    return &vsock->buckets[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 54 & (VSOCK_BUCKETS - 1)];
}

struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
    struct vsock_connection *connection;

    LIST_FOREACH(connection, bucket(vsock, host_port, guest_port), place)
        if (connection->host_port == host_port && connection->guest_port == guest_port)
            return connection;
    return NULL;
}

void vsock_enter(struct vsock_connection *connection, uint32_t host_port, uint32_t guest_port)
{
    connection->host_port = host_port;
    connection->guest_port = guest_port;
    connection->in_table = true;
    LIST_INSERT_HEAD(bucket(connection->vsock, host_port, guest_port), connection, place);
}

uint32_t vsock_choose_port(struct vsock *vsock, uint32_t guest_port)
{
    uint32_t port;

    do {
        if (vsock->next_port < PORT_FIRST || vsock->next_port >= PORT_END)
            vsock->next_port = PORT_FIRST;
        port = vsock->next_port++;
    } while (vsock_find(vsock, port, guest_port));
    return port;
}

/* --- those with something for the guest --- */

void vsock_queue(struct vsock_connection *connection)
{
    if (connection->queued)
        return;
    connection->queued = true;
    TAILQ_INSERT_TAIL(&connection->vsock->pending, connection, queue);
}

void vsock_forget(struct vsock_connection *connection)
{
    if (connection->queued)
        TAILQ_REMOVE(&connection->vsock->pending, connection, queue);
    if (connection->in_table)
        LIST_REMOVE(connection, place);
    connection->queued = connection->in_table = false;
}
