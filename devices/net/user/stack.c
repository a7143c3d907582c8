/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/stack.h"
#include "devices/net/user/frames.h"
#include "devices/net/user/names.h"
#include "devices/net/user/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How far the guest may be behind before the sockets wait for it. */
#define OUTPUT_PAUSE (FRAME_OUTPUT_SIZE / 2)

/* How much is queued before it is written, though there is more to come in the same turn. */
#define OUTPUT_BATCH (128u << 10)

/* Descriptors that are not the guest's: standard ones, forwards, files opened for a moment. */
#define DESCRIPTORS_KEPT (NET_FORWARDS_MAX + 16)

/* Of what is polled, the first: the guest and the name server. */
#define POLLED_OWN 2u

/* Reads of the guest's socket in one turn of the loop; then the others are served. */
#define FILLS_MAX 4

struct stack {
    Slirp *slirp;
    struct frame_input input;
    struct frame_output output;
    int fd;    /* the guest */
    int error; /* of writing to it */

    /* Listening for forwards; the sockets of connections are only counted. */
    int listeners[NET_FORWARDS_MAX];
    unsigned listener_count;
    unsigned sockets;
    unsigned descriptors; /* the process's limit */

    struct policy *policy; /* NULL: all passes */
    struct names *names;   /* where there is a policy */

    struct pollfd polled[POLLED_OWN + STACK_DESCRIPTORS_MAX]; /* the guest, names, libslirp's */
    unsigned polled_count;
};

/* --- what libslirp asks for --- */

static void flush(struct stack *stack)
{
    int rc = frame_output_flush(&stack->output, stack->fd);

    if (rc < 0)
        stack->error = rc;
}

/* A frame without room is lost, as on any network. */
static void emit(struct stack *stack, const uint8_t *frame, size_t size)
{
    frame_output_put(&stack->output, frame, size);
    if (stack->output.size >= OUTPUT_BATCH)
        flush(stack);
}

static uint32_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec;
}

static ssize_t send_packet(const void *frame, size_t size, void *opaque)
{
    struct stack *stack = opaque;

    if (stack->policy)
        policy_see(stack->policy, frame, size, seconds());
    emit(stack, frame, size);
    return (ssize_t)size;
}

/* The guest's mistakes are its own; it shall not fill a log with them. */
static void guest_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static int64_t clock_get_ns(void *opaque)
{
    struct timespec now;

    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Both are also called for sockets that could not be made, which are -1. */
static void register_socket(int fd, void *opaque)
{
    struct stack *stack = opaque;

    if (fd >= 0)
        stack->sockets++;
}

static void unregister_socket(int fd, void *opaque)
{
    struct stack *stack = opaque;

    if (fd >= 0 && stack->sockets > 0)
        stack->sockets--;
}

/* For other threads than the loop's, of which there are none. */
static void notify(void *opaque)
{
    (void)opaque;
}

/* Timers are IPv6's alone, which is off. */
static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .register_poll_fd = register_socket,
    .unregister_poll_fd = unregister_socket,
    .notify = notify,
};

/* --- making it --- */

/* libslirp lets a datagram port be taken twice (SO_REUSEADDR); only a bind without that tells. */
static int probe_datagram_port(const struct net_forward *forward)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(forward->host),
                                        .sin_port = htons(forward->host_port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = 0;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int explain(const struct net_forward *forward, int rc, struct err *err)
{
    char rule[NET_FORWARD_TEXT_MAX];

    net_forward_print(forward, rule);
    switch (rc) {
    case -EADDRINUSE:
        return err_set(err, rc, "hostfwd %s: port %u is taken; choose another", rule,
                       forward->host_port);
    case -EACCES:
        return err_set(err, rc, "hostfwd %s: port %u takes privilege; choose one from 1024 up",
                       rule, forward->host_port);
    case -EADDRNOTAVAIL:
        return err_set(err, rc, "hostfwd %s: this host does not have that address; leave it out "
                       "for 127.0.0.1, or give 0.0.0.0 for all", rule);
    default:
        return err_sys(err, rc, "hostfwd %s: cannot take the port", rule);
    }
}

static int add_forward(struct stack *stack, const struct net_forward *forward, struct err *err)
{
    const struct in_addr host = {htonl(forward->host)}, guest = {htonl(forward->guest)};
    int rc = forward->udp ? probe_datagram_port(forward) : 0;

    if (rc == 0 && slirp_add_hostfwd(stack->slirp, forward->udp, host, forward->host_port, guest,
                                     forward->guest_port) < 0)
        rc = errno ? -errno : -EIO;
    return rc ? explain(forward, rc, err) : 0;
}

/*
 * Before there is a guest, the sockets to be polled are those of the forwards. libslirp lets one
 * connection wait for each; more can.
 */
static int add_listener(int fd, int events, void *opaque)
{
    struct stack *stack = opaque;

    (void)events;
    if (stack->listener_count < NET_FORWARDS_MAX)
        stack->listeners[stack->listener_count++] = fd;
    listen(fd, SOMAXCONN); /* not for datagrams, where it fails */
    return -1;
}

static struct in_addr member(uint32_t last)
{
    return (struct in_addr){htonl(NET_USER_NETWORK | last)};
}

static int create_slirp(struct stack *stack, const struct stack_options *options, struct err *err)
{
    const SlirpConfig config = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = member(0),
        .vnetmask.s_addr = htonl(NET_USER_MASK),
        .vhost = member(NET_USER_HOST),
        .vnameserver = member(NET_USER_NAMESERVER),
        .vdhcp_start = member(NET_USER_GUEST),
        .if_mtu = options->mtu,
        .if_mru = options->mtu,
    };

    stack->slirp = slirp_new(&config, &callbacks, stack);
    return stack->slirp ? 0 : err_set(err, -EINVAL, "libslirp does not start");
}

/* Those that this host has now; who has a new one later gives rules for addresses. */
static int guard_own_addresses(struct policy *policy, struct err *err)
{
    struct ifaddrs *all;
    int rc = 0;

    if (getifaddrs(&all) < 0)
        return err_sys(err, -errno, "cannot find out this host's addresses");
    for (const struct ifaddrs *one = all; one && rc == 0; one = one->ifa_next)
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET)
            rc = policy_guard(policy, ntohl(((const struct sockaddr_in *)one->ifa_addr)->sin_addr.s_addr));
    freeifaddrs(all);
    return rc ? err_set(err, rc, "out of memory") : 0;
}

static int create_policy(struct stack *stack, const struct stack_options *options, struct err *err)
{
    if (!options->egress_denied)
        return 0;
    stack->policy = policy_create(options->allows, options->allow_count, options->forwards,
                                  options->forward_count);
    stack->names = names_create();
    if (!stack->policy || !stack->names)
        return err_set(err, -ENOMEM, "out of memory");
    return guard_own_addresses(stack->policy, err);
}

int stack_create(struct stack **out, const struct stack_options *options, struct err *err)
{
    struct stack *stack = calloc(1, sizeof *stack);
    uint32_t timeout = UINT32_MAX;
    int rc;

    if (!stack)
        return err_set(err, -ENOMEM, "out of memory");
    stack->descriptors = options->descriptors;
    rc = create_policy(stack, options, err);
    rc = rc ?: create_slirp(stack, options, err);
    for (unsigned i = 0; i < options->forward_count && rc == 0; i++)
        rc = add_forward(stack, &options->forwards[i], err);
    if (rc) {
        stack_destroy(stack);
        return rc;
    }
    slirp_pollfds_fill(stack->slirp, &timeout, add_listener, stack);
    *out = stack;
    return 0;
}

void stack_destroy(struct stack *stack)
{
    if (!stack)
        return;
    if (stack->slirp)
        slirp_cleanup(stack->slirp);
    policy_destroy(stack->policy);
    names_destroy(stack->names);
    free(stack);
}

/* --- running it --- */

static bool is_listener(const struct stack *stack, int fd)
{
    for (unsigned i = 0; i < stack->listener_count; i++)
        if (stack->listeners[i] == fd)
            return true;
    return false;
}

/* What shall not be read now: from any socket while the guest does not take its frames, and from
 * listeners while there is no descriptor for what they would accept. */
static bool must_wait(const struct stack *stack, int fd)
{
    bool crowded = stack->sockets + DESCRIPTORS_KEPT >= stack->descriptors;

    return stack->output.size >= OUTPUT_PAUSE || (crowded && is_listener(stack, fd));
}

/* An entry without events is left out (-1), or poll() would still return for its errors. */
static int add_poll(int fd, int events, void *opaque)
{
    struct stack *stack = opaque;
    unsigned index = stack->polled_count;
    short wanted = 0;

    if (index == sizeof stack->polled / sizeof stack->polled[0])
        return -1;
    if (events & SLIRP_POLL_OUT)
        wanted |= POLLOUT;
    if (!must_wait(stack, fd)) {
        wanted |= events & SLIRP_POLL_IN ? POLLIN : 0;
        wanted |= events & SLIRP_POLL_PRI ? POLLPRI : 0;
    }
    stack->polled[index] = (struct pollfd){.fd = wanted ? fd : -1, .events = wanted};
    stack->polled_count++;
    return (int)index;
}

static int get_revents(int index, void *opaque)
{
    const struct stack *stack = opaque;
    short seen = stack->polled[index].revents;
    int events = 0;

    events |= seen & POLLIN ? SLIRP_POLL_IN : 0;
    events |= seen & POLLOUT ? SLIRP_POLL_OUT : 0;
    events |= seen & POLLPRI ? SLIRP_POLL_PRI : 0;
    events |= seen & POLLERR ? SLIRP_POLL_ERR : 0;
    events |= seen & POLLHUP ? SLIRP_POLL_HUP : 0;
    return events;
}

static int wait(struct stack *stack)
{
    uint32_t timeout = UINT32_MAX;

    stack->polled[0] = (struct pollfd){.fd = stack->fd, .events = POLLIN};
    if (stack->output.size > 0)
        stack->polled[0].events |= POLLOUT;
    stack->polled[1] = (struct pollfd){.fd = stack->names ? names_fd(stack->names) : -1,
                                       .events = POLLIN};
    stack->polled_count = POLLED_OWN;
    slirp_pollfds_fill(stack->slirp, &timeout, add_poll, stack);
    return poll(stack->polled, stack->polled_count, timeout > INT32_MAX ? -1 : (int)timeout);
}

static void send_message(struct stack *stack, const struct packet_ends *asked, const uint8_t *message,
                         size_t size)
{
    uint8_t frame[POLICY_FRAME_MAX];

    memcpy(frame + PACKET_DATAGRAM_HEADER, message, size);
    emit(stack, frame, packet_write_datagram(asked, frame, size));
}

/* What it cannot ask fails at once. */
static void ask(struct stack *stack, const struct policy_result *result)
{
    uint8_t message[DNS_MESSAGE_MAX];

    if (names_ask(stack->names, &result->question, &result->asked, seconds()) < 0)
        send_message(stack, &result->asked, message,
                     dns_write_error(&result->question, DNS_SERVER_FAILURE, message));
}

/* What a name server says is learnt before the guest knows it. */
static void take_answers(struct stack *stack)
{
    struct names_answer answer;
    uint32_t now = seconds();

    while (names_take(stack->names, &answer, now)) {
        policy_learn(stack->policy, &answer.question, answer.message, answer.size, now);
        send_message(stack, &answer.asked, answer.message, answer.size);
    }
}

static void take_frame(struct stack *stack, const uint8_t *frame, size_t size)
{
    struct policy_result result;
    enum policy_verdict verdict =
        stack->policy ? policy_judge(stack->policy, frame, size, seconds(), &result) : POLICY_PASS;

    if (verdict == POLICY_PASS)
        slirp_input(stack->slirp, frame, (int)size);
    else if (verdict == POLICY_ANSWER)
        emit(stack, result.frame, result.size);
    else if (verdict == POLICY_ASK)
        ask(stack, &result);
}

/* 1: there may be more to read; 0: not now; -EPIPE: the peer is gone; or -errno. */
static int take_frames(struct stack *stack)
{
    ssize_t got = frame_input_fill(&stack->input, stack->fd);
    const uint8_t *frame;
    ssize_t size;

    if (got <= 0)
        return got == 0 ? -EPIPE : got == -EAGAIN || got == -EINTR ? 0 : (int)got;
    while ((size = frame_input_next(&stack->input, &frame)) > 0)
        take_frame(stack, frame, (size_t)size);
    return size < 0 ? (int)size : 1;
}

static int turn(struct stack *stack)
{
    int ready = wait(stack);
    int more = ready > 0 && stack->polled[0].revents & ~POLLOUT;

    for (unsigned i = 0; i < FILLS_MAX && more > 0; i++)
        more = take_frames(stack);
    if (more < 0)
        return more;
    if (ready > 0 && stack->polled[1].revents)
        take_answers(stack);
    slirp_pollfds_poll(stack->slirp, ready < 0, get_revents, stack);
    flush(stack);
    return stack->error;
}

int stack_run(struct stack *stack, int fd)
{
    int rc = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;

    stack->fd = fd;
    while (rc == 0)
        rc = turn(stack);
    return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
}
