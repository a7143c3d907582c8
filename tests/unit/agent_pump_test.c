/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between pipes, sockets, files and terminals, some of which take nothing, or break. */
#include "agent/pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One turn of a poll loop that does not wait. */
static enum pump_state turn(struct pump *pump)
{
    struct pollfd entries[2];

    pump_poll(pump, entries);
    assert_true(poll(entries, 2, 0) >= 0);
    return pump_move(pump, entries);
}

static void open_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

/* Until it takes no more; how much that was. */
static size_t fill_pipe(int fd)
{
    static const char zeros[4096];
    size_t filled = 0;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (ssize_t done; (done = write(fd, zeros, sizeof zeros)) > 0;)
        filled += (size_t)done;
    fcntl(fd, F_SETFL, 0);
    return filled;
}

static void moves_all_and_ends(void **state)
{
    struct pump pump;
    int in[2], out[2];
    char text[8] = "";

    (void)state;
    open_pipe(in);
    open_pipe(out);
    assert_int_equal(pump_open(&pump, in[0], out[1]), 0);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    assert_int_equal(write(in[1], "hello", 5), 5);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    assert_int_equal(pump.moved, 5);
    close(in[1]);
    assert_int_equal(turn(&pump), PUMP_ENDED);
    assert_int_equal(read(out[0], text, sizeof text), 5);
    assert_string_equal(text, "hello");
    pump_close(&pump);
    assert_int_equal(pump.from, -1);
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

/* Neither end is non-blocking, and the test would hang. */
static void a_full_pipe_is_waited_for(void **state)
{
    struct pump pump;
    int in[2], out[2];
    char bytes[4096];

    (void)state;
    open_pipe(in);
    open_pipe(out);
    assert_true(fill_pipe(out[1]) > 0);
    assert_int_equal(pump_open(&pump, in[0], out[1]), 0);
    assert_int_equal(write(in[1], "late", 4), 4);
    close(in[1]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(turn(&pump), PUMP_RUNS);
    assert_int_equal(pump.end - pump.start, 4);
    while (pump.start < pump.end) {
        assert_true(read(out[0], bytes, sizeof bytes) > 0);
        turn(&pump);
    }
    assert_int_equal(turn(&pump), PUMP_ENDED);
    pump_close(&pump);
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

/* As Ctrl-S has it; the kernel cannot write to it without waiting. */
static void a_stopped_terminal_is_waited_for(void **state)
{
    struct pump pump;
    int in[2], master, slave;
    char text[8] = "";

    (void)state;
    open_pipe(in);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcflow(slave, TCOOFF), 0);
    assert_int_equal(pump_open(&pump, in[0], slave), 0);
    assert_int_equal(write(in[1], "held", 4), 4);
    alarm(20);
    for (int i = 0; i < 3; i++)
        assert_int_equal(turn(&pump), PUMP_RUNS);
    alarm(0);
    assert_int_equal(pump.end - pump.start, 4);
    assert_int_equal(tcflow(slave, TCOON), 0);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    assert_int_equal(pump.end - pump.start, 0);
    assert_int_equal(read(master, text, sizeof text), 4);
    assert_string_equal(text, "held");
    pump_close(&pump);
    close(in[0]);
    close(in[1]);
    close(master);
    close(slave);
}

static void a_target_that_breaks_is_told(void **state)
{
    struct pump pump;
    int in[2], out[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    open_pipe(in);
    open_pipe(out);
    assert_int_equal(pump_open(&pump, in[0], out[1]), 0);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    close(out[0]);
    assert_int_equal(turn(&pump), PUMP_BROKEN); /* though there is nothing to write */
    pump_close(&pump);
    close(out[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
    assert_int_equal(pump_open(&pump, in[0], out[1]), 0);
    close(out[0]);
    assert_int_equal(write(in[1], "x", 1), 1);
    assert_int_equal(turn(&pump), PUMP_BROKEN);
    pump_close(&pump);
    close(out[1]);
    assert_int_equal(pump_open(&pump, in[0], out[1]), -EBADF);
    close(in[0]);
    close(in[1]);
}

static void no_more_than_most_is_written(void **state)
{
    char path[] = "/tmp/husk-test-XXXXXX", bytes[16] = "";
    struct pump pump;
    int in[2], file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    unlink(path);
    open_pipe(in);
    assert_int_equal(pump_open(&pump, in[0], file), 0);
    pump.most = 6;
    assert_int_equal(write(in[1], "1234", 4), 4);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    assert_int_equal(write(in[1], "56789", 5), 5);
    turn(&pump);
    assert_int_equal(pump.moved, 9); /* which tells that it was too much */
    assert_int_equal(write(in[1], "more", 4), 4);
    assert_int_equal(turn(&pump), PUMP_ENDED);
    assert_int_equal(pread(file, bytes, sizeof bytes, 0), 6);
    assert_string_equal(bytes, "123456");
    pump_close(&pump);
    close(file);
    close(in[0]);
    close(in[1]);
}

/* The writer is still there, and has said all that is waited for. */
static void finishing_takes_what_is_there(void **state)
{
    struct pump pump;
    int in[2], out[2];
    char text[8] = "";

    (void)state;
    open_pipe(in);
    open_pipe(out);
    fcntl(in[0], F_SETFL, O_NONBLOCK);
    assert_int_equal(pump_open(&pump, in[0], out[1]), 0);
    assert_int_equal(write(in[1], "rest", 4), 4);
    pump_finish(&pump);
    assert_false(pump.source_ended);
    assert_int_equal(pump.end - pump.start, 4);
    pump_finish(&pump); /* not before that is written */
    assert_false(pump.source_ended);
    assert_int_equal(turn(&pump), PUMP_RUNS);
    pump_finish(&pump);
    assert_true(pump.source_ended);
    assert_int_equal(turn(&pump), PUMP_ENDED);
    assert_int_equal(read(out[0], text, sizeof text), 4);
    assert_string_equal(text, "rest");
    pump_close(&pump);
    pump_finish(&pump);
    assert_false(pump.source_ended);
    close(in[0]);
    close(in[1]);
    close(out[0]);
    close(out[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_all_and_ends),
        cmocka_unit_test(a_full_pipe_is_waited_for),
        cmocka_unit_test(a_stopped_terminal_is_waited_for),
        cmocka_unit_test(a_target_that_breaks_is_told),
        cmocka_unit_test(no_more_than_most_is_written),
        cmocka_unit_test(finishing_takes_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
