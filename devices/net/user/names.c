/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define STRANGERS_MAX 64u /* datagrams in a row that answer nothing */

struct pending {
    uint32_t expires; /* seconds; 0: it is free */
    uint16_t id;
    struct packet_ends asked;
    struct dns_question question;
};

struct names {
    int fd;
    bool failing; /* all that is pending is to be told so */
    struct pending pending[NAMES_PENDING_MAX];
};

struct names *names_create(void)
{
    struct names *names = calloc(1, sizeof *names);

    if (names)
        names->fd = -1;
    return names;
}

static void close_socket(struct names *names)
{
    if (names->fd >= 0)
        close(names->fd);
    names->fd = -1;
    names->failing = false;
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    close_socket(names);
    free(names);
}

int names_fd(const struct names *names)
{
    return names->fd;
}

/* --- the name server --- */

/* The first one of IPv4. */
static int find_server(struct sockaddr_in *server)
{
    FILE *file = fopen(RESOLV_CONF, "re");
    char line[256], address[INET_ADDRSTRLEN];
    int rc = -ENOENT;

    if (!file)
        return -ENOENT;
    *server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    while (rc && fgets(line, sizeof line, file))
        if (sscanf(line, " nameserver %15s", address) == 1 &&
            inet_pton(AF_INET, address, &server->sin_addr) == 1)
            rc = 0;
    fclose(file);
    return rc;
}

static int open_socket(struct names *names)
{
    struct sockaddr_in server;
    int rc = find_server(&server);

    if (rc)
        return rc;
    names->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (names->fd < 0)
        return -errno;
    if (connect(names->fd, (const struct sockaddr *)&server, sizeof server) == 0)
        return 0;
    rc = -errno;
    close_socket(names);
    return rc;
}

/* --- what is pending --- */

static bool any_pending(const struct names *names, uint32_t now)
{
    for (unsigned i = 0; i < NAMES_PENDING_MAX; i++)
        if (names->pending[i].expires > now)
            return true;
    return false;
}

static struct pending *find_pending(struct names *names, uint16_t id, uint32_t now)
{
    for (unsigned i = 0; i < NAMES_PENDING_MAX; i++)
        if (names->pending[i].id == id && names->pending[i].expires > now)
            return &names->pending[i];
    return NULL;
}

static struct pending *find_room(struct names *names, uint32_t now)
{
    for (unsigned i = 0; i < NAMES_PENDING_MAX; i++)
        if (names->pending[i].expires <= now)
            return &names->pending[i];
    return NULL;
}

/* One that no other question has, and nobody can know. */
static int choose_id(struct names *names, uint32_t now, uint16_t *id)
{
    do {
        if (getrandom(id, sizeof *id, GRND_NONBLOCK) != sizeof *id)
            return -EAGAIN;
    } while (find_pending(names, *id, now));
    return 0;
}

/* --- asking --- */

int names_ask(struct names *names, const struct dns_question *question,
              const struct packet_ends *asked, uint32_t now)
{
    uint8_t message[DNS_MESSAGE_MAX];
    struct pending *pending = find_room(names, now);
    uint16_t id = 0;
    size_t size;
    int rc;

    if (!pending)
        return -EBUSY;
    if (!any_pending(names, now))
        close_socket(names);
    rc = names->fd < 0 ? open_socket(names) : 0;
    rc = rc ?: choose_id(names, now, &id);
    if (rc)
        return rc;
    size = dns_write_question(question, id, message);
    if (send(names->fd, message, size, MSG_NOSIGNAL) < 0)
        return -errno;
    *pending = (struct pending){
        .expires = now + NAMES_SECONDS, .id = id, .asked = *asked, .question = *question};
    return 0;
}

/* --- answers --- */

static void finish(struct names *names, struct pending *pending, struct names_answer *answer,
                   uint32_t now)
{
    answer->asked = pending->asked;
    answer->question = pending->question;
    pending->expires = 0;
    if (!any_pending(names, now))
        close_socket(names);
}

static bool take_failure(struct names *names, struct names_answer *answer, uint32_t now)
{
    for (unsigned i = 0; i < NAMES_PENDING_MAX; i++) {
        struct pending *pending = &names->pending[i];

        if (pending->expires <= now)
            continue;
        answer->size = dns_write_error(&pending->question, DNS_SERVER_FAILURE, answer->message);
        finish(names, pending, answer, now);
        return true;
    }
    close_socket(names);
    return false;
}

bool names_take(struct names *names, struct names_answer *answer, uint32_t now)
{
    for (unsigned i = 0; i < STRANGERS_MAX && names->fd >= 0 && !names->failing; i++) {
        ssize_t got = recv(names->fd, answer->message, sizeof answer->message, 0);
        struct pending *pending = NULL;

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (got < 0)
            names->failing = true;
        else if (got >= 2)
            pending = find_pending(names, (uint16_t)(answer->message[0] << 8 | answer->message[1]),
                                   now);
        if (!pending || !dns_is_answer(&pending->question, pending->id, answer->message, (size_t)got))
            continue;
        answer->size = (size_t)got;
        dns_set_id(answer->message, pending->question.id);
        finish(names, pending, answer, now);
        return true;
    }
    return names->failing && take_failure(names, answer, now);
}
