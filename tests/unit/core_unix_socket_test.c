/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to Unix sockets that are there, are not, or whose listeners hang. */
#include "core/unix_socket.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(type == SOCK_STREAM ? listen(fd, 0) : 0, 0);
    return fd;
}

static void connects_without_waiting(void **state)
{
    struct scratch scratch;
    struct err err = {0};
    char path[100];
    int listener, first, second;

    (void)state;
    scratch_open(&scratch);
    snprintf(path, sizeof path, "%s/socket", scratch.folder);
    listener = listen_at(path, SOCK_STREAM);
    first = unix_connect(path, &err);
    assert_true(first >= 0);
    assert_int_equal(fcntl(first, F_GETFL) & O_NONBLOCK, 0);
    alarm(60);
    while ((second = unix_connect(path, &err)) >= 0) /* a backlog of 0 has room for one or two */
        close(second);
    alarm(0);
    assert_failure(second, -EAGAIN, &err, "takes no more");
    close(first);
    close(listener);
    unlink(path);
    scratch_close(&scratch);
}

static void says_what_is_wrong_with_a_socket(void **state)
{
    struct scratch scratch;
    struct err err = {0};
    char path[200];
    int datagrams;

    (void)state;
    scratch_open(&scratch);
    snprintf(path, sizeof path, "%s/none", scratch.folder);
    assert_failure(unix_connect(path, &err), -ENOENT, &err, "start what listens there");
    assert_failure(unix_connect(scratch_file(&scratch, "file", 0), &err), -ECONNREFUSED, &err,
                   "start what listens there");
    datagrams = listen_at(path, SOCK_DGRAM);
    assert_failure(unix_connect(path, &err), -EPROTOTYPE, &err, "of type stream");
    close(datagrams);
    unlink(path);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_failure(unix_connect(path, &err), -ENAMETOOLONG, &err, "at most 107");
    scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_without_waiting),
        cmocka_unit_test(says_what_is_wrong_with_a_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
