/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user peer that answers anything, and then ends. */
#include "devices/vhost_user/vhost_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void use(struct vhost_user *peer, int event)
{
    const struct guest_memory *memory = peer->memory;
    const struct lent_ring ring = {
        .size = 256,
        .descriptors = memory->regions[0].host,
        .avail = memory->regions[0].host,
        .used = memory->regions[0].host,
        .kick = event,
        .call = event,
        .fault = event,
    };
    uint16_t position;
    struct err err = {0};
    int rc = vhost_user_greet(peer, &err);

    require(rc == 0 || (err.code == rc && err.message[0]));
    rc = rc ?: vhost_user_begin(peer, UINT64_MAX);
    rc = rc ?: vhost_user_start_ring(peer, 0, &ring);
    rc = rc ?: vhost_user_stop_ring(peer, 0, &position);
    require(rc == 0 || peer->fault || rc == -ENOTSUP);
    vhost_user_hear(peer);
    require(peer->fault); /* it has ended, at the latest now, and that is noticed */
    require(vhost_user_begin(peer, 0) < 0);
}

/* The bytes are there before anything is asked: the order in which they come is all the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct memory_range range = {gpa(0), 1u << 16};
    struct guest_memory memory;
    struct vhost_user peer;
    int ends[2], event;

    if (size > 4096)
        return 0;
    require(memory_create_shared(&memory, &range, 1, NULL) == 0);
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    event = eventfd(0, EFD_CLOEXEC);
    require(send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
    shutdown(ends[1], SHUT_WR);
    vhost_user_open(&peer, ends[0], &memory);
    use(&peer, event);
    vhost_user_close(&peer);
    close(ends[1]);
    close(event);
    memory_destroy(&memory);
    return 0;
}
