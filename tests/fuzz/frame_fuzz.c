/* SPDX-License-Identifier: Apache-2.0 */
/* A peer of a frame's reader that sends anything, in pieces of any size. */
#include "agent/frame.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct frame_reader *reader)
{
    static const char *const keys[] = {"port", "text", "", "a"};
    uint64_t number = 7;

    if (!reader->complete || reader->header.size > LIMIT)
        abort();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value;
        size_t at = 0;

        while ((value = field_next(reader->payload, reader->header.size, keys[i], &at)))
            if (value + strlen(value) >= reader->payload + reader->header.size)
                abort();
        if (!frame_number(reader, keys[i], 100, &number) ? number != 7 : number > 100)
            abort();
        number = 7;
    }
}

/* Also after an error, which not all callers end for. */
static void read_all(struct frame_reader *reader, int fd)
{
    int rc;

    do {
        rc = frame_reader_read(reader, fd);
        if (rc == 1)
            check(reader);
    } while (rc == 1 || rc == -EMSGSIZE || rc == -EPROTO);
}

/* Pieces: a byte with their length, then as many bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_reader reader = {.limit = LIMIT, .flags = MSG_DONTWAIT};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        abort();
    while (size > 0) {
        size_t piece = data[0] < size - 1 ? data[0] : size - 1;

        if (frame_send_bytes(ends[1], data + 1, piece))
            abort();
        read_all(&reader, ends[0]);
        data += 1 + piece;
        size -= 1 + piece;
    }
    close(ends[1]);
    if (frame_reader_read(&reader, ends[0]) != -ECONNRESET)
        abort();
    frame_reader_release(&reader);
    close(ends[0]);
    return 0;
}
