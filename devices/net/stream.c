/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream socket, each behind its length. One system call moves as many frames as
 * there are. The peer is not trusted: lengths are checked, and one that breaks the protocol is as
 * good as gone.
 *
 *     in    what was received and not yet taken: whole frames and the start of the next
 *     out   the rest of a frame that the socket took in part; nothing else is sent before it
 */
#include "devices/net/backend.h"

#include "core/iov.h"
#include "core/unix_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_SIZE 4u
#define IN_SIZE (128u << 10)
#define OUT_SIZE (LENGTH_SIZE + NET_FRAME_MAX)
#define BATCH_FRAMES 64u
#define BATCH_PIECES 1024u /* IOV_MAX */
#define SOCKET_BUFFER (1 << 20)

_Static_assert(IN_SIZE >= OUT_SIZE, "the largest frame fits");

struct stream {
    struct net net; /* first member: the two convert to each other */
    uint8_t *in;
    size_t in_start, in_end;
    uint8_t *out;
    size_t out_start, out_end;
};

static const char *const gone = "the peer is gone";

/* --- receiving side --- */

/* Reads more into `in`: 0, or -EAGAIN. */
static int fill(struct stream *stream)
{
    struct net_pair *pair = &stream->net.pairs[0];
    ssize_t got;

    memmove(stream->in, stream->in + stream->in_start, stream->in_end - stream->in_start);
    stream->in_end -= stream->in_start;
    stream->in_start = 0;
    got = recv(pair->source.fd, stream->in + stream->in_end, IN_SIZE - stream->in_end,
               MSG_DONTWAIT);
    counter_add(&pair->received.syscalls, 1);
    if (got > 0) {
        stream->in_end += (size_t)got;
        return 0;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        net_lose_link(&stream->net, gone);
    return -EAGAIN;
}

/* The size of the next frame if all of it is in `in`, 0 if not, -EPROTO for an impossible one. */
static ssize_t staged_frame(const struct stream *stream)
{
    size_t staged = stream->in_end - stream->in_start;
    uint32_t length;

    if (staged < LENGTH_SIZE)
        return 0;
    memcpy(&length, stream->in + stream->in_start, LENGTH_SIZE);
    length = ntohl(length);
    if (length < NET_FRAME_MIN || length > NET_FRAME_MAX)
        return -EPROTO;
    return staged - LENGTH_SIZE < length ? 0 : (ssize_t)length;
}

/* Moves the next frame into the slot; false: there is none. */
static bool take_frame(struct stream *stream, struct net_slot *slot)
{
    static const uint8_t header[NET_HEADER_SIZE];
    ssize_t length;

    while ((length = staged_frame(stream)) == 0)
        if (fill(stream))
            return false;
    if (length < 0) {
        net_lose_link(&stream->net, "the peer sent a frame of an impossible length");
        return false;
    }
    iov_write(slot->iov, slot->count, 0, header, sizeof header);
    iov_write(slot->iov, slot->count, NET_HEADER_SIZE,
              stream->in + stream->in_start + LENGTH_SIZE, (size_t)length);
    stream->in_start += LENGTH_SIZE + (size_t)length;
    slot->size = NET_HEADER_SIZE + (uint32_t)length;
    return true;
}

static unsigned stream_receive(struct net_pair *pair, struct net_slot *slots, unsigned count)
{
    unsigned taken = 0;

    while (taken < count && take_frame((struct stream *)pair->net, &slots[taken]))
        taken++;
    return taken;
}

/* --- sending side --- */

/* As much of a list as the socket takes: a size, -EAGAIN, or -EPIPE and the link is lost. */
static ssize_t send_pieces(struct stream *stream, struct iovec *pieces, unsigned count)
{
    struct net_pair *pair = &stream->net.pairs[0];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    ssize_t sent = sendmsg(pair->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

    counter_add(&pair->sent.syscalls, 1);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EINTR)
        return -EAGAIN;
    net_lose_link(&stream->net, gone);
    return -EPIPE;
}

/* Sends what was left of a frame. True: nothing is left, or there is nobody to send it to. */
static bool stream_flush(struct net_pair *pair)
{
    struct stream *stream = (struct stream *)pair->net;

    while (stream->out_start < stream->out_end && net_link(pair->net)) {
        struct iovec rest = {stream->out + stream->out_start,
                             stream->out_end - stream->out_start};
        ssize_t sent = send_pieces(stream, &rest, 1);

        if (sent == -EAGAIN)
            return false;
        stream->out_start += sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* A list for sendmsg() of the first frames, as many as fit. */
struct batch {
    unsigned frames;
    unsigned pieces;
    uint32_t lengths[BATCH_FRAMES];
    struct iovec iov[BATCH_PIECES];
};

static void build(struct batch *batch, const struct net_frame *frames, unsigned count)
{
    batch->frames = batch->pieces = 0;
    while (batch->frames < count && batch->frames < BATCH_FRAMES) {
        const struct net_frame *frame = &frames[batch->frames];
        uint32_t *length = &batch->lengths[batch->frames];
        uint32_t size = frame->size - NET_HEADER_SIZE;

        if (batch->pieces + 1 + frame->count > BATCH_PIECES)
            break;
        *length = htonl(size);
        batch->iov[batch->pieces++] = (struct iovec){length, LENGTH_SIZE};
        batch->pieces += iov_slice(frame->iov, frame->count, NET_HEADER_SIZE, size,
                                   batch->iov + batch->pieces, BATCH_PIECES - batch->pieces);
        batch->frames++;
    }
}

/* Counts the frames that `sent` bytes finish or begin; keeps the rest of one that was begun. */
static unsigned settle(struct stream *stream, const struct batch *batch, size_t sent)
{
    size_t end = 0;
    unsigned done = 0;

    while (done < batch->frames && end < sent)
        end += LENGTH_SIZE + ntohl(batch->lengths[done++]);
    stream->out_start = 0;
    stream->out_end = end > sent ? iov_read(batch->iov, batch->pieces, sent, stream->out,
                                            end - sent)
                                 : 0;
    return done;
}

static unsigned stream_send(struct net_pair *pair, const struct net_frame *frames, unsigned count)
{
    struct stream *stream = (struct stream *)pair->net;
    struct batch batch;
    unsigned done = 0;

    while (done < count && stream_flush(pair)) {
        ssize_t sent;

        build(&batch, frames + done, count - done);
        sent = send_pieces(stream, batch.iov, batch.pieces);
        if (sent < 0)
            break;
        done += settle(stream, &batch, (size_t)sent);
    }
    if ((done < count || stream->out_start < stream->out_end) && net_link(pair->net))
        net_await_room(pair);
    return done;
}

/* --- opening --- */

static void stream_close(struct net *net)
{
    struct stream *stream = (struct stream *)net;

    free(stream->in);
    free(stream->out);
    free(stream);
}

static const struct net_backend backend = {
    .receive = stream_receive,
    .send = stream_send,
    .flush = stream_flush,
    .close = stream_close,
};

static struct stream *create(const char *name)
{
    struct stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return NULL;
    net_init(&stream->net, &backend, name);
    stream->in = malloc(IN_SIZE);
    stream->out = malloc(OUT_SIZE);
    if (stream->in && stream->out)
        return stream;
    stream_close(&stream->net);
    return NULL;
}

int net_adopt_stream(struct net **net, int fd, const char *name, struct err *err)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int buffer = SOCKET_BUFFER, rc = 0;
    struct stream *stream = NULL;

    if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
        rc = err_sys(err, -errno, "is not a connected socket");
    else if (!(stream = create(name)))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc) {
        close(fd);
        return rc;
    }
    net_add_pair(&stream->net, fd);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer); /* as far as the host allows */
    *net = &stream->net;
    return 0;
}

int net_open_stream(struct net **net, const char *path, struct err *err)
{
    int fd = unix_connect(path, err);
    int rc = fd < 0 ? fd : net_adopt_stream(net, fd, path, err);

    if (rc)
        err_prefix(err, "stream \"%s\"", path);
    return rc;
}
