/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the domain name system (RFC 1035, RFC 6891): the guest's questions are read, and
 * written anew for the name server, so that nothing but a question leaves; addresses are read from
 * answers. Pure: no sockets here.
 */
#ifndef HUSK_DEVICES_NET_USER_DNS_H
#define HUSK_DEVICES_NET_USER_DNS_H

#include "devices/net/egress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_PORT 53u
#define DNS_MESSAGE_MAX 1232u /* what fits into a packet everywhere; larger answers are cut by servers */
#define DNS_HEADER_SIZE 12u
#define DNS_QUESTION_MAX (255u + 4)

enum dns_code { DNS_FORMAT_ERROR = 1, DNS_SERVER_FAILURE = 2, DNS_NOT_IMPLEMENTED = 4, DNS_REFUSED = 5 };

struct dns_question {
    uint16_t id;
    bool recursion;  /* the flags RD, AD and CD are passed on */
    bool authentic;
    bool unchecked;
    uint16_t room;   /* for the answer, if it was said (EDNS), at most DNS_MESSAGE_MAX; or 0 */
    uint16_t type;
    char name[NET_EGRESS_NAME_SIZE]; /* small letters; "": one that no rule can have */
    uint8_t wire[DNS_QUESTION_MAX];  /* the question as it came: name, type and class */
    size_t wire_size;                /* 0: it could not be read */
};

/*
 * 0, and the question. Otherwise the code to answer, with as much of the question as there is; or
 * -1: that is no question, and gets no answer.
 */
int dns_read_question(struct dns_question *question, const uint8_t *message, size_t size);

/* The same question with another number. Its size. */
size_t dns_write_question(const struct dns_question *question, uint16_t id,
                          uint8_t message[DNS_MESSAGE_MAX]);

/* An answer without records. Its size. */
size_t dns_write_error(const struct dns_question *question, enum dns_code code,
                       uint8_t message[DNS_MESSAGE_MAX]);

/* True if the message answers this question, asked with the number `id`. */
bool dns_is_answer(const struct dns_question *question, uint16_t id, const uint8_t *message,
                   size_t size);

/* Puts the guest's own number into an answer. */
void dns_set_id(uint8_t *message, uint16_t id);

/* Calls `found` for each address of the name in question, also by way of other names (CNAME). */
void dns_find_addresses(const struct dns_question *question, const uint8_t *message, size_t size,
                        void (*found)(void *context, uint32_t address, uint32_t seconds),
                        void *context);

#endif
