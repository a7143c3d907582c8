/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/dns.h"

#include <string.h>

#define TYPE_A 1u
#define TYPE_CNAME 5u
#define TYPE_OPT 41u
#define CLASS_IN 1u

#define FLAG_RESPONSE 0x8000u
#define FLAG_RECURSION 0x0100u
#define FLAG_RECURSION_AVAILABLE 0x0080u
#define FLAG_AUTHENTIC 0x0020u
#define FLAG_UNCHECKED 0x0010u
#define OPERATION_MASK 0x7800u

#define LABEL_MAX 63u
#define POINTER 0xc0u
#define WIRE_NAME_MAX 255u
#define RECORD_SIZE 10u /* behind its name: type, class, time to live, length */
#define OPT_SIZE 11u    /* with its name, the root's */

/* What is looked at of an answer: more records, or names that lead to names, than any needs. */
#define RECORDS_MAX 128u
#define CHAIN_MAX 16u

static uint16_t read_16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static void write_16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

/* --- names --- */

/* A label as text, in small letters. False: it has a character that no rule can have. */
static bool append_label(char name[NET_EGRESS_NAME_SIZE], size_t *used, const uint8_t *label,
                         size_t length)
{
    if (*used + length + (*used > 0) >= NET_EGRESS_NAME_SIZE)
        return false;
    if (*used > 0)
        name[(*used)++] = '.';
    for (size_t i = 0; i < length; i++) {
        char c = (char)label[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
        name[(*used)++] = c;
    }
    name[*used] = '\0';
    return true;
}

/*
 * Reads the name at `at`; where it ends, or 0 if it is broken. Pointers lead backwards only, so that
 * it ends. A name that no rule can have is "", as the root's is.
 */
static size_t read_name(const uint8_t *message, size_t size, size_t at,
                        char name[NET_EGRESS_NAME_SIZE])
{
    size_t end = 0, used = 0, start = at, wire = 0;
    bool plain = true;

    name[0] = '\0';
    while (at < size) {
        size_t length = message[at];

        if ((length & POINTER) == POINTER) {
            size_t target = at + 1 < size ? read_16(message + at) & 0x3fffu : size;

            if (target >= start)
                return 0;
            end = end ? end : at + 2;
            start = at = target;
            continue;
        }
        wire += length + 1;
        if (length > LABEL_MAX || wire > WIRE_NAME_MAX || length >= size - at)
            return 0;
        if (length == 0) {
            if (!plain)
                name[0] = '\0';
            return end ? end : at + 1;
        }
        plain = plain && append_label(name, &used, message + at + 1, length);
        at += length + 1;
    }
    return 0;
}

/* --- questions --- */

/* What may follow a question: nothing, or EDNS's record, of which its size counts. */
static bool read_additional(struct dns_question *question, const uint8_t *message, size_t size,
                            size_t at)
{
    unsigned count = read_16(message + 10);

    if (count == 0)
        return true;
    if (count != 1 || size - at < OPT_SIZE || message[at] != 0 ||
        read_16(message + at + 1) != TYPE_OPT)
        return false;
    question->room = read_16(message + at + 3);
    if (question->room > DNS_MESSAGE_MAX)
        question->room = DNS_MESSAGE_MAX;
    return true;
}

/* Whether a name from `at` to `end` has no pointers: it leaves behind another header than it came. */
static bool is_plain(const uint8_t *message, size_t at, size_t end)
{
    while (at < end && message[at] < POINTER)
        at += message[at] + 1u;
    return at >= end;
}

int dns_read_question(struct dns_question *question, const uint8_t *message, size_t size)
{
    unsigned flags;
    size_t end;

    *question = (struct dns_question){0};
    if (size < DNS_HEADER_SIZE)
        return -1;
    flags = read_16(message + 2);
    if (flags & FLAG_RESPONSE)
        return -1;
    question->id = read_16(message);
    question->recursion = flags & FLAG_RECURSION;
    question->authentic = flags & FLAG_AUTHENTIC;
    question->unchecked = flags & FLAG_UNCHECKED;
    if (flags & OPERATION_MASK)
        return DNS_NOT_IMPLEMENTED;
    if (read_16(message + 4) != 1 || read_16(message + 6) != 0 || read_16(message + 8) != 0)
        return DNS_FORMAT_ERROR;
    end = read_name(message, size, DNS_HEADER_SIZE, question->name);
    if (end == 0 || !is_plain(message, DNS_HEADER_SIZE, end) || size - end < 4 ||
        end + 4 - DNS_HEADER_SIZE > DNS_QUESTION_MAX)
        return DNS_FORMAT_ERROR;
    question->type = read_16(message + end);
    question->wire_size = end + 4 - DNS_HEADER_SIZE;
    memcpy(question->wire, message + DNS_HEADER_SIZE, question->wire_size);
    if (read_16(message + end + 2) != CLASS_IN)
        return DNS_REFUSED;
    return read_additional(question, message, size, end + 4) ? 0 : DNS_FORMAT_ERROR;
}

/* Header and question. Its size. */
static size_t write_start(const struct dns_question *question, uint16_t id, unsigned flags,
                          uint8_t message[DNS_MESSAGE_MAX])
{
    flags |= question->recursion ? FLAG_RECURSION : 0;
    flags |= question->unchecked ? FLAG_UNCHECKED : 0;
    memset(message, 0, DNS_HEADER_SIZE);
    write_16(message, id);
    write_16(message + 2, (uint16_t)flags);
    write_16(message + 4, question->wire_size > 0);
    memcpy(message + DNS_HEADER_SIZE, question->wire, question->wire_size);
    return DNS_HEADER_SIZE + question->wire_size;
}

size_t dns_write_question(const struct dns_question *question, uint16_t id,
                          uint8_t message[DNS_MESSAGE_MAX])
{
    size_t size = write_start(question, id, question->authentic ? FLAG_AUTHENTIC : 0, message);

    if (question->room == 0)
        return size;
    write_16(message + 10, 1);
    memset(message + size, 0, OPT_SIZE);
    write_16(message + size + 1, TYPE_OPT);
    write_16(message + size + 3, question->room);
    return size + OPT_SIZE;
}

size_t dns_write_error(const struct dns_question *question, enum dns_code code,
                       uint8_t message[DNS_MESSAGE_MAX])
{
    return write_start(question, question->id, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | code,
                       message);
}

/* --- answers --- */

bool dns_is_answer(const struct dns_question *question, uint16_t id, const uint8_t *message,
                   size_t size)
{
    return size >= DNS_HEADER_SIZE + question->wire_size && read_16(message) == id &&
           read_16(message + 2) & FLAG_RESPONSE && read_16(message + 4) == 1 &&
           memcmp(message + DNS_HEADER_SIZE, question->wire, question->wire_size) == 0;
}

void dns_set_id(uint8_t *message, uint16_t id)
{
    write_16(message, id);
}

struct record {
    char owner[NET_EGRESS_NAME_SIZE];
    uint16_t type;
    uint16_t class;
    uint32_t seconds;
    size_t data; /* in the message */
    size_t length;
};

/* Reads the record at `at`; where it ends, or 0. */
static size_t read_record(struct record *record, const uint8_t *message, size_t size, size_t at)
{
    size_t end = read_name(message, size, at, record->owner);
    const uint8_t *fixed = message + end;

    if (end == 0 || size - end < RECORD_SIZE)
        return 0;
    record->type = read_16(fixed);
    record->class = read_16(fixed + 2);
    record->seconds = (uint32_t)read_16(fixed + 4) << 16 | read_16(fixed + 6);
    record->length = read_16(fixed + 8);
    record->data = end + RECORD_SIZE;
    return record->length > size - record->data ? 0 : record->data + record->length;
}

struct search {
    const uint8_t *message;
    size_t size;
    size_t start; /* of the first record */
    void (*found)(void *context, uint32_t address, uint32_t seconds);
    void *context;
};

/* Reports the addresses of `name`. True if it is another's name, which is then in its place. */
static bool search_once(const struct search *search, char name[NET_EGRESS_NAME_SIZE])
{
    unsigned count = read_16(search->message + 6);
    char other[NET_EGRESS_NAME_SIZE] = "";
    size_t at = search->start;
    struct record record;

    for (unsigned i = 0; i < count && i < RECORDS_MAX; i++) {
        at = read_record(&record, search->message, search->size, at);
        if (at == 0)
            break;
        if (record.class != CLASS_IN || strcmp(record.owner, name) != 0)
            continue;
        if (record.type == TYPE_A && record.length == 4)
            search->found(search->context,
                          (uint32_t)read_16(search->message + record.data) << 16 |
                              read_16(search->message + record.data + 2),
                          record.seconds);
        else if (record.type == TYPE_CNAME)
            read_name(search->message, search->size, record.data, other);
    }
    memcpy(name, other, sizeof other);
    return *name;
}

void dns_find_addresses(const struct dns_question *question, const uint8_t *message, size_t size,
                        void (*found)(void *context, uint32_t address, uint32_t seconds),
                        void *context)
{
    const struct search search = {message, size, DNS_HEADER_SIZE + question->wire_size, found,
                                  context};
    char name[NET_EGRESS_NAME_SIZE];
    bool more = question->name[0] != '\0';

    memcpy(name, question->name, sizeof name);
    for (unsigned i = 0; i < CHAIN_MAX && more; i++)
        more = search_once(&search, name);
}
