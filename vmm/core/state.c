/* SPDX-License-Identifier: Apache-2.0 */
#include "core/state.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

void state_writer_free(struct state_writer *writer)
{
    free(writer->data);
    *writer = (struct state_writer){0};
}

void state_put_bytes(struct state_writer *writer, const void *bytes, size_t size)
{
    if (writer->failed)
        return;
    if (size > writer->capacity - writer->size) {
        size_t capacity = (writer->size + size) * 2;
        uint8_t *data = realloc(writer->data, capacity);

        if (!data) {
            writer->failed = true;
            return;
        }
        writer->data = data;
        writer->capacity = capacity;
    }
    if (size > 0)
        memcpy(writer->data + writer->size, bytes, size);
    writer->size += size;
}

void state_put_u8(struct state_writer *writer, uint8_t value)
{
    state_put_bytes(writer, &value, sizeof value);
}

void state_put_u16(struct state_writer *writer, uint16_t value)
{
    value = htole16(value);
    state_put_bytes(writer, &value, sizeof value);
}

void state_put_u32(struct state_writer *writer, uint32_t value)
{
    value = htole32(value);
    state_put_bytes(writer, &value, sizeof value);
}

void state_put_u64(struct state_writer *writer, uint64_t value)
{
    value = htole64(value);
    state_put_bytes(writer, &value, sizeof value);
}

void state_begin(struct state_writer *writer, const char *name, uint16_t version)
{
    size_t length = strlen(name);

    if (writer->section || length > UINT8_MAX) {
        writer->failed = true;
        return;
    }
    state_put_u8(writer, (uint8_t)length);
    state_put_bytes(writer, name, length);
    state_put_u16(writer, version);
    writer->section = writer->size;
    state_put_u32(writer, 0);
}

void state_end(struct state_writer *writer)
{
    size_t payload = writer->size - writer->section - sizeof(uint32_t);
    uint32_t length = htole32((uint32_t)payload);

    if (writer->failed || !writer->section || payload > UINT32_MAX) {
        writer->failed = true;
        return;
    }
    memcpy(writer->data + writer->section, &length, sizeof length);
    writer->section = 0;
}

void state_get_bytes(struct state_reader *reader, void *bytes, size_t size)
{
    size_t end = reader->section_end ? reader->section_end : reader->size;

    if (size == 0)
        return;
    if (reader->failed || size > end - reader->position) {
        reader->failed = true;
        memset(bytes, 0, size);
        return;
    }
    memcpy(bytes, reader->data + reader->position, size);
    reader->position += size;
}

uint8_t state_get_u8(struct state_reader *reader)
{
    uint8_t value;

    state_get_bytes(reader, &value, sizeof value);
    return value;
}

uint16_t state_get_u16(struct state_reader *reader)
{
    uint16_t value;

    state_get_bytes(reader, &value, sizeof value);
    return le16toh(value);
}

uint32_t state_get_u32(struct state_reader *reader)
{
    uint32_t value;

    state_get_bytes(reader, &value, sizeof value);
    return le32toh(value);
}

uint64_t state_get_u64(struct state_reader *reader)
{
    uint64_t value;

    state_get_bytes(reader, &value, sizeof value);
    return le64toh(value);
}

void state_enter(struct state_reader *reader, const char *name, uint16_t version)
{
    char found[UINT8_MAX];
    uint8_t length = state_get_u8(reader);
    uint32_t payload;

    state_get_bytes(reader, found, length);
    if (reader->section_end || length != strlen(name) || memcmp(found, name, length) != 0 ||
        state_get_u16(reader) != version)
        reader->failed = true;
    payload = state_get_u32(reader);
    if (payload > reader->size - reader->position)
        reader->failed = true;
    if (!reader->failed)
        reader->section_end = reader->position + payload;
}

void state_leave(struct state_reader *reader)
{
    if (!reader->section_end || reader->position != reader->section_end)
        reader->failed = true;
    reader->section_end = 0;
}
