/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of a sandbox, whose agent is the test. */
#include "sandbox/link.h"
#include "support/agent_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* --- commands --- */

static int exec(struct guest *guest, int in, int out, int errors, uint64_t most,
                struct husk_process **process, struct husk_err *err)
{
    const char *const arguments[] = {"job", NULL};
    struct husk_command command;

    husk_command_init(&command);
    command.arguments = arguments;
    command.stdin_fd = in;
    command.stdout_fd = out;
    command.stderr_fd = errors;
    command.max_output = most;
    return husk_sandbox_exec(&guest->sandbox, &command, process, err);
}

static int await(struct husk_process *process, struct husk_exit *result, struct husk_err *err)
{
    *result = (struct husk_exit){.size = sizeof *result};
    return husk_process_wait(process, 20000, result, err);
}

static void assert_reads(int fd, const char *text)
{
    char bytes[256] = "";
    size_t size = 0;

    for (ssize_t got; (got = read(fd, bytes + size, sizeof bytes - 1 - size)) > 0;)
        size += (size_t)got;
    assert_string_equal(bytes, text);
}

static void echo(struct guest *guest)
{
    char bytes[64];
    ssize_t size;

    take_job(guest);
    take_streams(guest, 3);
    while ((size = read(guest->streams[AGENT_STDIN], bytes, sizeof bytes)) > 0)
        frame_send_bytes(guest->streams[AGENT_STDOUT], bytes, (size_t)size);
    frame_send_bytes(guest->streams[AGENT_STDERR], "done", 4);
    send_number(guest->control, AGENT_EXITED, "status", 3);
}

static void moves_streams_both_ways(void **state)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct husk_exit result;
    struct guest guest;
    int in[2], out[2], errors[2];

    (void)state;
    assert_int_equal(pipe(in) | pipe(out) | pipe(errors), 0);
    start(&guest, echo);
    assert_int_equal(write(in[1], "there and back", 14), 14);
    close(in[1]);
    assert_int_equal(exec(&guest, in[0], out[1], errors[1], 0, &process, &err), 0);
    assert_int_equal(await(process, &result, &err), 0);
    assert_int_equal(result.status, 3);
    assert_int_equal(result.signal, 0);
    assert_string_equal(result.message, "");
    close(out[1]);
    close(errors[1]);
    assert_reads(out[0], "there and back");
    assert_reads(errors[0], "done");
    husk_process_destroy(process);
    end(&guest);
    assert_int_equal(guest.type, AGENT_EXEC);
    assert_string_equal(guest.argument, "job");
    close(in[0]);
    close(out[0]);
    close(errors[0]);
}

static void dies_of_signals(struct guest *guest)
{
    struct frame_reader reader = {.limit = AGENT_FRAME_MAX};
    uint64_t number = 0;

    take_job(guest);
    take_streams(guest, 0);
    while (frame_reader_read(&reader, guest->control) == 1)
        if (frame_number(&reader, "number", NSIG - 1, &number)) {
            guest->signal = (int)number;
            send_number(guest->control, AGENT_EXITED, "signal", number);
        }
    frame_reader_release(&reader);
}

static void passes_signals(void **state)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct husk_exit result = {.size = sizeof result};
    struct guest guest;

    (void)state;
    start(&guest, dies_of_signals);
    assert_int_equal(exec(&guest, -1, -1, -1, 0, &process, &err), 0);
    assert_failure(husk_process_wait(process, 0, &result, &err), -ETIMEDOUT, &err, "still runs");
    husk_process_signal(process, SIGTERM);
    assert_int_equal(await(process, &result, &err), 0);
    assert_int_equal(result.signal, SIGTERM);
    assert_int_equal(result.status, 128 + SIGTERM);
    husk_process_destroy(process);
    end(&guest);
}

static void does_not_execute(struct guest *guest)
{
    take_job(guest);
    take_streams(guest, 0);
    send_failed(guest->control, "127", "2", "cannot\n\x1b[31mexecute it");
    await_end(guest->control);
}

static void refuses_at_once(struct guest *guest)
{
    take_job(guest);
    send_failed(guest->control, "99999999999", "99999999999", "no such user");
    await_end(guest->control);
}

/* Numbers that do not fit are not believed, and text says nothing to a terminal. */
static void tells_why_it_does_not_run(void **state)
{
    static void (*const lives[])(struct guest *guest) = {does_not_execute, refuses_at_once};
    static const int statuses[] = {127, 125};
    static const char *const texts[] = {"cannot??[31mexecute it: No such file or directory",
                                        "no such user"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct husk_process *process;
        struct husk_err err = {0};
        struct husk_exit result;
        struct guest guest;

        start(&guest, lives[i]);
        assert_int_equal(exec(&guest, -1, -1, -1, 0, &process, &err), 0);
        assert_int_equal(await(process, &result, &err), 0);
        assert_int_equal(result.status, statuses[i]);
        assert_string_equal(result.message, texts[i]);
        husk_process_destroy(process);
        end(&guest);
    }
}

static void writes_for_ever(struct guest *guest)
{
    struct frame_reader reader = {.limit = AGENT_FRAME_MAX};
    uint64_t number = 0;

    take_job(guest);
    take_streams(guest, 1);
    while (frame_send_bytes(guest->streams[AGENT_STDOUT], "0123456789", 10) == 0)
        ;
    if (frame_reader_read(&reader, guest->control) == 1)
        frame_number(&reader, "number", NSIG - 1, &number);
    guest->signal = (int)number;
    send_number(guest->control, AGENT_EXITED, "signal", number);
    frame_reader_release(&reader);
}

static void too_much_output_is_cut(void **state)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct husk_exit result;
    struct guest guest;
    int out[2];

    (void)state;
    assert_int_equal(pipe(out), 0);
    start(&guest, writes_for_ever);
    assert_int_equal(exec(&guest, -1, out[1], -1, 25, &process, &err), 0);
    close(out[1]);
    assert_int_equal(await(process, &result, &err), 0);
    assert_int_equal(result.status, 125);
    assert_non_null(strstr(result.message, "more than 25 bytes"));
    assert_reads(out[0], "0123456789012345678901234");
    husk_process_destroy(process);
    end(&guest);
    assert_int_equal(guest.signal, SIGKILL);
    close(out[0]);
}

static void writes_and_exits(struct guest *guest)
{
    take_job(guest);
    take_streams(guest, 1);
    frame_send_bytes(guest->streams[AGENT_STDOUT], "0123456789", 10);
    send_number(guest->control, AGENT_EXITED, "status", 0);
}

/* One that was done before it could be ended has not succeeded either. */
static void what_is_not_written_is_no_success(void **state)
{
    static const struct {
        const char *path;
        uint64_t most;
        const char *message;
    } cases[] = {{"/dev/null", 9, "more than 9 bytes"}, {"/dev/full", 0, "No space left"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct husk_process *process;
        struct husk_err err = {0};
        struct husk_exit result;
        struct guest guest;
        int out = open(cases[i].path, O_WRONLY | O_CLOEXEC);

        start(&guest, writes_and_exits);
        assert_int_equal(exec(&guest, -1, out, -1, cases[i].most, &process, &err), 0);
        close(out);
        assert_int_equal(await(process, &result, &err), 0);
        assert_int_equal(result.status, 125);
        assert_non_null(strstr(result.message, cases[i].message));
        husk_process_destroy(process);
        end(&guest);
    }
}

static int first_output; /* what the test has of it */

/* The first is at its end, as the host has it, before the second begins. */
static void fills_one_after_the_other(struct guest *guest)
{
    char byte;

    take_job(guest);
    take_streams(guest, 2);
    frame_send_bytes(guest->streams[AGENT_STDOUT], "0123456789", 10);
    close(guest->streams[AGENT_STDOUT]);
    guest->streams[AGENT_STDOUT] = -1;
    while (read(first_output, &byte, 1) > 0)
        ;
    frame_send_bytes(guest->streams[AGENT_STDERR], "abcdefghij", 10);
    await_end(guest->streams[AGENT_STDERR]);
    send_number(guest->control, AGENT_EXITED, "signal", SIGKILL);
}

/* Both outputs are there when they are looked at first. */
static void fills_both(struct guest *guest)
{
    take_job(guest);
    connect_streams(guest, 2);
    frame_send_bytes(guest->streams[AGENT_STDOUT], "0123456789", 10);
    frame_send_bytes(guest->streams[AGENT_STDERR], "abcdefghij", 10);
    frame_send(guest->control, AGENT_STARTED, NULL);
    await_end(guest->streams[AGENT_STDERR]);
    send_number(guest->control, AGENT_EXITED, "signal", SIGKILL);
}

/* Of 20 bytes to two outputs 15 are written, which is one of them whole and half of the other. */
static void assert_15_of_20(void (*life)(struct guest *guest), const char *left_of_first)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct husk_exit result;
    struct guest guest;
    int out[2], errors[2];

    assert_int_equal(pipe(out) | pipe(errors), 0);
    first_output = out[0];
    start(&guest, life);
    assert_int_equal(exec(&guest, -1, out[1], errors[1], 15, &process, &err), 0);
    close(out[1]);
    close(errors[1]);
    assert_int_equal(await(process, &result, &err), 0);
    assert_int_equal(result.status, 125);
    assert_non_null(strstr(result.message, "more than 15 bytes"));
    assert_reads(out[0], left_of_first);
    assert_reads(errors[0], "abcde");
    husk_process_destroy(process);
    end(&guest);
    close(out[0]);
    close(errors[0]);
}

static void both_outputs_share_the_limit(void **state)
{
    (void)state;
    assert_15_of_20(fills_both, "0123456789");
}

static void an_output_that_has_ended_counts(void **state)
{
    (void)state;
    assert_15_of_20(fills_one_after_the_other, ""); /* the guest has read it */
}

/* --- an agent that says nothing, breaks off, or lies --- */

static void does_not_accept(struct guest *guest)
{
    guest->control = accept_as(guest, AGENT_PORT, "");
    await_end(guest->control);
}

static void breaks_off_first(struct guest *guest)
{
    guest->control = accept_as(guest, AGENT_PORT, "");
}

static void breaks_off_streams(struct guest *guest)
{
    take_job(guest);
    send_number(guest->control, AGENT_LISTENING, "port", PORT);
    close(accept_as(guest, PORT, "OK"));
}

static void answers_nonsense(struct guest *guest)
{
    guest->control = accept_as(guest, AGENT_PORT, "NO 1\n");
    await_end(guest->control);
}

static void answers_without_end(struct guest *guest)
{
    guest->control = accept_as(guest, AGENT_PORT, "OK 11111111111111111111111111111111111111111");
    await_end(guest->control);
}

static void says_a_bad_port(struct guest *guest)
{
    take_job(guest);
    send_number(guest->control, AGENT_LISTENING, "port", UINT64_C(1) << 32);
    await_end(guest->control);
}

static void says_too_much(struct guest *guest)
{
    const struct frame_header header = {.type = AGENT_LISTENING, .size = UINT32_MAX};

    take_job(guest);
    frame_send_bytes(guest->control, &header, sizeof header);
    await_end(guest->control);
}

static void a_bad_agent_is_an_error(void **state)
{
    static const struct {
        void (*live)(struct guest *guest);
        int code;
    } lives[] = {
        {is_silent, -ETIMEDOUT}, {does_not_accept, -ETIMEDOUT}, {breaks_off_first, -ESHUTDOWN},
        {breaks_off_the_job, -ESHUTDOWN}, {breaks_off_streams, -ESHUTDOWN},
        {answers_nonsense, -ESHUTDOWN}, {answers_without_end, -ESHUTDOWN},
        {says_a_bad_port, -ESHUTDOWN}, {says_too_much, -ESHUTDOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        struct husk_process *process = NULL;
        struct husk_err err = {0};
        struct guest guest;

        short_deadlines = lives[i].code == -ETIMEDOUT;
        start(&guest, lives[i].live);
        assert_failure(exec(&guest, -1, 1, -1, 0, &process, &err), lives[i].code, &err, "agent");
        assert_null(process);
        end(&guest);
    }
}

static void breaks_off_the_command(struct guest *guest)
{
    take_job(guest);
    take_streams(guest, 1);
    frame_send_bytes(guest->streams[AGENT_STDOUT], "begun", 5);
}

static void says_a_bad_frame(struct guest *guest)
{
    const struct frame_header header = {.type = AGENT_EXITED, .size = 3};

    take_job(guest);
    take_streams(guest, 1);
    frame_send_bytes(guest->streams[AGENT_STDOUT], "begun", 5);
    frame_send_bytes(guest->control, &header, sizeof header);
    frame_send_bytes(guest->control, "a=b", 3);
    shutdown(guest->streams[AGENT_STDOUT], SHUT_WR);
    await_end(guest->control);
}

static void a_command_may_be_lost(void **state)
{
    static void (*const lives[])(struct guest *guest) = {breaks_off_the_command, says_a_bad_frame};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct husk_process *process;
        struct husk_err err = {0};
        struct husk_exit result;
        struct guest guest;
        int out[2];

        assert_int_equal(pipe(out), 0);
        start(&guest, lives[i]);
        assert_int_equal(exec(&guest, -1, out[1], -1, 0, &process, &err), 0);
        close(out[1]);
        assert_failure(await(process, &result, &err), -ESHUTDOWN, &err, "before the command");
        assert_reads(out[0], "begun");
        husk_process_destroy(process);
        end(&guest);
        close(out[0]);
    }
}

static void floods(struct guest *guest)
{
    static char block[65536];

    take_job(guest);
    take_streams(guest, 1);
    while (frame_send_bytes(guest->streams[AGENT_STDOUT], block, sizeof block) == 0)
        ;
}

/* Its output goes where nobody reads, and nothing is left to wait for. */
static void can_be_destroyed_while_blocked(void **state)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct guest guest;
    int out[2];

    (void)state;
    assert_int_equal(pipe(out), 0);
    start(&guest, floods);
    assert_int_equal(exec(&guest, -1, out[1], -1, 0, &process, &err), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = out[0], .events = POLLIN}, 1, 20000), 1);
    husk_process_destroy(process);
    end(&guest);
    close(out[0]);
    close(out[1]);
}

/* A terminal that polls writable, and takes less than is written. */
static void can_be_destroyed_while_a_terminal_is_full(void **state)
{
    struct husk_process *process;
    struct husk_err err = {0};
    struct termios raw;
    struct guest guest;
    int master, terminal;

    (void)state;
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(terminal, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &raw), 0);
    start(&guest, floods);
    assert_int_equal(exec(&guest, -1, terminal, -1, 0, &process, &err), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = master, .events = POLLIN}, 1, 20000), 1);
    alarm(60);
    husk_process_destroy(process);
    alarm(0);
    assert_int_equal(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);
    end(&guest);
    close(master);
    close(terminal);
}

static void nobody_listens(void **state)
{
    struct husk_sandbox sandbox = {.socket = "/nonexistent/vsock"};
    struct husk_err err = {0};
    int sockets[4];

    (void)state;
    assert_failure(sandbox_ask(&sandbox, AGENT_STOP, NULL, &err), -ESHUTDOWN, &err, "has ended");
    assert_failure(link_connect(sandbox.socket, 1, sockets, 4, &err), -ESHUTDOWN, &err, "has ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_streams_both_ways),
        cmocka_unit_test(passes_signals),
        cmocka_unit_test(tells_why_it_does_not_run),
        cmocka_unit_test(too_much_output_is_cut),
        cmocka_unit_test(what_is_not_written_is_no_success),
        cmocka_unit_test(an_output_that_has_ended_counts),
        cmocka_unit_test(both_outputs_share_the_limit),
        cmocka_unit_test(a_bad_agent_is_an_error),
        cmocka_unit_test(a_command_may_be_lost),
        cmocka_unit_test(can_be_destroyed_while_blocked),
        cmocka_unit_test(can_be_destroyed_while_a_terminal_is_full),
        cmocka_unit_test(nobody_listens),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
