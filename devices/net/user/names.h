/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the host's name server, where egress is denied: libslirp would take an answer from anyone who
 * finds its socket, with the number that the guest has chosen, and what is answered here opens
 * addresses. These questions have numbers of our own and a socket that hears the name server alone,
 * a new one whenever no answer is awaited; then /etc/resolv.conf is read anew as well.
 */
#ifndef HUSK_DEVICES_NET_USER_NAMES_H
#define HUSK_DEVICES_NET_USER_NAMES_H

#include "devices/net/user/dns.h"
#include "devices/net/user/packet.h"

#include <stdbool.h>

#define NAMES_PENDING_MAX 256u
#define NAMES_SECONDS 10u     /* then it is forgotten; the guest asks again sooner */

struct names;

struct names_answer {
    struct packet_ends asked;
    struct dns_question question;
    size_t size;
    uint8_t message[DNS_MESSAGE_MAX]; /* with the guest's number */
};

/* NULL: no memory. */
struct names *names_create(void);
void names_destroy(struct names *names);

/* What polls readable when there is an answer, or -1. */
int names_fd(const struct names *names);

/*
 * Errors: -EBUSY as many are awaited as may be, so that a guest cannot keep the name server from others;
 * -ENOENT no name server is known; what socket(2), connect(2) and send(2) say.
 */
int names_ask(struct names *names, const struct dns_question *question,
              const struct packet_ends *asked, uint32_t now);

/* Takes one answer; it says "server failure" if the name server cannot be reached. */
bool names_take(struct names *names, struct names_answer *answer, uint32_t now);

#endif
