/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/frames.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t frame_input_fill(struct frame_input *input, int fd)
{
    ssize_t got;

    input->end -= input->start;
    memmove(input->buffer, input->buffer + input->start, input->end);
    input->start = 0;
    got = read(fd, input->buffer + input->end, sizeof input->buffer - input->end);
    if (got < 0)
        return -errno;
    input->end += (size_t)got;
    return got;
}

ssize_t frame_input_next(struct frame_input *input, const uint8_t **frame)
{
    size_t held = input->end - input->start;
    uint32_t size;

    if (held < FRAME_PREFIX_SIZE)
        return 0;
    memcpy(&size, input->buffer + input->start, sizeof size);
    size = be32toh(size);
    if (size == 0 || size > FRAME_MAX)
        return -EPROTO;
    if (held < FRAME_PREFIX_SIZE + size)
        return 0;
    *frame = input->buffer + input->start + FRAME_PREFIX_SIZE;
    input->start += FRAME_PREFIX_SIZE + size;
    return (ssize_t)size;
}

static void append(struct frame_output *output, const void *bytes, size_t size)
{
    size_t end = (output->start + output->size) % FRAME_OUTPUT_SIZE;
    size_t first = size < FRAME_OUTPUT_SIZE - end ? size : FRAME_OUTPUT_SIZE - end;

    memcpy(output->ring + end, bytes, first);
    memcpy(output->ring, (const uint8_t *)bytes + first, size - first);
    output->size += size;
}

bool frame_output_put(struct frame_output *output, const uint8_t *frame, size_t size)
{
    uint32_t prefix = htobe32((uint32_t)size);

    if (size > FRAME_MAX || FRAME_OUTPUT_SIZE - output->size < sizeof prefix + size)
        return false;
    append(output, &prefix, sizeof prefix);
    append(output, frame, size);
    return true;
}

int frame_output_flush(struct frame_output *output, int fd)
{
    while (output->size > 0) {
        size_t tail = FRAME_OUTPUT_SIZE - output->start;
        size_t first = output->size < tail ? output->size : tail;
        struct iovec parts[] = {{output->ring + output->start, first},
                                {output->ring, output->size - first}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        output->start = (output->start + (size_t)sent) % FRAME_OUTPUT_SIZE;
        output->size -= (size_t)sent;
    }
    output->start = 0; /* so that a queue that is mostly empty touches little memory */
    return 0;
}
