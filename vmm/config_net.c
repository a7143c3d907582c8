/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of a configuration: the language of --net, what is allowed, and addresses. */
#include "vmm/config_net.h"

#include "devices/net/egress.h"
#include "devices/net/user_process.h"
#include "vmm/config_keys.h"
#include "vmm/config_sizes.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- checks --- */

int config_parse_mac(const char *text, uint8_t mac[CONFIG_MAC_SIZE], struct err *err)
{
    bool valid = strlen(text) == 17;

    for (unsigned i = 0; i < 17 && valid; i++)
        valid = i % 3 == 2 ? text[i] == ':' : strchr("0123456789abcdefABCDEF", text[i]) != NULL;
    if (!valid)
        return err_set(err, -EINVAL, "\"%.40s\" is no address; give one such as "
                                     "02:00:00:00:00:01", text);
    for (size_t i = 0; i < CONFIG_MAC_SIZE; i++)
        mac[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
    if (mac[0] & 1 || memcmp(mac, (uint8_t[CONFIG_MAC_SIZE]){0}, CONFIG_MAC_SIZE) == 0)
        return err_set(err, -EINVAL, "\"%s\" is no address of one station; make the first byte "
                                     "02, for example", text);
    return 0;
}

static int check_name(const struct husk_net *net, struct err *err)
{
    switch (net->kind) {
    case HUSK_NET_TAP:
        return net->name && *net->name ? 0 : err_set(err, -EINVAL, "tap: give an interface's name");
    case HUSK_NET_STREAM:
        return net->name && *net->name ? 0 : err_set(err, -EINVAL, "stream: give a socket's path");
    case HUSK_NET_FD:
        return net->fd >= 0 ? 0 : err_set(err, -EINVAL, "fd: %d is no descriptor", net->fd);
    case HUSK_NET_USER:
        return !net->name || *net->name
                   ? 0
                   : err_set(err, -EINVAL, "user: give a program's path, or leave out the \"=\"");
    }
    return err_set(err, -EINVAL, "kind: %d is none of tap, stream, fd and user", (int)net->kind);
}

static int check_forward(const struct husk_net *net, uint32_t index, struct err *err)
{
    struct net_forward forward, other;

    if (!net->forwards || !net->forwards[index])
        return err_set(err, -EINVAL, "hostfwd: the rule is missing");
    if (net_forward_parse(&forward, net->forwards[index], err) < 0) {
        err_prefix(err, "hostfwd \"%s\"", net->forwards[index]);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < index; i++)
        if (net_forward_parse(&other, net->forwards[i], NULL) == 0 &&
            net_forwards_overlap(&forward, &other))
            return err_set(err, -EINVAL, "hostfwd \"%s\": wants the same packets as \"%s\"; "
                           "choose another port", net->forwards[index], net->forwards[i]);
    return 0;
}

static int check_allows(const struct husk_net *net, struct err *err)
{
    struct net_egress rule;

    if (net->allow_count > HUSK_ALLOWS_MAX)
        return err_set(err, -ERANGE, "allow: %u rules are too many; give %d at most",
                       net->allow_count, HUSK_ALLOWS_MAX);
    if (net->allow_count > 0 && net->restricted)
        return err_set(err, -EINVAL, "allow: with restrict nothing is reached; leave out one of them");
    for (uint32_t i = 0; i < net->allow_count; i++) {
        if (!net->allows || !net->allows[i])
            return err_set(err, -EINVAL, "allow: the rule is missing");
        if (net_egress_parse(&rule, net->allows[i], err) < 0) {
            err_prefix(err, "allow \"%.100s\"", net->allows[i]);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_no_user(const struct husk_net *net, struct err *err)
{
    if (net->forward_count > 0)
        return err_set(err, -EINVAL, "hostfwd: only user mode forwards; leave it out");
    if (net->restricted)
        return err_set(err, -EINVAL, "restrict: only user mode restricts; leave it out");
    if (net->egress_denied || net->allow_count > 0)
        return err_set(err, -EINVAL, "egress, allow: only user mode denies; leave them out");
    return 0;
}

/* What user mode alone has. */
static int check_user(const struct husk_net *net, struct err *err)
{
    int rc = 0;

    if (net->kind != HUSK_NET_USER)
        return check_no_user(net, err);
    if (net->forward_count > HUSK_FORWARDS_MAX)
        return err_set(err, -ERANGE, "hostfwd: %u rules are too many; give %d at most",
                       net->forward_count, HUSK_FORWARDS_MAX);
    if (net->mtu &&
        (rc = config_check_count(net->mtu, NET_USER_MTU_MIN, NET_USER_MTU_MAX, err)) < 0)
        err_prefix(err, "mtu");
    for (uint32_t i = 0; i < net->forward_count && rc == 0; i++)
        rc = check_forward(net, i, err);
    return rc ?: check_allows(net, err);
}

static bool is_limited(const struct husk_rate *rate)
{
    return rate->bytes > 0 || rate->operations > 0;
}

static int check_vhost(const struct husk_net *net, struct err *err)
{
    if (!net->vhost)
        return 0;
    if (net->kind != HUSK_NET_TAP)
        return err_set(err, -EINVAL, "vhost: only a tap has it; leave it out");
    if (is_limited(&net->receive) || is_limited(&net->send))
        return err_set(err, -EINVAL, "vhost: the host's kernel knows no limits; leave out rx_ and "
                                     "tx_, or vhost");
    return 0;
}

int config_check_net(const struct husk_net *net, struct err *err)
{
    uint8_t mac[CONFIG_MAC_SIZE];
    int rc;

    if ((rc = check_name(net, err)) < 0)
        return rc;
    if (net->queues && (rc = config_check_count(net->queues, 1, HUSK_NET_QUEUES_MAX, err)) < 0)
        err_prefix(err, "queues");
    else if (net->queues > 1 && net->kind != HUSK_NET_TAP)
        rc = err_set(err, -EINVAL, "queues: only a tap has several; leave it out");
    else if (net->mtu && (rc = config_check_count(net->mtu, CONFIG_MTU_MIN, CONFIG_MTU_MAX, err)) < 0)
        err_prefix(err, "mtu");
    else if (net->mac && (rc = config_parse_mac(net->mac, mac, err)) < 0)
        err_prefix(err, "mac");
    else if ((rc = config_check_rate(&net->receive, err)) < 0)
        err_prefix(err, "rx");
    else if ((rc = config_check_rate(&net->send, err)) < 0)
        err_prefix(err, "tx");
    return rc ?: check_vhost(net, err) ?: check_user(net, err);
}

/* --- addresses --- */

static uint64_t hash(uint64_t state, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < size; i++) /* FNV-1a */
        state = (state ^ byte[i]) * UINT64_C(0x100000001b3);
    return state;
}

/* What tells a descriptor from others: a tap's interface, or which socket it is. */
static uint64_t hash_descriptor(uint64_t state, int fd)
{
    struct ifreq interface = {0};
    struct stat status;

    if (ioctl(fd, TUNGETIFF, &interface) == 0)
        return hash(state, interface.ifr_name, strnlen(interface.ifr_name, sizeof interface.ifr_name));
    if (fstat(fd, &status) == 0)
        return hash(state, &status.st_ino, sizeof status.st_ino);
    return state;
}

/*
 * The same on each start (but of a socket that is given as a descriptor), and another for each network
 * of a host: an address made from the host's identity and the network's name, with the bit that says
 * that nobody has assigned it.
 */
static void make_mac(const struct husk_net *net, uint32_t index, uint8_t mac[CONFIG_MAC_SIZE])
{
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char identity[32];
    ssize_t size = fd < 0 ? 0 : read(fd, identity, sizeof identity);

    if (fd >= 0)
        close(fd);
    if (size > 0)
        state = hash(state, identity, (size_t)size);
    state = hash(state, &net->kind, sizeof net->kind);
    state = hash(state, &index, sizeof index);
    if (net->name)
        state = hash(state, net->name, strlen(net->name));
    else if (net->kind == HUSK_NET_FD)
        state = hash_descriptor(state, net->fd);
    memcpy(mac, &state, CONFIG_MAC_SIZE);
    mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
}

void config_net_mac(const struct husk_net *net, uint32_t index, uint8_t mac[CONFIG_MAC_SIZE])
{
    if (net->mac)
        config_parse_mac(net->mac, mac, NULL); /* it has been checked */
    else
        make_mac(net, index, mac);
}

/* --- the option --- */

#define RULES_MAX 64u
_Static_assert(HUSK_FORWARDS_MAX == RULES_MAX && HUSK_ALLOWS_MAX == RULES_MAX, "both have room");

/* A new array each time, for there are few. */
static int append_rule(struct husk_config *config, const char *const **array, uint32_t *count,
                       const char *rule, struct err *err)
{
    const char *rules[RULES_MAX];
    size_t size = *count * sizeof *rules;

    if (*count >= RULES_MAX)
        return err_set(err, -ENOSPC, "is one too many; give at most %u", RULES_MAX);
    if (size > 0)
        memcpy(rules, *array, size);
    rules[*count] = rule;
    *array = config_own(config, rules, size + sizeof *rules);
    if (!*array)
        return err_set(err, -ENOMEM, "out of memory");
    ++*count;
    return 0;
}

int config_append_forward(struct husk_config *config, struct husk_net *net, const char *rule,
                          struct err *err)
{
    return append_rule(config, &net->forwards, &net->forward_count, rule, err);
}

int config_append_allow(struct husk_config *config, struct husk_net *net, const char *rule,
                        struct err *err)
{
    return append_rule(config, &net->allows, &net->allow_count, rule, err);
}

int config_set_egress(struct husk_net *net, const char *value, struct err *err)
{
    bool denied = strcmp(value, "deny") == 0;

    if (!denied && strcmp(value, "allow") != 0)
        return err_set(err, -EINVAL, "\"%.40s\" is none of deny and allow", value);
    net->egress_denied = denied;
    return 0;
}

static int add_forward(struct husk_config *config, void *net, const char *value, struct err *err)
{
    return config_append_forward(config, net, value, err);
}

static int add_allow(struct husk_config *config, void *net, const char *value, struct err *err)
{
    return config_append_allow(config, net, value, err);
}

static int set_egress(struct husk_config *config, void *net, const char *value, struct err *err)
{
    (void)config;
    return config_set_egress(net, value, err);
}

static int set_vhost(struct husk_config *config, void *net, const char *value, struct err *err)
{
    bool on = strcmp(value, "on") == 0;

    (void)config;
    if (!on && strcmp(value, "off") != 0)
        return err_set(err, -EINVAL, "\"%.40s\" is none of on and off", value);
    ((struct husk_net *)net)->vhost = on;
    return 0;
}

#define KEY(key, field, kind)                                                                    \
    {.name = (key), .offset = offsetof(struct husk_net, field), .type = CONFIG_KEY_##kind}

static const struct config_key keys[] = {
    KEY("queues", queues, COUNT),
    KEY("mac", mac, STRING),
    KEY("mtu", mtu, COUNT),
    KEY("rx_bps", receive.bytes, RATE),
    KEY("rx_bps_burst", receive.bytes_burst, RATE),
    KEY("rx_pps", receive.operations, RATE),
    KEY("rx_pps_burst", receive.operations_burst, RATE),
    KEY("tx_bps", send.bytes, RATE),
    KEY("tx_bps_burst", send.bytes_burst, RATE),
    KEY("tx_pps", send.operations, RATE),
    KEY("tx_pps_burst", send.operations_burst, RATE),
    KEY("restrict", restricted, FLAG),
    {.name = "vhost", .type = CONFIG_KEY_OTHER, .set = set_vhost},
    {.name = "hostfwd", .type = CONFIG_KEY_OTHER, .set = add_forward},
    {.name = "egress", .type = CONFIG_KEY_OTHER, .set = set_egress},
    {.name = "allow", .type = CONFIG_KEY_OTHER, .set = add_allow},
};

static const char known[] = "queues, vhost, mac, mtu, hostfwd, restrict, egress, allow, and rx_ and "
                            "tx_ with bps, bps_burst, pps and pps_burst";

static int set_fd(struct husk_net *net, const char *value, struct err *err)
{
    char *end;
    unsigned long fd = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || fd > INT_MAX)
        return err_set(err, -EINVAL, "fd: \"%.40s\" is no descriptor's number", value);
    net->fd = (int)fd;
    return 0;
}

/* "tap=NAME", "stream=PATH", "fd=N" or "user[=PROGRAM]". */
static int apply_kind(struct husk_net *net, const char *part, struct err *err)
{
    const char *value = strchr(part, '=');
    size_t length = value ? (size_t)(value - part) : 0;

    *net = (struct husk_net){.fd = -1};
    if (strcmp(part, "user") == 0) {
        net->kind = HUSK_NET_USER;
        return 0;
    }
    if (length == 4 && memcmp(part, "user", 4) == 0)
        net->kind = HUSK_NET_USER;
    else if (length == 3 && memcmp(part, "tap", 3) == 0)
        net->kind = HUSK_NET_TAP;
    else if (length == 6 && memcmp(part, "stream", 6) == 0)
        net->kind = HUSK_NET_STREAM;
    else if (length == 2 && memcmp(part, "fd", 2) == 0)
        net->kind = HUSK_NET_FD;
    else
        return err_set(err, -EINVAL, "\"%.40s\" is no kind of network; begin with user, "
                                     "tap=NAME, stream=PATH or fd=N", part);
    if (net->kind == HUSK_NET_FD)
        return set_fd(net, value + 1, err);
    net->name = value + 1;
    return 0;
}

static int add_net(struct husk_config *config, const char *option, struct err *err)
{
    struct husk_net net = {.fd = -1};
    bool first = true;
    int rc = 0;

    while (option && rc == 0) {
        char *part = config_take_part(config, &option);

        if (!part)
            rc = err_set(err, -ENOMEM, "out of memory");
        else
            rc = first ? apply_kind(&net, part, err)
                       : config_apply_key(config, &net, keys, COUNT(keys), part, known, err);
        first = false;
    }
    if (rc == 0)
        rc = config_check_net(&net, err);
    return rc ? rc : config_append_net(config, &net, err);
}

int husk_config_add_net(struct husk_config *config, const char *option,
                        struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};
    int rc = config_open(config, &view, &err);

    if (rc == 0) {
        rc = add_net(&view.config, option, &err);
        rc = config_close(&view, config, rc, &err);
    }
    if (rc == 0)
        return 0;
    err_prefix(&err, "net \"%.200s\"", option);
    return public_err_pass(public_err, &err);
}
