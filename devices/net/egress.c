/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/egress.h"
#include "devices/net/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX 63u
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct block {
    uint32_t address;
    uint32_t mask;
    const char *what;
};

static const struct block barred[] = {
    {0x00000000, 0xff000000, "means this host; give host:PORT to open one of its ports"},
    {0x7f000000, 0xff000000, "is this host; give host:PORT to open one of its ports"},
    {NET_USER_NETWORK, NET_USER_MASK, "is the guest's own network; give host:PORT to open a port "
                                      "of this host"},
    {0xe0000000, 0xe0000000, "is multicast, broadcast or reserved; give another"},
};

/* --- text --- */

static bool take_prefix(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(*text, prefix, length) != 0)
        return false;
    *text += length;
    return true;
}

/* A whole number from 1 to 65535 up to `end`, or 0. */
static uint16_t port_of(const char *text, const char *end)
{
    uint32_t port = 0;

    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || port > UINT16_MAX)
            return 0;
        port = port * 10 + (uint32_t)(*text - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static int parse_ports(struct net_egress *rule, const char *text, struct err *err)
{
    const char *end = text + strlen(text), *dash = strchr(text, '-');

    rule->first_port = port_of(text, dash ? dash : end);
    rule->last_port = dash ? port_of(dash + 1, end) : rule->first_port;
    if (rule->first_port && rule->first_port <= rule->last_port)
        return 0;
    return err_set(err, -EINVAL, "\"%.40s\" is no port and no range of ports; give one such as 443 "
                   "or 8000-8010", text);
}

static int parse_address(struct net_egress *rule, const char *text, struct err *err)
{
    char address[INET_ADDRSTRLEN] = "";
    size_t length = strcspn(text, "/");
    unsigned bits = 32;
    struct in_addr in;

    if (length < sizeof address)
        memcpy(address, text, length);
    if (inet_pton(AF_INET, address, &in) != 1)
        return err_set(err, -EINVAL, "\"%.40s\" is no IPv4 address; give one such as 192.0.2.7 or "
                       "192.0.2.0/24", text);
    if (text[length]) {
        const char *digits = text + length + 1;
        size_t count = strlen(digits);

        bits = strcmp(digits, "0") == 0 ? 0 : port_of(digits, digits + count);
        if (count == 0 || count > 2 || bits > 32 || (bits == 0 && *digits != '0') ||
            (count == 2 && *digits == '0'))
            return err_set(err, -EINVAL, "\"/%.20s\" is no length of a prefix; give 0 to 32", digits);
    }
    rule->kind = NET_EGRESS_ADDRESS;
    rule->address = ntohl(in.s_addr);
    rule->mask = bits ? UINT32_MAX << (32 - bits) : 0;
    if (rule->address & ~rule->mask)
        return err_set(err, -EINVAL, "%s has bits beyond its first %u, which would not count; "
                       "clear them, or give a longer prefix", text, bits);
    for (unsigned i = 0; i < COUNT(barred); i++)
        if ((rule->mask & barred[i].mask) == barred[i].mask &&
            (rule->address & barred[i].mask) == barred[i].address)
            return err_set(err, -EINVAL, "%s %s", text, barred[i].what);
    return 0;
}

static bool is_label_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_name(const char *name)
{
    size_t label = 0;

    for (; *name; name++) {
        if (*name == '.' ? label == 0 : !is_label_character(*name))
            return false;
        label = *name == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return label > 0;
}

static int parse_name(struct net_egress *rule, const char *text, struct err *err)
{
    const char *name = text;
    size_t length;

    rule->kind = take_prefix(&name, "*.") ? NET_EGRESS_BELOW : NET_EGRESS_NAME;
    length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        length--;
    if (length >= sizeof rule->name)
        return err_set(err, -EINVAL, "a name has at most %u characters; give a shorter one",
                       NET_EGRESS_NAME_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        rule->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    if (!is_name(rule->name))
        return err_set(err, -EINVAL, "\"%.80s\" is no address and no name; give one such as "
                       "192.0.2.0/24, www.example.org, *.example.org, host or any", text);
    if (strcmp(rule->name, "localhost") == 0)
        return err_set(err, -EINVAL, "localhost is the guest itself there; give host:PORT to open "
                       "a port of this host");
    return 0;
}

static int parse_target(struct net_egress *rule, const char *text, struct err *err)
{
    if (strcmp(text, "any") == 0) {
        rule->kind = NET_EGRESS_ANY;
        return 0;
    }
    if (strcmp(text, "host") == 0) {
        rule->kind = NET_EGRESS_HOST;
        return rule->first_port ? 0 : err_set(err, -EINVAL, "host: opens ports one by one; give "
                                              "host:PORT");
    }
    if (strspn(text, "0123456789./") == strlen(text))
        return parse_address(rule, text, err);
    return parse_name(rule, text, err);
}

int net_egress_parse(struct net_egress *rule, const char *text, struct err *err)
{
    char target[NET_EGRESS_NAME_SIZE + 8] = "";
    const char *colon;
    size_t length;
    int rc = 0;

    *rule = (struct net_egress){0};
    if (take_prefix(&text, "tcp:"))
        rule->protocol = IPPROTO_TCP;
    else if (take_prefix(&text, "udp:"))
        rule->protocol = IPPROTO_UDP;
    colon = strchr(text, ':');
    length = colon ? (size_t)(colon - text) : strlen(text);
    if (length == 0 || length >= sizeof target || (colon && strchr(colon + 1, ':')))
        return err_set(err, -EINVAL, "is no rule; give [tcp:|udp:]TARGET[:PORT[-PORT]], where "
                       "TARGET is an IPv4 address, CIDR, NAME, *.NAME, host or any");
    memcpy(target, text, length);
    if (colon)
        rc = parse_ports(rule, colon + 1, err);
    return rc ?: parse_target(rule, target, err);
}

/* --- meaning --- */

bool net_egress_has_port(const struct net_egress *rule, uint8_t protocol, uint16_t port)
{
    if (rule->protocol && rule->protocol != protocol)
        return false;
    if (!rule->first_port)
        return true;
    return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && port >= rule->first_port &&
           port <= rule->last_port;
}

bool net_egress_has_address(const struct net_egress *rule, uint32_t address)
{
    if (net_egress_is_barred(address))
        return false;
    return rule->kind == NET_EGRESS_ANY ||
           (rule->kind == NET_EGRESS_ADDRESS && (address & rule->mask) == rule->address);
}

bool net_egress_has_name(const struct net_egress *rule, const char *name)
{
    size_t length = strlen(name), own = strlen(rule->name);

    if (rule->kind == NET_EGRESS_BELOW)
        return length > own + 1 && name[length - own - 1] == '.' &&
               strcmp(name + length - own, rule->name) == 0;
    return rule->kind == NET_EGRESS_ANY ||
           (rule->kind == NET_EGRESS_NAME && strcmp(name, rule->name) == 0);
}

bool net_egress_is_barred(uint32_t address)
{
    for (unsigned i = 0; i < COUNT(barred); i++)
        if ((address & barred[i].mask) == barred[i].address)
            return true;
    return false;
}
