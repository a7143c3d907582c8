/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AML encoder; see firmware/aml.h.
 *
 * A block starts with the length of what follows, itself included, in a form whose own length
 * depends on the value. It is therefore put in when the block ends, by moving the content.
 */
#include "firmware/aml.h"

#include <string.h>

/* ACPI 6.5, section 20.3: AML byte stream byte values. */
enum opcode {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_NOTIFY = 0x86,
    OP_DEVICE = 0x82, /* after OP_EXTENDED */
};

/* Section 6.4: the first byte of a resource descriptor. */
enum resource {
    RESOURCE_IO = 0x47,
    RESOURCE_END = 0x79,
    RESOURCE_MEMORY32_FIXED = 0x86,
    RESOURCE_DWORD_SPACE = 0x87,
    RESOURCE_WORD_SPACE = 0x88,
    RESOURCE_INTERRUPT = 0x89,
};

/* Section 6.4.3.5: address space descriptors. */
#define SPACE_MEMORY 0u
#define SPACE_BUS_NUMBERS 2u
#define SPACE_FIXED 0x0cu /* produced by the device; both ends fixed; decoded positively */
#define SPACE_MEMORY_READ_WRITE 0x01u

#define PACKAGE_LENGTH_MAX 4u
#define INTEGER_MAX 9u

static void put(struct aml *aml, const void *bytes, size_t size)
{
    if (aml->failed || size > aml->room - aml->size) {
        aml->failed = true;
        return;
    }
    memcpy(aml->data + aml->size, bytes, size);
    aml->size += size;
}

static void put_byte(struct aml *aml, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    put(aml, &byte, 1);
}

static void put_little_endian(struct aml *aml, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        put_byte(aml, (uint8_t)(value >> (8 * i)));
}

static void insert(struct aml *aml, size_t at, const void *bytes, size_t size)
{
    if (aml->failed || size > aml->room - aml->size) {
        aml->failed = true;
        return;
    }
    memmove(aml->data + at + size, aml->data + at, aml->size - at);
    memcpy(aml->data + at, bytes, size);
    aml->size += size;
}

/*
 * PkgLength (section 20.2.4): up to 63 in one byte; else the first byte has the number of bytes
 * that follow in bits 7:6 and the lowest 4 bits of the length in bits 3:0.
 */
static size_t encode_package_length(uint8_t *bytes, size_t content)
{
    size_t size = 1;
    size_t length = content + 1;

    if (length < 64) {
        bytes[0] = (uint8_t)length;
        return 1;
    }
    do {
        size++;
        length = content + size;
    } while (size < PACKAGE_LENGTH_MAX && length >> (4 + 8 * (size - 1)));
    bytes[0] = (uint8_t)((size - 1) << 6 | (length & 0xf));
    for (size_t i = 1; i < size; i++)
        bytes[i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
    return size;
}

static struct aml_block begin(const struct aml *aml)
{
    return (struct aml_block){aml->size};
}

void aml_end(struct aml *aml, struct aml_block block)
{
    uint8_t length[PACKAGE_LENGTH_MAX];

    insert(aml, block.start, length, encode_package_length(length, aml->size - block.start));
}

static void put_name(struct aml *aml, const char *name)
{
    put(aml, name, 4);
}

static void begin_name(struct aml *aml, const char *name)
{
    put_byte(aml, OP_NAME);
    put_name(aml, name);
}

struct aml_block aml_begin_scope(struct aml *aml, const char *name)
{
    struct aml_block block;

    put_byte(aml, OP_SCOPE);
    block = begin(aml);
    put_name(aml, name);
    return block;
}

struct aml_block aml_begin_method(struct aml *aml, const char *name, uint8_t arguments)
{
    struct aml_block block;

    put_byte(aml, OP_METHOD);
    block = begin(aml);
    put_name(aml, name);
    put_byte(aml, arguments); /* section 20.2.5.2: MethodFlags; neither serialized nor at a level */
    return block;
}

void aml_notify(struct aml *aml, const char *object, uint8_t value)
{
    put_byte(aml, OP_NOTIFY);
    put_name(aml, object);
    aml_integer(aml, value);
}

struct aml_block aml_begin_device(struct aml *aml, const char *name)
{
    struct aml_block block;

    put_byte(aml, OP_EXTENDED);
    put_byte(aml, OP_DEVICE);
    block = begin(aml);
    put_name(aml, name);
    return block;
}

struct aml_block aml_begin_package(struct aml *aml, const char *name, uint8_t count)
{
    struct aml_block block;

    begin_name(aml, name);
    put_byte(aml, OP_PACKAGE);
    block = begin(aml);
    put_byte(aml, count);
    return block;
}

void aml_integer(struct aml *aml, uint64_t value)
{
    if (value <= 1) { /* ZeroOp, OneOp */
        put_byte(aml, (unsigned)value);
    } else if (value <= UINT8_MAX) {
        put_byte(aml, OP_BYTE);
        put_little_endian(aml, value, 1);
    } else if (value <= UINT16_MAX) {
        put_byte(aml, OP_WORD);
        put_little_endian(aml, value, 2);
    } else if (value <= UINT32_MAX) {
        put_byte(aml, OP_DWORD);
        put_little_endian(aml, value, 4);
    } else {
        put_byte(aml, OP_QWORD);
        put_little_endian(aml, value, 8);
    }
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
    begin_name(aml, name);
    aml_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *value)
{
    begin_name(aml, name);
    put_byte(aml, OP_STRING);
    put(aml, value, strlen(value) + 1);
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

static unsigned letter(char c)
{
    return (unsigned)(c - 'A' + 1);
}

/* Section 19.3.4: five bits a letter, four a digit, most significant byte first. */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id)
{
    unsigned letters = letter(id[0]) << 10 | letter(id[1]) << 5 | letter(id[2]);

    begin_name(aml, name);
    put_byte(aml, OP_DWORD);
    put_byte(aml, letters >> 8);
    put_byte(aml, letters);
    put_byte(aml, hex_digit(id[3]) << 4 | hex_digit(id[4]));
    put_byte(aml, hex_digit(id[5]) << 4 | hex_digit(id[6]));
}

struct aml_block aml_begin_resources(struct aml *aml)
{
    begin_name(aml, "_CRS");
    put_byte(aml, OP_BUFFER);
    return begin(aml);
}

/* A buffer's content begins with its size, as an integer, which is also known only now. */
void aml_end_resources(struct aml *aml, struct aml_block block)
{
    uint8_t bytes[INTEGER_MAX];
    struct aml size = {.data = bytes, .room = sizeof bytes};

    put_byte(aml, RESOURCE_END);
    put_byte(aml, 0); /* no checksum */
    aml_integer(&size, aml->size - block.start);
    insert(aml, block.start, bytes, size.size);
    aml_end(aml, block);
}

void aml_memory32(struct aml *aml, uint32_t base, uint32_t size)
{
    put_byte(aml, RESOURCE_MEMORY32_FIXED);
    put_little_endian(aml, 9, 2);
    put_byte(aml, 1); /* read-write */
    put_little_endian(aml, base, 4);
    put_little_endian(aml, size, 4);
}

void aml_io(struct aml *aml, uint16_t port, uint8_t count)
{
    put_byte(aml, RESOURCE_IO);
    put_byte(aml, 1);                 /* decodes 16 bits */
    put_little_endian(aml, port, 2);  /* lowest and highest base */
    put_little_endian(aml, port, 2);
    put_byte(aml, 1);                 /* alignment */
    put_byte(aml, count);
}

void aml_interrupt(struct aml *aml, uint32_t gsi)
{
    put_byte(aml, RESOURCE_INTERRUPT);
    put_little_endian(aml, 6, 2);
    put_byte(aml, 0x03); /* consumer, edge, active high, exclusive */
    put_byte(aml, 1);    /* one interrupt */
    put_little_endian(aml, gsi, 4);
}

/* Granularity, first, last, translation and length, each of `width` bytes. */
static void put_range(struct aml *aml, uint64_t first, uint64_t size, unsigned width)
{
    put_little_endian(aml, 0, width);
    put_little_endian(aml, first, width);
    put_little_endian(aml, first + size - 1, width);
    put_little_endian(aml, 0, width);
    put_little_endian(aml, size, width);
}

static void put_space(struct aml *aml, enum resource resource, unsigned space, unsigned flags,
                      unsigned width)
{
    put_byte(aml, resource);
    put_little_endian(aml, 3 + 5 * width, 2);
    put_byte(aml, space);
    put_byte(aml, SPACE_FIXED);
    put_byte(aml, flags);
}

void aml_bus_numbers(struct aml *aml, uint8_t first, uint8_t last)
{
    put_space(aml, RESOURCE_WORD_SPACE, SPACE_BUS_NUMBERS, 0, 2);
    put_range(aml, first, last - first + 1u, 2);
}

void aml_memory_window(struct aml *aml, uint32_t base, uint32_t size)
{
    put_space(aml, RESOURCE_DWORD_SPACE, SPACE_MEMORY, SPACE_MEMORY_READ_WRITE, 4);
    put_range(aml, base, size, 4);
}
