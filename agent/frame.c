/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- fields --- */

static bool make_room(struct fields *fields, size_t more)
{
    size_t room = fields->room ? fields->room : 256;
    char *bytes;

    while (room - fields->size < more)
        room *= 2;
    if (room == fields->room)
        return true;
    bytes = realloc(fields->bytes, room);
    if (!bytes)
        return false;
    fields->bytes = bytes;
    fields->room = room;
    return true;
}

void fields_add(struct fields *fields, const char *key, const char *value)
{
    size_t size = strlen(key) + 1 + strlen(value) + 1;

    if (fields->failed || !make_room(fields, size)) {
        fields->failed = true;
        return;
    }
    snprintf(fields->bytes + fields->size, size, "%s=%s", key, value);
    fields->size += size;
}

void fields_add_number(struct fields *fields, const char *key, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, number);
    fields_add(fields, key, text);
}

void fields_release(struct fields *fields)
{
    free(fields->bytes);
    *fields = (struct fields){0};
}

const char *field_next(const char *bytes, size_t size, const char *key, size_t *at)
{
    size_t key_size = strlen(key);

    while (*at < size) {
        const char *candidate = bytes + *at;

        *at += strlen(candidate) + 1;
        if (strncmp(candidate, key, key_size) == 0 && candidate[key_size] == '=')
            return candidate + key_size + 1;
    }
    return NULL;
}

const char *field(const char *bytes, size_t size, const char *key)
{
    size_t at = 0;

    return field_next(bytes, size, key, &at);
}

bool field_number(const char *bytes, size_t size, const char *key, uint64_t most, uint64_t *number)
{
    const char *text = field(bytes, size, key);
    unsigned long long value;
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || *end || value > most)
        return false;
    *number = value;
    return true;
}

/* --- frames --- */

int frame_send_bytes(int fd, const void *bytes, size_t size)
{
    const char *next = bytes;

    while (size > 0) {
        ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        next += sent;
        size -= (size_t)sent;
    }
    return 0;
}

int frame_receive_bytes(int fd, void *bytes, size_t size)
{
    char *next = bytes;

    while (size > 0) {
        ssize_t got = read(fd, next, size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        next += got;
        size -= (size_t)got;
    }
    return 0;
}

/* In one call, so that it is one packet. */
int frame_send(int fd, uint32_t type, const struct fields *fields)
{
    struct frame_header header = {.type = type, .size = fields ? (uint32_t)fields->size : 0};
    struct iovec pieces[] = {
        {&header, sizeof header},
        {header.size ? fields->bytes : (void *)&header, header.size},
    };
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent;
    int rc = 0;

    if (fields && fields->failed)
        return -ENOMEM;
    while ((sent = sendmsg(fd, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (sent < 0)
        return -errno;
    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        size_t done = (size_t)sent < pieces[i].iov_len ? (size_t)sent : pieces[i].iov_len;

        rc = frame_send_bytes(fd, (char *)pieces[i].iov_base + done, pieces[i].iov_len - done);
        sent -= (ssize_t)done;
    }
    return rc;
}

/* Makes room for the payload once the header is known. */
static int begin_payload(struct frame_reader *reader)
{
    int rc = reader->header.size > reader->limit ? -EMSGSIZE : 0;

    free(reader->payload);
    reader->payload = rc ? NULL : malloc((size_t)reader->header.size + 1);
    if (rc == 0 && reader->payload)
        return 0;
    reader->have = 0; /* what is read next is a header again, never a payload without room */
    return rc ?: -ENOMEM;
}

/* Where the next bytes go, and how many of them there are; 0: the frame is whole. */
static size_t missing(struct frame_reader *reader, char **to)
{
    if (reader->have < sizeof reader->header) {
        *to = (char *)&reader->header + reader->have;
        return sizeof reader->header - reader->have;
    }
    *to = reader->payload + (reader->have - sizeof reader->header);
    return sizeof reader->header + reader->header.size - reader->have;
}

static int finish(struct frame_reader *reader)
{
    uint32_t size = reader->header.size;

    reader->have = 0;
    if (size > 0 && reader->payload[size - 1] != '\0')
        return -EPROTO;
    reader->complete = true;
    return 1;
}

int frame_reader_read(struct frame_reader *reader, int fd)
{
    size_t size;
    char *to;

    reader->complete = false;
    while ((size = missing(reader, &to)) > 0) {
        ssize_t got = recv(fd, to, size, reader->flags);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        reader->have += (size_t)got;
        if (reader->have == sizeof reader->header) {
            int rc = begin_payload(reader);

            if (rc)
                return rc;
        }
    }
    return finish(reader);
}

void frame_reader_release(struct frame_reader *reader)
{
    free(reader->payload);
    *reader = (struct frame_reader){.limit = reader->limit, .flags = reader->flags};
}
