/* SPDX-License-Identifier: Apache-2.0 */
/* Where a vsock listens: what may be there before, and what is there afterwards. */
#include "devices/vsock/vsock.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CID 3u

struct fixture {
    struct scratch scratch;
    char path[96];
};

static int open_fixture(void **state)
{
    static struct fixture f;

    scratch_open(&f.scratch);
    snprintf(f.path, sizeof f.path, "%s/vsock", f.scratch.folder);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    scratch_close(&((struct fixture *)*state)->scratch);
    return 0;
}

static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static int bound_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void the_socket_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    struct vsock *vsock;
    struct stat status;

    assert_int_equal(vsock_open(&vsock, f->path, CID, NULL), 0);
    assert_int_equal(stat(f->path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(vsock_cid(vsock), CID);
    vsock_close(vsock);
    assert_false(exists(f->path));
    vsock_close(NULL);
}

static void a_socket_that_was_left_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct vsock *vsock;
    struct err err;

    close(bound_socket(f->path));
    assert_true(exists(f->path));
    if (vsock_open(&vsock, f->path, CID, &err))
        fail_msg("%s", err.message);
    vsock_close(vsock);
    assert_false(exists(f->path));
}

static void a_socket_in_use_stays(void **state)
{
    struct fixture *f = *state;
    struct vsock *vsock, *second;
    struct err err;

    assert_int_equal(vsock_open(&vsock, f->path, CID, NULL), 0);
    assert_failure(vsock_open(&second, f->path, CID, &err), -EADDRINUSE, &err,
                   "somebody listens there");
    assert_true(exists(f->path));
    vsock_close(vsock);
}

static void another_file_stays(void **state)
{
    struct fixture *f = *state;
    struct vsock *vsock;
    struct err err;

    scratch_file(&f->scratch, "vsock", 10);
    assert_failure(vsock_open(&vsock, f->path, CID, &err), -EEXIST, &err, "no socket");
    assert_true(exists(f->path));
}

/* What somebody has put in the place of ours is not ours to remove. */
static void another_socket_stays(void **state)
{
    struct fixture *f = *state;
    struct vsock *vsock;
    int other;

    assert_int_equal(vsock_open(&vsock, f->path, CID, NULL), 0);
    unlink(f->path);
    other = bound_socket(f->path);
    vsock_close(vsock);
    assert_true(exists(f->path));
    close(other);
}

static void no_place_for_a_socket(void **state)
{
    struct fixture *f = *state;
    char path[160] = "";
    struct vsock *vsock;
    struct err err;

    snprintf(path, sizeof path, "%s/none/vsock", f->scratch.folder);
    assert_failure(vsock_open(&vsock, path, CID, &err), -ENOENT, &err, "check the folder");
    memset(path, 'x', VSOCK_PATH_MAX + 1);
    path[VSOCK_PATH_MAX + 1] = '\0';
    assert_failure(vsock_open(&vsock, path, CID, &err), -ENAMETOOLONG, &err, "shorter");
}

/* The longest path that is taken has room for a port behind it. */
static void the_longest_path(void **state)
{
    struct fixture *f = *state;
    char path[VSOCK_PATH_MAX + 1];
    struct vsock *vsock;
    int length = snprintf(path, sizeof path, "%s/", f->scratch.folder);

    memset(path + length, 'x', VSOCK_PATH_MAX - (size_t)length);
    path[VSOCK_PATH_MAX] = '\0';
    assert_int_equal(vsock_open(&vsock, path, CID, NULL), 0);
    vsock_close(vsock);
    assert_false(exists(path));
    assert_in_range(sizeof((struct sockaddr_un *)0)->sun_path, VSOCK_PATH_MAX + 12, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_socket_comes_and_goes),
        TEST(a_socket_that_was_left_is_replaced),
        TEST(a_socket_in_use_stays),
        TEST(another_file_stays),
        TEST(another_socket_stays),
        TEST(no_place_for_a_socket),
        TEST(the_longest_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
