/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-down, from the inside: what a process that was taken over could still do. */
#include "devices/net/user/confine.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignore_note(const char *line)
{
    (void)line;
}

/* Runs `attempt` locked down, in a process of its own, and returns what it returns. */
static int locked_down(int (*attempt)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err = {0};

        if (confine(ignore_note, 64, &err)) {
            fprintf(stderr, "%s\n", err.message);
            _exit(255);
        }
        syscall(SYS_exit_group, attempt()); /* _exit() under ASan makes calls that are denied */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int errno_of(long result)
{
    return result < 0 ? errno : 0;
}

static int open_password_file(void)
{
    return errno_of(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
}

static int list_files(void)
{
    return errno_of(syscall(SYS_getdents64, 0, NULL, 0));
}

static int write_resolv_conf(void)
{
    return errno_of(syscall(SYS_openat, AT_FDCWD, "/etc/resolv.conf", O_RDWR));
}

static int create_file(void)
{
    return errno_of(syscall(SYS_openat, AT_FDCWD, "/new", O_RDONLY | O_CREAT, 0600));
}

static int execute(void)
{
    return errno_of(syscall(SYS_execve, "/bin/sh", NULL, NULL));
}

static int start_process(void)
{
    return errno_of(syscall(SYS_clone, 17, NULL, NULL, NULL, NULL));
}

static int listen_on_port(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd < 0 ? 255 : errno_of(bind(fd, (const struct sockaddr *)&address, sizeof address));
}

static int reach_unix_sockets(void)
{
    return errno_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int make_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? errno : 0;
}

static int trace(void)
{
    return errno_of(syscall(SYS_ptrace, 0, 0, 0, 0));
}

static void denies_what_the_network_does_not_need(void **state)
{
    (void)state;
    assert_int_not_equal(locked_down(open_password_file), 0);
    assert_int_equal(locked_down(list_files), EPERM);
    assert_int_equal(locked_down(write_resolv_conf), EPERM);
    assert_int_equal(locked_down(create_file), EPERM);
    assert_int_equal(locked_down(execute), EPERM);
    assert_int_equal(locked_down(start_process), EPERM);
    assert_int_equal(locked_down(listen_on_port), EPERM);
    assert_int_equal(locked_down(reach_unix_sockets), EPERM);
    assert_int_equal(locked_down(make_code), EPERM);
    assert_int_equal(locked_down(trace), EPERM);
}

static int read_resolv_conf(void)
{
    char byte;
    int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, &byte, 1) >= 0 ? 0 : errno;
}

static int connect_to_host(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(9),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return errno_of(connect(fd, (const struct sockaddr *)&address, sizeof address));
}

static int take_memory(void)
{
    free(malloc(1 << 20));
    return 0;
}

static void leaves_what_the_network_needs(void **state)
{
    (void)state;
    if (access("/etc/resolv.conf", R_OK) == 0)
        assert_int_equal(locked_down(read_resolv_conf), 0);
    assert_int_equal(locked_down(connect_to_host), 0);
    assert_int_equal(locked_down(take_memory), 0);
}

/* --- in a container, whose root is somebody else outside --- */

/* Answers on `ready`, and then waits for the signal. */
static int wait_for_signal(int ready)
{
    char byte = 0;

    if (write(ready, &byte, 1) != 1)
        return 1;
    for (int i = 0; i < 1000; i++)
        poll(NULL, 0, 10); /* another one would be denied */
    return 2;
}

/* As husk-net-user does it; `mapped` says that this process's users are those of the container. */
static int live_in_container(int report, int mapped)
{
    struct err err = {0};
    char byte;

    if (unshare(CLONE_NEWUSER) < 0 || write(report, "u", 1) != 1 || read(mapped, &byte, 1) != 1 ||
        setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 || dup2(report, STDOUT_FILENO) < 0)
        return 3;
    fcntl(STDOUT_FILENO, F_SETOWN, getpid());
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_ASYNC);
    if (confine(ignore_note, 64, &err))
        return 4;
    return wait_for_signal(STDOUT_FILENO);
}

/* Root and nobody of the container are users 100000 and 165534 of the host. */
static bool map_users(pid_t pid)
{
    static const char *const names[] = {"uid_map", "gid_map"};
    static const char map[] = "0 100000 1\n65534 165534 1\n";
    bool mapped = true;

    for (unsigned i = 0; i < 2; i++) {
        char path[64];
        int fd;

        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        mapped = fd >= 0 && write(fd, map, sizeof map - 1) > 0 && mapped;
        close(fd);
    }
    return mapped;
}

static void dies_with_its_parent_in_a_container(void **state)
{
    int report[2], mapped[2], status;
    bool possible;
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, report), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, mapped), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(report[0]);
        close(mapped[0]);
        syscall(SYS_exit_group, live_in_container(report[1], mapped[1]));
    }
    close(report[1]);
    close(mapped[1]);
    possible = read(report[0], &byte, 1) == 1 && map_users(pid);
    if (possible) {
        assert_int_equal(write(mapped[0], "m", 1), 1);
        assert_int_equal(read(report[0], &byte, 1), 1);
    }
    close(report[0]);
    close(mapped[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!possible) {
        print_message("needs CAP_SETUID, to make a container of two users\n");
        skip();
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dies_with_its_parent_in_a_container),
        cmocka_unit_test(denies_what_the_network_does_not_need),
        cmocka_unit_test(leaves_what_the_network_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
