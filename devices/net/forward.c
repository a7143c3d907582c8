/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 5u
#define FIELD_SIZE 16u /* "255.255.255.255" */

/*
 * Splits text at its colons. The number of fields; 0: one is too long, or there are too many.
 */
static unsigned split(const char *text, char fields[FIELDS_MAX][FIELD_SIZE])
{
    for (unsigned count = 0; count < FIELDS_MAX; count++) {
        size_t length = strcspn(text, ":");

        if (length >= FIELD_SIZE)
            return 0;
        memcpy(fields[count], text, length);
        fields[count][length] = '\0';
        if (!text[length])
            return count + 1;
        text += length + 1;
    }
    return 0;
}

/* A whole number from 1 to 65535, or 0. */
static uint16_t port_of(const char *text)
{
    uint32_t port = 0;

    for (; *text; text++) {
        if (*text < '0' || *text > '9' || port > UINT16_MAX)
            return 0;
        port = port * 10 + (uint32_t)(*text - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool is_address(const char *text)
{
    return *text == '\0' || strchr(text, '.');
}

static int parse_address(uint32_t *address, uint32_t fallback, const char *text, struct err *err)
{
    struct in_addr parsed = {htonl(fallback)};

    if (*text && inet_pton(AF_INET, text, &parsed) != 1)
        return err_set(err, -EINVAL, "\"%s\" is no IPv4 address; give one such as 127.0.0.1",
                       text);
    *address = ntohl(parsed.s_addr);
    return 0;
}

static void print_address(uint32_t address, char text[INET_ADDRSTRLEN])
{
    const struct in_addr in = {htonl(address)};

    inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

static int parse_port(uint16_t *port, const char *text, struct err *err)
{
    *port = port_of(text);
    return *port ? 0 : err_set(err, -EINVAL, "\"%s\" is no port; give 1 to 65535", text);
}

/* The guest's side must be an address that a guest can have. */
static int check_guest(const struct net_forward *forward, struct err *err)
{
    uint32_t last = forward->guest & ~NET_USER_MASK;
    char text[INET_ADDRSTRLEN];

    if ((forward->guest & NET_USER_MASK) == NET_USER_NETWORK && last > NET_USER_NAMESERVER && last < 255)
        return 0;
    print_address(forward->guest, text);
    return err_set(err, -EINVAL, "%s is no address of a guest; give 10.0.2.4 to 10.0.2.254, or "
                   "none for 10.0.2.%u", text, NET_USER_GUEST);
}

/* The two to four fields behind the protocol; a middle one of three is what it looks like. */
static int parse_ends(struct net_forward *forward, char (*field)[FIELD_SIZE], unsigned count,
                      struct err *err)
{
    bool with_host = count == 4 || (count == 3 && is_address(field[0]));
    const char *host = with_host ? *field++ : "";
    const char *host_port = *field++;
    const char *guest = count - with_host == 3 ? *field++ : "";
    int rc = parse_address(&forward->host, INADDR_LOOPBACK, host, err);

    rc = rc ?: parse_port(&forward->host_port, host_port, err);
    rc = rc ?: parse_address(&forward->guest, NET_USER_NETWORK | NET_USER_GUEST, guest, err);
    rc = rc ?: parse_port(&forward->guest_port, *field, err);
    return rc ?: check_guest(forward, err);
}

int net_forward_parse(struct net_forward *forward, const char *text, struct err *err)
{
    char fields[FIELDS_MAX][FIELD_SIZE];
    unsigned count = split(text, fields);
    bool udp = count > 0 && strcmp(fields[0], "udp") == 0;

    if (count < 3 || (!udp && strcmp(fields[0], "tcp") != 0))
        return err_set(err, -EINVAL, "is no forward; give tcp|udp:[HOSTADDRESS]:HOSTPORT:"
                       "[GUESTADDRESS]:GUESTPORT, such as tcp:127.0.0.1:2222::22");
    forward->udp = udp;
    return parse_ends(forward, fields + 1, count - 1, err);
}

void net_forward_print(const struct net_forward *forward, char text[NET_FORWARD_TEXT_MAX])
{
    char host[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN];

    print_address(forward->host, host);
    print_address(forward->guest, guest);
    snprintf(text, NET_FORWARD_TEXT_MAX, "%s:%s:%u:%s:%u", forward->udp ? "udp" : "tcp", host,
             forward->host_port, guest, forward->guest_port);
}

bool net_forwards_overlap(const struct net_forward *a, const struct net_forward *b)
{
    bool same_address = a->host == b->host || a->host == 0 || b->host == 0;

    return a->udp == b->udp && a->host_port == b->host_port && same_address;
}
