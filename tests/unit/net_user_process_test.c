/* SPDX-License-Identifier: Apache-2.0 */
/* husk-net-user as a child: what it says is understood, and nothing of it is left behind. */
#include "devices/net/user_process.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is logged, one line at most. */
static char logged[512];

static void keep_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    snprintf(logged, sizeof logged, "%s", line);
}

static const struct log logger = {.sink = keep_line, .level = LOG_LEVEL_DEBUG};

static unsigned open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Nothing of ours is open that was not before, and there is no child, dead or alive. */
static void assert_nothing_left(unsigned descriptors)
{
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Starts, waits and ends: the result of it all. */
static int try(const struct net_user_options *options, struct err *err)
{
    unsigned descriptors = open_descriptors();
    struct net_user *user = NULL;
    struct net *net = NULL;
    int rc = net_user_start(&user, &net, options, err);

    if (rc == 0)
        rc = net_user_await(user, &logger, err);
    net_close(net);
    net_user_stop(user);
    assert_nothing_left(descriptors);
    return rc;
}

static void starts_and_ends_without_a_trace(void **state)
{
    const struct net_user_options options = {.program = HUSK_NET_USER, .mtu = 1500};
    struct err err = {0};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        if (try(&options, &err))
            fail_msg("%s", err.message);
}

/* A listening socket on a free port of the loopback, and that port. */
static int take_port(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void says_which_forward_is_not_possible(void **state)
{
    struct net_forward forward;
    const struct net_user_options options = {
        .program = HUSK_NET_USER, .mtu = 1500, .forwards = &forward, .forward_count = 1};
    struct err err = {0};
    char message[64];
    uint16_t port;
    int fd = take_port(&port);

    (void)state;
    assert_int_equal(net_forward_parse(&forward, "tcp:1:22", NULL), 0);
    forward.host_port = port;
    snprintf(message, sizeof message, "port %u is taken; choose another", port);
    assert_failure(try(&options, &err), -EADDRINUSE, &err, message);
    close(fd);
    if (try(&options, &err))
        fail_msg("%s", err.message);
}

static void gives_the_child_what_is_allowed(void **state)
{
    static const char *const allows[] = {"192.0.2.0/24:443", "nonsense/"};
    struct net_user_options options = {.program = HUSK_NET_USER, .mtu = 1500, .egress_denied = true,
                                       .allows = allows, .allow_count = 1};
    struct err err = {0};

    (void)state;
    if (try(&options, &err))
        fail_msg("%s", err.message);
    options.allow_count = 2;
    assert_failure(try(&options, &err), -EINVAL, &err, "allow nonsense/: ");
}

static void says_where_the_program_should_be(void **state)
{
    struct net_user_options options = {.program = "/nonexistent/husk-net-user", .mtu = 1500};
    struct err err = {0};

    (void)state;
    assert_failure(try(&options, &err), -ENOENT, &err, "cannot run \"/nonexistent/husk-net-user\"");
    options.program = NULL; /* which it is not: tests have a folder of their own */
    assert_failure(try(&options, &err), -ENOENT, &err, "install it there, or say where it is");
}

/* A program that says `text`, and ends. */
static int try_program_saying(struct scratch *scratch, const char *text, struct err *err)
{
    const struct net_user_options options = {.program = scratch_file(scratch, "fake", 0),
                                             .mtu = 1500};
    FILE *file = fopen(scratch->path, "we");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nprintf '%s'\n", text);
    fclose(file);
    chmod(scratch->path, 0700);
    return try(&options, err);
}

static void understands_what_the_program_says(void **state)
{
    struct scratch scratch;
    struct err err = {0};

    (void)state;
    scratch_open(&scratch);
    assert_int_equal(try_program_saying(&scratch, "note is rather open\\nready\\n", &err), 0);
    assert_string_equal(logged, "network user: husk-net-user is rather open");
    assert_failure(try_program_saying(&scratch, "failed 13 no; ask\\n", &err), -EACCES, &err,
                   "no; ask");
    assert_failure(try_program_saying(&scratch, "", &err), -ECHILD, &err, "ended before it was");
    assert_failure(try_program_saying(&scratch, "read", &err), -ECHILD, &err, "ended before it was");
    assert_failure(try_program_saying(&scratch, "hello\\n", &err), -EPROTO, &err,
                   "says \"hello\"; install the one");
    assert_failure(try_program_saying(&scratch, "failed 0 x\\n", &err), -EPROTO, &err, "says");
    assert_failure(try_program_saying(&scratch, "%01000d", &err), -ECHILD, &err, "ended before");
    scratch_close(&scratch);
}

/* A shell in the program's place tells what it has. */
static void gives_the_child_nothing_of_ours(void **state)
{
    static const char list[] =
        "note descriptors'; echo /proc/self/fd/* | tr -d '/a-z\\n'; env | "
        "grep -vE '^(PWD|OLDPWD|SHLVL|_)=' | tr -d '\\n'; printf '\nready\n";
    int leaky = fcntl(STDERR_FILENO, F_DUPFD, 77); /* not closed by exec */
    struct scratch scratch;
    struct err err = {0};

    (void)state;
    scratch_open(&scratch);
    assert_int_equal(setenv("HUSK_TEST_SECRET", "x", 1), 0);
    if (try_program_saying(&scratch, list, &err))
        fail_msg("%s", err.message);
    assert_non_null(strstr(logged, "husk-net-user descriptors0 1 2 "));
    assert_null(strstr(logged, "77"));
    assert_null(strstr(logged, "SECRET"));
    unsetenv("HUSK_TEST_SECRET");
    scratch_close(&scratch);
    close(leaky);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_and_ends_without_a_trace),
        cmocka_unit_test(says_which_forward_is_not_possible),
        cmocka_unit_test(gives_the_child_what_is_allowed),
        cmocka_unit_test(says_where_the_program_should_be),
        cmocka_unit_test(understands_what_the_program_says),
        cmocka_unit_test(gives_the_child_nothing_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
