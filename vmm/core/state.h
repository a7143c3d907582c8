/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flat, little-endian byte stream that devices save themselves to and restore from.
 *
 *     section := name (u8 length, bytes) version (u16) payload length (u32) payload
 *
 * Sections do not nest. A reader trusts nothing: whatever runs past the end or has another name
 * or version turns the reader into the failed state, after which every get returns 0. Check
 * state_failed() once at the end instead of every value.
 */
#ifndef HUSK_CORE_STATE_H
#define HUSK_CORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_writer {
    uint8_t *data; /* owned; state_writer_free() */
    size_t size;
    size_t capacity;
    size_t section; /* offset of the open section's length field; 0 when none is open */
    bool failed;    /* out of memory, or misuse */
};

struct state_reader {
    const uint8_t *data; /* borrowed */
    size_t size;
    size_t position;
    size_t section_end;
    bool failed;
};

void state_writer_free(struct state_writer *writer);
void state_begin(struct state_writer *writer, const char *name, uint16_t version);
void state_end(struct state_writer *writer);
void state_put_u8(struct state_writer *writer, uint8_t value);
void state_put_u16(struct state_writer *writer, uint16_t value);
void state_put_u32(struct state_writer *writer, uint32_t value);
void state_put_u64(struct state_writer *writer, uint64_t value);
void state_put_bytes(struct state_writer *writer, const void *bytes, size_t size);

/* Enters a section that must have this name and this version. */
void state_enter(struct state_reader *reader, const char *name, uint16_t version);
/* Leaves it; bytes that were not consumed fail the reader. */
void state_leave(struct state_reader *reader);
uint8_t state_get_u8(struct state_reader *reader);
uint16_t state_get_u16(struct state_reader *reader);
uint32_t state_get_u32(struct state_reader *reader);
uint64_t state_get_u64(struct state_reader *reader);
void state_get_bytes(struct state_reader *reader, void *bytes, size_t size);
static inline bool state_failed(const struct state_reader *reader)
{
    return reader->failed;
}

#endif
