/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of fields on a stream socket, for both ends; see agent/protocol.h.
 *
 * The peer may be hostile: what it sends is bounded, checked, and has no say in what is allocated
 * beyond the limit that the reader sets. Functions return 0 or -errno.
 */
#ifndef HUSK_AGENT_FRAME_H
#define HUSK_AGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On the wire, in the processor's byte order. */
struct frame_header {
    uint32_t type;
    uint32_t size; /* of the payload behind it */
};

/* --- fields --- */

/* A payload that is being made. Zero is empty; fields_release() frees it. */
struct fields {
    char *bytes;
    size_t size;
    size_t room;
    bool failed; /* out of memory; what follows is not added, and sending it fails */
};

void fields_add(struct fields *fields, const char *key, const char *value);
void fields_add_number(struct fields *fields, const char *key, uint64_t number);
void fields_release(struct fields *fields);

/*
 * The value of the next field that has this key, or NULL. `*at` is 0 for the first and goes on from
 * there. `bytes` must be as frame_reader_read() leaves a payload: it ends in a NUL, or is empty.
 */
const char *field_next(const char *bytes, size_t size, const char *key, size_t *at);

/* The value of the first such field, or NULL. */
const char *field(const char *bytes, size_t size, const char *key);

/* Whether there is such a field with a decimal number up to `most`; if not, `*number` stays. */
bool field_number(const char *bytes, size_t size, const char *key, uint64_t most,
                  uint64_t *number);

/* --- frames --- */

/* Sends a whole frame. `fields` may be NULL. Errors: what write(2) gives; -ENOMEM. */
int frame_send(int fd, uint32_t type, const struct fields *fields);

/* Sends all bytes. Errors: what write(2) gives. */
int frame_send_bytes(int fd, const void *bytes, size_t size);

/* Reads all bytes. Errors: what read(2) gives; -ECONNRESET the peer has ended. */
int frame_receive_bytes(int fd, void *bytes, size_t size);

/* Frames that arrive in pieces. Zero, and `limit` set, is ready; frame_reader_release() frees it. */
struct frame_reader {
    size_t limit; /* the largest payload that is taken */
    int flags;    /* of recv(2): MSG_DONTWAIT, or 0 to wait as the socket does */
    struct frame_header header;
    size_t have; /* bytes of header and payload */
    char *payload;
    bool complete; /* header and payload are a frame, until the next read */
};

/*
 * Reads on. 1: a frame is there, valid until the next call; 0: there is no more now, or not until the
 * socket's deadline. Errors: -ECONNRESET the peer has ended; -EMSGSIZE, -EPROTO a bad frame; what read(2) gives.
 */
int frame_reader_read(struct frame_reader *reader, int fd);
void frame_reader_release(struct frame_reader *reader);

static inline const char *frame_field(const struct frame_reader *reader, const char *key)
{
    return field(reader->payload, reader->header.size, key);
}

static inline bool frame_number(const struct frame_reader *reader, const char *key, uint64_t most,
                                uint64_t *number)
{
    return field_number(reader->payload, reader->header.size, key, most, number);
}

#endif
