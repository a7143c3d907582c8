/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What husk-net-user reads: a stream of frames, cut where the first byte says, and forward rules
 * made of the same bytes. Frames that were taken must go out as they came in, and so must rules.
 */
#include "devices/net/forward.h"
#include "devices/net/user/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Takes what is whole and queues it again. False: the stream is broken. */
static bool echo(struct frame_input *input, struct frame_output *output)
{
    const uint8_t *frame;
    ssize_t size;

    while ((size = frame_input_next(input, &frame)) > 0)
        require(frame_output_put(output, frame, (size_t)size));
    require(size == 0 || size == -EPROTO);
    return size == 0;
}

static void fuzz_frames(const uint8_t *data, size_t size)
{
    static struct frame_input input;
    static struct frame_output output;
    size_t cut = size ? 1 + data[0] : 1, at = 0;
    int ends[2];

    input.start = input.end = output.start = output.size = 0;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    while (at < size) {
        size_t piece = size - at < cut ? size - at : cut;

        require(write(ends[0], data + at, piece) == (ssize_t)piece);
        require(frame_input_fill(&input, ends[1]) == (ssize_t)piece);
        at += piece;
        if (!echo(&input, &output))
            break;
    }
    require(output.size <= at && memcmp(output.ring, data, output.size) == 0);
    close(ends[0]);
    close(ends[1]);
}

static void fuzz_rule(const char *text)
{
    struct net_forward forward, again;
    char full[NET_FORWARD_TEXT_MAX], full_again[NET_FORWARD_TEXT_MAX];
    struct err err = {0};

    if (net_forward_parse(&forward, text, &err)) {
        require(err.code < 0 && err.message[0] && !strchr(err.message, '\n'));
        return;
    }
    net_forward_print(&forward, full);
    require(net_forward_parse(&again, full, &err) == 0 && net_forwards_overlap(&forward, &again));
    net_forward_print(&again, full_again);
    require(strcmp(full, full_again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    require(text);
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_frames(data, size);
    fuzz_rule(text);
    free(text);
    return 0;
}
