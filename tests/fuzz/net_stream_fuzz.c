/* SPDX-License-Identifier: Apache-2.0 */
/* A peer of a stream network that sends anything, in pieces of any size. */
#include "devices/net/net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_all(struct net *net)
{
    static uint8_t bytes[NET_FRAME_ROOM];
    const struct iovec iov[] = {{bytes, 7}, {bytes + 7, sizeof bytes - 7}};
    struct net_slot slot = {.iov = iov, .count = 2};

    while (net_receive(net, 0, &slot, 1) == 1)
        if (slot.size < NET_HEADER_SIZE + NET_FRAME_MIN || slot.size > NET_FRAME_ROOM)
            abort();
}

/* Pieces: a byte with their length, then as many bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net *net;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        net_open_fd(&net, ends[0], NULL))
        abort();
    close(ends[0]);
    while (size > 0) {
        size_t piece = data[0] < size - 1 ? data[0] : size - 1;

        if (send(ends[1], data + 1, piece, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece &&
            net_link(net))
            abort();
        take_all(net);
        data += 1 + piece;
        size -= 1 + piece;
    }
    close(ends[1]);
    take_all(net);
    if (net_link(net))
        abort();
    net_close(net);
    return 0;
}
