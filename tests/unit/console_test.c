/* SPDX-License-Identifier: Apache-2.0 */
/* The console on everything that a shell can put at its ends. */
#include "devices/console/console.h"
#include "support/failure.h"
#include "support/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

struct fixture {
    struct loop loop;
    struct console console;
    char received[4096]; /* by the front end */
    size_t received_size;
    unsigned input_calls;
    unsigned output_calls;
};

static void on_input(void *device)
{
    struct fixture *fixture = device;
    size_t room = sizeof fixture->received - fixture->received_size;

    fixture->input_calls++;
    fixture->received_size +=
        console_read(&fixture->console, fixture->received + fixture->received_size, room);
}

static void on_output(void *device)
{
    struct fixture *fixture = device;

    fixture->output_calls++;
}

static const struct console_front_end front_end = {on_input, on_output};

static void open_console(struct fixture *fixture, int in, int out)
{
    struct err err = {0};

    *fixture = (struct fixture){0};
    assert_int_equal(loop_open(&fixture->loop, &err), 0);
    if (console_open(&fixture->console, &fixture->loop, in, out, &err))
        fail_msg("%s", err.message);
    console_attach(&fixture->console, &front_end, fixture);
}

static void close_console(struct fixture *fixture)
{
    console_close(&fixture->console);
    loop_close(&fixture->loop);
}

static void serve(struct fixture *fixture)
{
    assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
}

static void assert_idle(struct fixture *fixture)
{
    assert_int_equal(pump(&fixture->loop, 0), 0);
}

static void make_pipe(int fds[2])
{
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static void assert_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

/* A terminal may hand over what was written in pieces. */
static void assert_reads(int fd, const char *text)
{
    char bytes[256] = {0};
    size_t size = 0;

    while (size < strlen(text)) {
        ssize_t count = read(fd, bytes + size, sizeof bytes - 1 - size);

        assert_true(count > 0);
        size += (size_t)count;
    }
    assert_string_equal(bytes, text);
}

static int temporary_file(const char *content)
{
    char path[] = "/tmp/husk-console-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    return fd;
}

static void copies_both_ways_over_pipes(void **state)
{
    struct fixture fixture;
    int in[2], out[2];

    (void)state;
    make_pipe(in);
    make_pipe(out);
    open_console(&fixture, in[0], out[1]);
    console_want_input(&fixture.console, true);
    assert_int_equal(write(in[1], "hello", 5), 5);
    serve(&fixture);
    assert_memory_equal(fixture.received, "hello", 5);
    assert_int_equal(console_write(&fixture.console, "world", 5), 5);
    assert_reads(out[0], "world");
    assert_blocking(in[0]);
    assert_blocking(out[1]);
    assert_int_equal(console_read(&fixture.console, fixture.received, 1), 0);
    assert_false(fixture.console.input_ended);
    close_console(&fixture);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static void reads_nothing_while_no_input_is_wanted(void **state)
{
    struct fixture fixture;
    int in[2];

    (void)state;
    make_pipe(in);
    open_console(&fixture, in[0], -1);
    assert_int_equal(write(in[1], "x", 1), 1);
    console_want_input(&fixture.console, true);
    console_want_input(&fixture.console, false);
    assert_idle(&fixture);
    assert_int_equal(fixture.input_calls, 0);
    console_want_input(&fixture.console, true);
    serve(&fixture);
    assert_int_equal(fixture.received_size, 1);
    close_console(&fixture);
    close(in[0]);
    close(in[1]);
}

static void sees_the_end_of_input_once(void **state)
{
    struct fixture fixture;
    int in[2];

    (void)state;
    make_pipe(in);
    open_console(&fixture, in[0], -1);
    close(in[1]);
    console_want_input(&fixture.console, true);
    serve(&fixture);
    assert_true(fixture.console.input_ended);
    console_want_input(&fixture.console, true);
    assert_idle(&fixture);
    assert_int_equal(fixture.input_calls, 1);
    close_console(&fixture);
    close(in[0]);
}

static void reads_a_regular_file_to_its_end(void **state)
{
    struct fixture fixture;
    int fd = temporary_file("skipped|content");

    (void)state;
    lseek(fd, 8, SEEK_SET);
    open_console(&fixture, fd, -1);
    console_want_input(&fixture.console, true);
    while (!fixture.console.input_ended)
        serve(&fixture);
    assert_int_equal(fixture.received_size, 7);
    assert_memory_equal(fixture.received, "content", 7);
    close_console(&fixture);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 15);
    close(fd);
}

static void appends_to_a_regular_file_where_its_owner_is(void **state)
{
    struct fixture fixture;
    int fd = temporary_file("12345");

    (void)state;
    open_console(&fixture, -1, fd);
    assert_int_equal(console_write(&fixture.console, "67", 2), 2);
    assert_int_equal(write(fd, "8", 1), 1);
    console_write_all(&fixture.console, "9", 1);
    close_console(&fixture);
    lseek(fd, 0, SEEK_SET);
    assert_reads(fd, "123456789");
    close(fd);
}

static void takes_dev_null_for_both(void **state)
{
    struct fixture fixture;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    open_console(&fixture, fd, fd);
    console_want_input(&fixture.console, true);
    serve(&fixture);
    assert_true(fixture.console.input_ended);
    assert_int_equal(console_write(&fixture.console, "gone", 4), 4);
    console_write_all(&fixture.console, "gone", 4);
    assert_int_equal(console_output_error(&fixture.console), 0);
    close_console(&fixture);
    close(fd);
}

static void takes_no_descriptors_at_all(void **state)
{
    struct fixture fixture;

    (void)state;
    open_console(&fixture, -1, -1);
    console_want_input(&fixture.console, true);
    assert_int_equal(console_read(&fixture.console, fixture.received, 1), 0);
    assert_int_equal(console_write(&fixture.console, "gone", 4), 4);
    console_write_all(&fixture.console, "gone", 4);
    close_console(&fixture);
}

static void refuses_a_closed_descriptor(void **state)
{
    struct fixture fixture = {0};
    struct err err = {0};
    int fd;

    (void)state;
    assert_int_equal(loop_open(&fixture.loop, &err), 0);
    fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 500); /* a number that nothing takes in between */
    close(fd);
    assert_failure(console_open(&fixture.console, &fixture.loop, -1, fd, &err), -EBADF, &err,
                   "console output");
    assert_failure(console_open(&fixture.console, &fixture.loop, fd, -1, &err), -EBADF, &err,
                   "console input");
    loop_close(&fixture.loop);
}

/* Fills the pipe until console_write() is short; returns how many bytes went in. */
static size_t fill(struct fixture *fixture)
{
    static const char bytes[8192];
    size_t total = 0, put;

    do {
        put = console_write(&fixture->console, bytes, sizeof bytes);
        total += put;
    } while (put == sizeof bytes);
    return total;
}

static void drain(int fd, size_t size)
{
    char bytes[8192];

    while (size > 0) {
        ssize_t got = read(fd, bytes, size < sizeof bytes ? size : sizeof bytes);

        assert_true(got > 0);
        size -= (size_t)got;
    }
}

static void tells_when_there_is_room_again(void **state)
{
    struct fixture fixture;
    int out[2];
    size_t filled;

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    filled = fill(&fixture);
    assert_true(filled >= 4096);
    drain(out[0], filled);
    serve(&fixture);
    assert_int_equal(fixture.output_calls, 1);
    assert_int_equal(fixture.console.output.events, 0);
    assert_int_equal(console_write(&fixture.console, "more", 4), 4);
    assert_reads(out[0], "more");
    close_console(&fixture);
    close(out[0]);
    close(out[1]);
}

static void survives_a_reader_that_goes_away(void **state)
{
    struct fixture fixture;
    sigset_t pending;
    int out[2];

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    close(out[0]);
    assert_int_equal(console_write(&fixture.console, "lost", 4), 4);
    assert_int_equal(console_output_error(&fixture.console), -EPIPE);
    console_write_all(&fixture.console, "lost", 4);
    close_console(&fixture);
    close(out[1]);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    sigtimedwait(&pending, NULL, &(struct timespec){0});
}

static void wakes_up_when_the_reader_of_a_full_pipe_goes_away(void **state)
{
    struct fixture fixture;
    int out[2];

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    fill(&fixture);
    close(out[0]);
    serve(&fixture);
    assert_int_equal(fixture.output_calls, 1);
    assert_int_equal(console_write(&fixture.console, "lost", 4), 4);
    close_console(&fixture);
    close(out[1]);
}

struct writer {
    struct console *console;
    const char *bytes;
    size_t size;
    pthread_t thread;
};

static void *write_everything(void *argument)
{
    struct writer *writer = argument;

    console_write_all(writer->console, writer->bytes, writer->size);
    return NULL;
}

static void start(struct writer *writer)
{
    assert_int_equal(pthread_create(&writer->thread, NULL, write_everything, writer), 0);
}

static void waits_for_a_slow_reader(void **state)
{
    static char bytes[1 << 20];
    struct fixture fixture;
    struct writer writer = {.bytes = bytes, .size = sizeof bytes};
    int out[2];

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    writer.console = &fixture.console;
    start(&writer);
    drain(out[0], sizeof bytes);
    pthread_join(writer.thread, NULL);
    close_console(&fixture);
    close(out[0]);
    close(out[1]);
}

static void waits_on_a_pipe_that_it_cannot_reopen(void **state)
{
    static char bytes[1 << 18];
    struct fixture fixture;
    struct writer writer = {.bytes = bytes, .size = sizeof bytes};
    int out[2];

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    close(fixture.console.out.fd);
    fixture.console.out.fd = dup(out[1]);
    fixture.console.out.may_block = true;
    /* With one page in it the pipe's end comes in the middle of a write, which must not block. */
    assert_int_equal(console_write(&fixture.console, bytes, 4096), 4096);
    fill(&fixture);
    writer.console = &fixture.console;
    start(&writer);
    console_abort(&fixture.console);
    pthread_join(writer.thread, NULL);
    close_console(&fixture);
    close(out[0]);
    close(out[1]);
}

static void abort_ends_the_wait_for_good(void **state)
{
    struct fixture fixture;
    struct writer writer = {.bytes = "x", .size = 1};
    int out[2];

    (void)state;
    make_pipe(out);
    open_console(&fixture, -1, out[1]);
    fill(&fixture);
    writer.console = &fixture.console;
    start(&writer);
    console_abort(&fixture.console);
    pthread_join(writer.thread, NULL);
    console_write_all(&fixture.console, "y", 1);
    close_console(&fixture);
    close(out[0]);
    close(out[1]);
}

static void uses_one_socket_both_ways(void **state)
{
    struct fixture fixture;
    int pair[2];
    size_t filled;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    open_console(&fixture, pair[0], pair[0]);
    console_want_input(&fixture.console, true);
    filled = fill(&fixture);
    assert_int_equal(write(pair[1], "in", 2), 2);
    serve(&fixture);
    assert_memory_equal(fixture.received, "in", 2);
    drain(pair[1], filled);
    serve(&fixture);
    assert_int_equal(fixture.output_calls, 1);
    assert_blocking(pair[0]);
    close(pair[1]);
    console_write(&fixture.console, "lost", 4);
    assert_int_equal(console_output_error(&fixture.console), -EPIPE);
    close_console(&fixture);
    close(pair[0]);
}

static void uses_a_terminal_and_leaves_its_flags(void **state)
{
    struct fixture fixture;
    struct termios raw;
    int master, terminal;

    (void)state;
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    tcgetattr(terminal, &raw);
    cfmakeraw(&raw);
    tcsetattr(terminal, TCSANOW, &raw);
    open_console(&fixture, terminal, terminal);
    assert_false(fixture.console.out.may_block);
    console_want_input(&fixture.console, true);
    assert_int_equal(write(master, "key", 3), 3);
    while (fixture.received_size < 3)
        serve(&fixture);
    assert_memory_equal(fixture.received, "key", 3);
    assert_int_equal(console_write(&fixture.console, "screen", 6), 6);
    assert_reads(master, "screen");
    assert_blocking(terminal);
    close_console(&fixture);
    close(master);
    close(terminal);
}

static void uses_the_master_of_a_pty_without_making_another(void **state)
{
    struct fixture fixture;
    struct termios raw;
    int master, terminal;

    (void)state;
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    tcgetattr(terminal, &raw);
    cfmakeraw(&raw);
    tcsetattr(terminal, TCSANOW, &raw);
    open_console(&fixture, master, master);
    console_want_input(&fixture.console, true);
    assert_int_equal(write(terminal, "typed", 5), 5);
    while (fixture.received_size < 5)
        serve(&fixture);
    assert_memory_equal(fixture.received, "typed", 5);
    assert_int_equal(console_read(&fixture.console, fixture.received, 1), 0);
    assert_int_equal(console_write(&fixture.console, "shown", 5), 5);
    assert_reads(terminal, "shown");
    close_console(&fixture);
    close(master);
    close(terminal);
}

static void remembers_that_the_disk_was_full(void **state)
{
    struct fixture fixture;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    open_console(&fixture, -1, fd);
    assert_int_equal(console_write(&fixture.console, "lost", 4), 4);
    assert_int_equal(console_output_error(&fixture.console), -ENOSPC);
    close_console(&fixture);
    close(fd);
}

/* The library's threads have SIGPIPE blocked; so has this one, and those that it makes. */
static int block_sigpipe(void **state)
{
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_both_ways_over_pipes),
        cmocka_unit_test(reads_nothing_while_no_input_is_wanted),
        cmocka_unit_test(sees_the_end_of_input_once),
        cmocka_unit_test(reads_a_regular_file_to_its_end),
        cmocka_unit_test(appends_to_a_regular_file_where_its_owner_is),
        cmocka_unit_test(takes_dev_null_for_both),
        cmocka_unit_test(takes_no_descriptors_at_all),
        cmocka_unit_test(refuses_a_closed_descriptor),
        cmocka_unit_test(tells_when_there_is_room_again),
        cmocka_unit_test(survives_a_reader_that_goes_away),
        cmocka_unit_test(wakes_up_when_the_reader_of_a_full_pipe_goes_away),
        cmocka_unit_test(waits_for_a_slow_reader),
        cmocka_unit_test(waits_on_a_pipe_that_it_cannot_reopen),
        cmocka_unit_test(abort_ends_the_wait_for_good),
        cmocka_unit_test(uses_one_socket_both_ways),
        cmocka_unit_test(uses_a_terminal_and_leaves_its_flags),
        cmocka_unit_test(uses_the_master_of_a_pty_without_making_another),
        cmocka_unit_test(remembers_that_the_disk_was_full),
    };

    return cmocka_run_group_tests(tests, block_sigpipe, NULL);
}
