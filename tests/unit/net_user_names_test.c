/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many questions of names are awaited at a time, with a name server of the test's own, in
 * namespaces in which it is the host's.
 */
#include "devices/net/user/names.h"
#include "support/apart.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_up_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0, "lo");
    close(fd);
}

static void take_resolv_conf(void)
{
    static const char text[] = "nameserver 127.0.0.77\n";
    char path[] = "/tmp/husk-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    must(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1, path);
    close(fd);
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
    must(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0, "/etc/resolv.conf");
    unlink(path);
}

static int open_server(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.77", &address.sin_addr);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "name server");
    return fd;
}

/* The answer to the question that came first: that there is nothing of the kind. */
static void answer_one(int server)
{
    struct sockaddr_in peer;
    socklen_t peer_size = sizeof peer;
    uint8_t message[DNS_MESSAGE_MAX];
    ssize_t size = recvfrom(server, message, sizeof message, 0, (struct sockaddr *)&peer, &peer_size);

    must(size > 12, "question");
    message[2] |= 0x80;
    must(sendto(server, message, (size_t)size, 0, (struct sockaddr *)&peer, peer_size) == size, "answer");
}

static struct dns_question question(void)
{
    static const uint8_t wire[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
    struct dns_question question;

    must(dns_read_question(&question, wire, sizeof wire) == 0, "question");
    return question;
}

static int ask_often(void *argument)
{
    const struct packet_ends asked = {.source = 1, .source_port = 2};
    const struct dns_question wanted = question();
    struct names *names = names_create();
    struct names_answer answer;
    int server;

    (void)argument;
    alarm(60);
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        return APART_CANNOT_TRY;
    set_up_loopback();
    take_resolv_conf();
    server = open_server();
    for (unsigned i = 0; i < NAMES_PENDING_MAX; i++)
        must(names_ask(names, &wanted, &asked, 100) == 0, "names_ask");
    must(names_ask(names, &wanted, &asked, 100) == -EBUSY, "one too many");
    answer_one(server);
    while (!names_take(names, &answer, 100)) /* the alarm ends it if it never comes */
        ;
    must(answer.asked.source_port == 2 && answer.message[0] == 0x12, "whose answer");
    must(names_ask(names, &wanted, &asked, 100) == 0, "room for one");
    must(names_ask(names, &wanted, &asked, 100) == -EBUSY, "and no more");
    must(names_ask(names, &wanted, &asked, 100 + NAMES_SECONDS) == 0, "they are forgotten");
    names_destroy(names);
    close(server);
    return 0;
}

static void no_more_questions_than_are_awaited(void **state)
{
    (void)state;
    run_apart(ask_often, NULL, "CAP_SYS_ADMIN, for namespaces of network and mounts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_questions_than_are_awaited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
