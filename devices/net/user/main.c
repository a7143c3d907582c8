/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk-net-user: user-mode networking for one guest, in a process of its own.
 *
 * husk starts it for --net user (devices/net/user_process.c). Standard input is the guest: a
 * stream socket with frames both ways. Standard output takes a line each time there is something
 * to say:
 *
 *     note TEXT           a part of the lock-down that this host does not allow
 *     failed ERRNO TEXT   it does not start, and why; the end
 *     ready               ports are taken, the process is locked down, frames are served
 *
 * It ends with its peer. Where standard output is a socket too, its end kills the process by
 * SIGIO, whatever it is doing; a parent's death signal would follow a thread, not the process.
 */
#include "devices/net/user/confine.h"
#include "devices/net/user/frames.h"
#include "devices/net/user/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: husk-net-user [OPTIONS] 0<>SOCKET\n"
    "\n"
    "Gives the guest behind a stream socket, on which each Ethernet frame has its length in front\n"
    "(4 bytes, big-endian), a network: DHCP, DNS, and NAT to what this host reaches. The guest is\n"
    "10.0.2.15, the gateway and host 10.0.2.2, the name server 10.0.2.3.\n"
    "\n"
    "  --hostfwd tcp|udp:[HOSTADDRESS]:HOSTPORT:[GUESTADDRESS]:GUESTPORT\n"
    "                 a port of this host that leads to the guest; the addresses are 127.0.0.1\n"
    "                 and 10.0.2.15 if they are left out. Can be given 64 times\n"
    "  --restrict     the same as --egress deny\n"
    "  --egress deny  the guest reaches what is allowed; forwards lead in\n"
    "  --allow [tcp:|udp:]TARGET[:PORT[-PORT]]\n"
    "                 allows a target: an address, CIDR, NAME, *.NAME, host (this host's 127.0.0.1,\n"
    "                 by port) or any; egress is denied otherwise. Can be given 64 times\n"
    "  --mtu BYTES    the largest packet, 576 to 65520 (default 65520)\n"
    "  -h, --help     this text\n"
    "\n"
    "It is made to be started by 'husk run --net user'.\n";

enum { STATUS_FAILURE = 1, STATUS_USAGE = 2 };

struct arguments {
    struct net_forward forwards[NET_FORWARDS_MAX];
    struct net_egress allows[NET_EGRESS_MAX];
    struct stack_options stack;
};

/* --- what is said --- */

static void say(const char *line)
{
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        _exit(STATUS_FAILURE); /* nobody is there any more */
}

static void note(const char *text)
{
    char line[ERR_MESSAGE_MAX];

    snprintf(line, sizeof line, "note %s\n", text);
    say(line);
}

static void fail(const struct err *err)
{
    char line[ERR_MESSAGE_MAX + 32];

    snprintf(line, sizeof line, "failed %d %s\n", -err->code, err->message);
    say(line);
}

/* --- arguments --- */

static int add_forward(struct arguments *arguments, const char *text, struct err *err)
{
    struct net_forward *forward = &arguments->forwards[arguments->stack.forward_count];

    if (arguments->stack.forward_count == NET_FORWARDS_MAX)
        return err_set(err, -ENOSPC, "hostfwd %s: is one too many; give at most %u", text,
                       NET_FORWARDS_MAX);
    if (net_forward_parse(forward, text, err) < 0) {
        err_prefix(err, "hostfwd %s", text);
        return -EINVAL;
    }
    arguments->stack.forward_count++;
    return 0;
}

static int add_allow(struct arguments *arguments, const char *text, struct err *err)
{
    struct net_egress *rule = &arguments->allows[arguments->stack.allow_count];

    if (arguments->stack.allow_count == NET_EGRESS_MAX)
        return err_set(err, -ENOSPC, "allow %.100s: is one too many; give at most %u", text,
                       NET_EGRESS_MAX);
    if (net_egress_parse(rule, text, err) < 0) {
        err_prefix(err, "allow %.100s", text);
        return -EINVAL;
    }
    arguments->stack.allow_count++;
    arguments->stack.egress_denied = true;
    return 0;
}

static int deny_egress(struct arguments *arguments, const char *text, struct err *err)
{
    if (strcmp(text, "deny") != 0)
        return err_set(err, -EINVAL, "egress %.100s: can be \"deny\" only; leave it out", text);
    arguments->stack.egress_denied = true;
    return 0;
}

static int set_mtu(unsigned *mtu, const char *text, struct err *err)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end || value < STACK_MTU_MIN || value > STACK_MTU_MAX)
        return err_set(err, -EINVAL, "mtu %s: give a number from %u to %u", text, STACK_MTU_MIN,
                       STACK_MTU_MAX);
    *mtu = (unsigned)value;
    return 0;
}

/* A lower limit than ours stays in force. */
static unsigned descriptors_allowed(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max < STACK_DESCRIPTORS_MAX ? (unsigned)limit.rlim_max
                                                  : STACK_DESCRIPTORS_MAX;
}

static int parse(struct arguments *arguments, int argc, char **argv, bool *helped, struct err *err)
{
    static const struct option options[] = {
        {"hostfwd", required_argument, NULL, 'f'},
        {"restrict", no_argument, NULL, 'r'},
        {"egress", required_argument, NULL, 'e'},
        {"allow", required_argument, NULL, 'a'},
        {"mtu", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, rc = 0;

    *arguments = (struct arguments){
        .stack.mtu = STACK_MTU_MAX,
        .stack.descriptors = descriptors_allowed(),
    };
    while (rc == 0 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'f')
            rc = add_forward(arguments, optarg, err);
        else if (option == 'r')
            arguments->stack.egress_denied = true;
        else if (option == 'e')
            rc = deny_egress(arguments, optarg, err);
        else if (option == 'a')
            rc = add_allow(arguments, optarg, err);
        else if (option == 'm')
            rc = set_mtu(&arguments->stack.mtu, optarg, err);
        else if (option == 'h')
            *helped = true;
        else
            rc = err_set(err, -EINVAL, "unknown option; 'husk-net-user --help' lists them");
    }
    if (rc == 0 && optind < argc)
        rc = err_set(err, -EINVAL, "\"%s\" is one argument too many", argv[optind]);
    arguments->stack.forwards = arguments->forwards;
    arguments->stack.allows = arguments->allows;
    return rc;
}

/* --- the process --- */

static int check_socket(struct err *err)
{
    const int buffer = FRAME_SOCKET_BUFFER;
    socklen_t size = sizeof(int);
    int type;

    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
        return err_set(err, -ENOTSOCK, "standard input is no stream socket; "
                       "'husk run --net user' starts this program as it wants to be");
    setsockopt(STDIN_FILENO, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    return 0;
}

/* A connection that breaks is an error of that connection; the end of the parent is ours. */
static void set_signals(void)
{
    sigset_t none;
    struct stat out;

    sigemptyset(&none);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fstat(STDOUT_FILENO, &out) == 0 && S_ISSOCK(out.st_mode)) {
        fcntl(STDOUT_FILENO, F_SETOWN, getpid());
        fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_ASYNC);
    }
}

static int serve(const struct arguments *arguments, struct err *err)
{
    struct stack *stack = NULL;
    int rc = check_socket(err);

    rc = rc ?: stack_create(&stack, &arguments->stack, err);
    rc = rc ?: confine(note, arguments->stack.descriptors, err);
    if (rc) {
        fail(err);
    } else {
        say("ready\n");
        rc = stack_run(stack, STDIN_FILENO);
    }
    stack_destroy(stack);
    return rc ? STATUS_FAILURE : 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct err err = {0};
    bool helped = false;

    set_signals();
    opterr = 0; /* what is wrong is said on standard output */
    if (parse(&arguments, argc, argv, &helped, &err)) {
        fail(&err);
        return STATUS_USAGE;
    }
    if (helped) {
        fputs(help, stdout);
        return 0;
    }
    return serve(&arguments, &err);
}
