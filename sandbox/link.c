/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/link.h"

#include "agent/frame.h"
#include "sandbox/clock.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void set_deadline(int fd, unsigned ms)
{
    const struct timeval time = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000L};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

void link_wait_for_ever(int socket)
{
    set_deadline(socket, 0);
}

static int open_socket(const char *path, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return fd < 0 ? -errno : fd;
}

/* Asks for the port; the answer comes when the guest has accepted. */
static int ask(const char *path, uint32_t port)
{
    struct sockaddr_un address;
    char line[32];
    int fd = open_socket(path, &address), rc;

    if (fd < 0)
        return fd;
    set_deadline(fd, LINK_TIMEOUT_MS);
    snprintf(line, sizeof line, "CONNECT %u\n", port);
    rc = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    rc = rc ?: frame_send_bytes(fd, line, strlen(line));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static int64_t deadline_of(int fd)
{
    struct timeval time = {0};
    socklen_t size = sizeof time;

    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &size);
    return time.tv_sec * INT64_C(1000) + time.tv_usec / 1000;
}

int link_read_frame(int socket, struct frame_reader *reader)
{
    struct pollfd source = {.fd = socket, .events = POLLIN};
    int64_t deadline = clock_ms() + deadline_of(socket), left;
    int rc = 0;

    reader->flags = MSG_DONTWAIT;
    while (rc == 0 && (left = deadline - clock_ms()) > 0)
        if (poll(&source, 1, (int)left) > 0)
            rc = frame_reader_read(reader, socket);
    return rc;
}

/* "OK <number>\n", read no further than its end, for what follows is the guest's. */
static int await_answer(int fd)
{
    char line[32];

    for (size_t size = 0; size < sizeof line; size++) {
        int rc = frame_receive_bytes(fd, line + size, 1);

        if (rc)
            return rc;
        if (line[size] == '\n')
            return strncmp(line, "OK ", 3) == 0 ? 0 : -EPROTO;
    }
    return -EPROTO;
}

static int explain(int rc, struct husk_err *err)
{
    if (rc == -EAGAIN)
        return fail(err, HUSK_ERR_SELF, -ETIMEDOUT, "the sandbox's agent does not answer");
    return fail(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox has ended, or its agent is gone (%s)",
                strerror(-rc));
}

int link_connect(const char *path, uint32_t port, int *sockets, unsigned count,
                 struct husk_err *err)
{
    unsigned asked = 0;
    int rc = 0;

    while (rc == 0 && asked < count) {
        sockets[asked] = ask(path, port);
        if (sockets[asked] < 0)
            rc = sockets[asked];
        else
            asked++;
    }
    for (unsigned i = 0; i < asked && rc == 0; i++)
        rc = await_answer(sockets[i]);
    if (rc == 0)
        return 0;
    while (asked > 0)
        close(sockets[--asked]);
    return explain(rc, err);
}

int link_listen(const char *path, uint32_t port, struct husk_err *err)
{
    struct sockaddr_un address;
    char name[sizeof address.sun_path];
    int fd, rc;

    if ((size_t)snprintf(name, sizeof name, "%s_%u", path, port) >= sizeof name)
        return fail(err, HUSK_ERR_INPUT, -ENAMETOOLONG, "the path %s is too long for a socket", path);
    fd = open_socket(name, &address);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0)
        return fd;
    rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot listen on %s", name);
    if (fd >= 0)
        close(fd);
    return rc;
}
