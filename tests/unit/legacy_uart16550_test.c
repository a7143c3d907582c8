/* SPDX-License-Identifier: Apache-2.0 */
/* The UART as Linux's 8250 driver and a bare-metal payload use it, between two pipes. */
#include "devices/legacy/uart16550.h"
#include "support/failure.h"
#include "support/ports.h"
#include "support/pump.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define RTS 0x02
#define LOOP 0x10

struct fixture {
    struct loop loop;
    struct console console;
    struct irq_line irq;
    struct uart16550 uart;
    int in[2];
    int out[2];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture || pipe2(fixture->in, O_CLOEXEC) || pipe2(fixture->out, O_CLOEXEC) ||
        loop_open(&fixture->loop, NULL) || irq_open(&fixture->irq, 4, NULL) ||
        console_open(&fixture->console, &fixture->loop, fixture->in[0], fixture->out[1], NULL))
        return -1;
    fcntl(fixture->out[1], F_SETPIPE_SZ, 4096);
    uart16550_init(&fixture->uart, &fixture->console, &fixture->irq);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    uart16550_destroy(&fixture->uart);
    console_close(&fixture->console);
    irq_close(&fixture->irq);
    loop_close(&fixture->loop);
    for (int i = 0; i < 2; i++) {
        close(fixture->in[i]);
        close(fixture->out[i]);
    }
    free(fixture);
    return 0;
}

static void out(struct fixture *fixture, uint64_t offset, uint8_t value)
{
    port_out(&uart16550_ops, &fixture->uart, offset, value);
}

static uint8_t in(struct fixture *fixture, uint64_t offset)
{
    return port_in(&uart16550_ops, &fixture->uart, offset);
}

/* How many interrupt edges came since the last look. */
static unsigned edges(struct fixture *fixture)
{
    eventfd_t count = 0;

    eventfd_read(fixture->irq.fd, &count);
    return (unsigned)count;
}

static void type(struct fixture *fixture, const char *text)
{
    assert_int_equal(write(fixture->in[1], text, strlen(text)), strlen(text));
}

static void serve(struct fixture *fixture)
{
    assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
}

static bool is_watching(struct fixture *fixture)
{
    return fixture->console.input.events != 0;
}

static int waiting_in_pipe(int fd)
{
    int count = 0;

    ioctl(fd, FIONREAD, &count);
    return count;
}

static void starts_in_the_reset_state(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(in(fixture, IER), 0);
    assert_int_equal(in(fixture, IIR), 0x01);
    assert_int_equal(in(fixture, LCR), 0);
    assert_int_equal(in(fixture, MCR), 0);
    assert_int_equal(in(fixture, LSR), 0x60);
    assert_int_equal(in(fixture, MSR), 0xb0);
    assert_int_equal(in(fixture, DATA), 0);
    assert_int_equal(edges(fixture), 0);
}

/* The steps of autoconfig() in Linux's drivers/tty/serial/8250/8250_port.c. */
static void is_probed_as_a_16550a(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, IER, 0);
    assert_int_equal(in(fixture, IER) & 0x0f, 0);
    out(fixture, IER, 0xff);
    assert_int_equal(in(fixture, IER), 0x0f); /* no XScale's UUE either */
    out(fixture, IER, 0);
    out(fixture, MCR, LOOP | 0x0a);
    assert_int_equal(in(fixture, MSR) & 0xf0, 0x90);
    out(fixture, MCR, 0);
    out(fixture, FCR, 0x01);
    assert_int_equal(in(fixture, IIR) >> 6, 3);
    out(fixture, FCR, 0x21);
    assert_int_equal(in(fixture, IIR) & 0x20, 0); /* no 16750's 64-byte FIFO */
    out(fixture, FCR, 0);
    assert_int_equal(in(fixture, IIR) >> 6, 0);
    out(fixture, SCR, 0xa5);
    assert_int_equal(in(fixture, SCR), 0xa5);
    out(fixture, LCR, 0x83);
    out(fixture, DATA, 0x0c);
    out(fixture, IER, 0x01);
    assert_int_equal(in(fixture, DATA), 0x0c);
    assert_int_equal(in(fixture, IER), 0x01);
    out(fixture, LCR, 0x03);
    assert_int_equal(in(fixture, LCR), 0x03);
    assert_int_equal(in(fixture, IER), 0);
    assert_int_equal(waiting_in_pipe(fixture->out[0]), 0);
}

/* serial8250_THRE_test(): enabling the interrupt anew names its cause anew. */
static void passes_the_thre_test(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 2; i++) {
        out(fixture, IER, 0x02);
        assert_int_equal(edges(fixture), 1);
        assert_int_equal(in(fixture, IIR), 0x02);
        assert_int_equal(in(fixture, IIR), 0x01);
        out(fixture, IER, 0x02); /* no news */
        assert_int_equal(edges(fixture), 0);
        out(fixture, IER, 0);
    }
}

static void sends_bytes_to_the_host(void **state)
{
    struct fixture *fixture = *state;
    char text[6] = "";

    for (const char *at = "hello"; *at; at++)
        out(fixture, DATA, (uint8_t)*at);
    assert_int_equal(read(fixture->out[0], text, sizeof text), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(in(fixture, LSR), 0x60);
    assert_int_equal(edges(fixture), 0);
}

static void raises_one_edge_for_a_burst_and_one_after_it_is_acknowledged(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, FCR, 0x01);
    out(fixture, IER, 0x02);
    for (int burst = 0; burst < 2; burst++) {
        assert_int_equal(edges(fixture), 1);
        assert_int_equal(in(fixture, IIR), 0xc2);
        for (int i = 0; i < 16; i++)
            out(fixture, DATA, 'x');
    }
    assert_int_equal(edges(fixture), 1);
    out(fixture, IER, 0);
    assert_int_equal(in(fixture, IIR), 0xc1);
}

static void leaves_input_to_the_host_until_rts(void **state)
{
    struct fixture *fixture = *state;

    type(fixture, "ls\n");
    out(fixture, MCR, 0x01);
    out(fixture, IER, 0x01);
    out(fixture, MCR, LOOP | RTS);
    assert_false(is_watching(fixture));
    assert_int_equal(in(fixture, LSR) & 0x01, 0);
    out(fixture, MCR, RTS);
    assert_true(is_watching(fixture));
    serve(fixture);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(in(fixture, IIR), 0x04);
    assert_int_equal(in(fixture, LSR) & 0x01, 0x01);
    assert_int_equal(in(fixture, DATA), 'l');
    assert_int_equal(in(fixture, DATA), 's');
    assert_int_equal(in(fixture, IIR), 0x04);
    assert_int_equal(in(fixture, DATA), '\n');
    assert_int_equal(in(fixture, IIR), 0x01);
    assert_int_equal(edges(fixture), 0);
    out(fixture, MCR, 0);
    assert_false(is_watching(fixture));
}

static void raises_an_edge_each_time_that_data_appears(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    type(fixture, "a");
    serve(fixture);
    assert_int_equal(edges(fixture), 0); /* not enabled */
    out(fixture, IER, 0x01);
    assert_int_equal(edges(fixture), 1);
    type(fixture, "b");
    serve(fixture);
    assert_int_equal(edges(fixture), 0); /* there was data all the time */
    in(fixture, DATA);
    in(fixture, DATA);
    type(fixture, "c");
    serve(fixture);
    assert_int_equal(edges(fixture), 1);
}

static void names_the_timeout_below_the_trigger_level(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    out(fixture, IER, 0x01);
    out(fixture, FCR, 0x81); /* level 8 */
    type(fixture, "1234567");
    serve(fixture);
    assert_int_equal(in(fixture, IIR), 0xcc);
    type(fixture, "8");
    serve(fixture);
    assert_int_equal(in(fixture, IIR), 0xc4);
}

static void orders_the_causes(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    type(fixture, "a");
    serve(fixture);
    out(fixture, IER, 0x0f);
    assert_int_equal(edges(fixture), 1);
    out(fixture, MCR, LOOP); /* all four modem lines change: ring does not count */
    assert_int_equal(edges(fixture), 1);
    for (unsigned i = 0; i < SERIAL_LINE_QUEUE_SIZE; i++)
        out(fixture, DATA, 'b');
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(in(fixture, IIR), 0x06);
    assert_int_equal(in(fixture, LSR), 0x63);
    assert_int_equal(in(fixture, IIR), 0x04);
    out(fixture, FCR, 0x03);
    assert_int_equal(in(fixture, IIR), 0xc2);
    assert_int_equal(in(fixture, IIR), 0xc0);
    assert_int_equal(in(fixture, MSR), 0x0b);
    assert_int_equal(in(fixture, MSR), 0x00);
    assert_int_equal(in(fixture, IIR), 0xc1);
}

static void loops_back(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, LOOP);
    in(fixture, MSR);
    out(fixture, MCR, LOOP | 0x0f);
    assert_int_equal(in(fixture, MSR), 0xfb);
    out(fixture, MCR, LOOP | 0x05);
    assert_int_equal(in(fixture, MSR), 0x60 | 0x09);
    out(fixture, MCR, LOOP); /* ring ends: TERI */
    assert_int_equal(in(fixture, MSR), 0x06);
    out(fixture, DATA, 'q');
    assert_int_equal(in(fixture, LSR), 0x61);
    assert_int_equal(in(fixture, DATA), 'q');
    assert_int_equal(waiting_in_pipe(fixture->out[0]), 0);
}

static void empties_the_queue_only_by_the_clear_bit(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    type(fixture, "ab");
    serve(fixture);
    out(fixture, FCR, 0x01);
    out(fixture, FCR, 0x02); /* without the enable bit the others do not count */
    assert_int_equal(in(fixture, DATA), 'a');
    out(fixture, FCR, 0x03);
    assert_int_equal(in(fixture, LSR) & 0x01, 0);
}

static void stops_wanting_input_when_full_and_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    char text[2 * SERIAL_LINE_QUEUE_SIZE + 10];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('A' + i % 50);
    out(fixture, MCR, RTS);
    assert_int_equal(write(fixture->in[1], text, sizeof text), sizeof text);
    for (size_t i = 0; i < sizeof text; i++) {
        if (!(in(fixture, LSR) & 0x01)) {
            assert_true(is_watching(fixture));
            serve(fixture);
            /* as much as fits, and not a byte more */
            assert_int_equal(is_watching(fixture), i >= 2ul * SERIAL_LINE_QUEUE_SIZE);
        }
        assert_int_equal(in(fixture, DATA), text[i]);
    }
    assert_int_equal(in(fixture, LSR) & 0x01, 0);
}

static void fills_the_queue_around_its_end(void **state)
{
    struct fixture *fixture = *state;
    char text[SERIAL_LINE_QUEUE_SIZE];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 'y';
    out(fixture, MCR, RTS);
    type(fixture, "0123456789");
    serve(fixture);
    for (int i = 0; i < 10; i++)
        assert_int_equal(in(fixture, DATA), '0' + i);
    assert_int_equal(write(fixture->in[1], text, sizeof text), sizeof text);
    serve(fixture);
    assert_int_equal(waiting_in_pipe(fixture->in[0]), 0);
    for (size_t i = 0; i < sizeof text; i++)
        assert_int_equal(in(fixture, DATA), text[i]);
}

static void ends_of_input_are_quiet(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    close(fixture->in[1]);
    fixture->in[1] = -1;
    serve(fixture);
    assert_false(is_watching(fixture));
    assert_int_equal(in(fixture, LSR) & 0x01, 0);
    out(fixture, MCR, 0);
    out(fixture, MCR, RTS);
    assert_false(is_watching(fixture));
}

/* Waits until the thread sleeps in the kernel; if it never does, the test's time limit ends it. */
static void wait_until_asleep(const pid_t *id)
{
    char path[64], line[256], letter = '?';

    while (__atomic_load_n(id, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", *id);
    while (letter != 'S') {
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        if (fgets(line, sizeof line, file))
            sscanf(strrchr(line, ')'), ") %c", &letter);
        fclose(file);
        sched_yield();
    }
}

struct sender {
    struct fixture *fixture;
    pid_t id;
};

static void *send_one_byte(void *argument)
{
    struct sender *sender = argument;

    __atomic_store_n(&sender->id, gettid(), __ATOMIC_RELEASE);
    out(sender->fixture, DATA, '!');
    return NULL;
}

static void answers_others_while_one_waits_for_a_slow_reader(void **state)
{
    struct fixture *fixture = *state;
    struct sender sender = {.fixture = fixture};
    static const char bytes[4096];
    pthread_t thread;

    while (console_write(&fixture->console, bytes, sizeof bytes) == sizeof bytes)
        ;
    assert_int_equal(pthread_create(&thread, NULL, send_one_byte, &sender), 0);
    wait_until_asleep(&sender.id);
    assert_int_equal(in(fixture, LSR), 0x60);
    out(fixture, SCR, 0x12);
    assert_int_equal(in(fixture, SCR), 0x12);
    console_abort(&fixture->console);
    pthread_join(thread, NULL);
}

static void reset_forgets_everything(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, MCR, RTS);
    out(fixture, SCR, 1);
    out(fixture, FCR, 0x01);
    out(fixture, IER, 0x0f);
    out(fixture, LCR, 0x80);
    type(fixture, "abc");
    serve(fixture);
    edges(fixture);
    uart16550_reset(&fixture->uart);
    assert_false(is_watching(fixture));
    starts_in_the_reset_state(state);
    assert_int_equal(in(fixture, SCR), 0);
}

static void state_survives(void **state)
{
    struct fixture *fixture = *state;
    struct state_writer writer = {0};
    struct state_reader reader;

    out(fixture, MCR, RTS);
    type(fixture, "abc");
    serve(fixture);
    in(fixture, DATA);
    out(fixture, LCR, 0x80);
    out(fixture, DATA, 0x34);
    out(fixture, IER, 0x12);
    out(fixture, LCR, 0x1b);
    out(fixture, FCR, 0xc1);
    out(fixture, IER, 0x03);
    out(fixture, SCR, 0x99);
    uart16550_save(&fixture->uart, &writer);
    uart16550_reset(&fixture->uart);
    edges(fixture);

    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    uart16550_restore(&fixture->uart, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(edges(fixture), 0); /* the interrupt controller has its own memory */
    assert_int_equal(in(fixture, IER), 0x03);
    assert_int_equal(in(fixture, MCR), RTS);
    assert_int_equal(in(fixture, LCR), 0x1b);
    assert_int_equal(in(fixture, SCR), 0x99);
    assert_int_equal(in(fixture, IIR), 0xcc);
    assert_int_equal(in(fixture, DATA), 'b');
    assert_int_equal(in(fixture, DATA), 'c');
    assert_true(is_watching(fixture));
    assert_int_equal(in(fixture, IIR), 0xc2);
    out(fixture, LCR, 0x80);
    assert_int_equal(in(fixture, DATA), 0x34);
    assert_int_equal(in(fixture, IER), 0x12);

    for (size_t cut = 0; cut < writer.size; cut++) {
        reader = (struct state_reader){.data = writer.data, .size = cut};
        uart16550_restore(&fixture->uart, &reader);
        assert_true(state_failed(&reader));
    }
    starts_in_the_reset_state(state);
    /* more bytes than the queue holds */
    memset(writer.data + 1 + strlen("uart16550") + 2 + 4 + 10, 0xff, 2);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    uart16550_restore(&fixture->uart, &reader);
    assert_true(state_failed(&reader));
    starts_in_the_reset_state(state);
    state_writer_free(&writer);
}

static void takes_wide_accesses_byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[8] = {'z', 0, 0, 0x03, 0, 0, 0, 0x77};

    uart16550_ops.write(&fixture->uart, 0, bytes, 8);
    assert_int_equal(waiting_in_pipe(fixture->out[0]), 1);
    uart16550_ops.read(&fixture->uart, 0, bytes, 8);
    assert_memory_equal(bytes, ((uint8_t[]){0, 0, 1, 3, 0, 0x60, 0xb0, 0x77}), 8);
}

static void *read_everything(void *argument)
{
    char bytes[4096];

    while (read(*(const int *)argument, bytes, sizeof bytes) > 0)
        ;
    return NULL;
}

static void *abuse(void *argument)
{
    struct fixture *fixture = argument;

    port_abuse(&uart16550_ops, &fixture->uart, UART16550_SIZE, 20000);
    return NULL;
}

/* Two vCPUs that do anything, the loop with input, and a reader, all at once. */
static void survives_two_wild_vcpus(void **state)
{
    struct fixture *fixture = *state;
    pthread_t reader, vcpus[2];

    assert_int_equal(loop_start(&fixture->loop, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_everything, &fixture->out[0]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&vcpus[i], NULL, abuse, fixture), 0);
    for (int i = 0; i < 1000; i++)
        type(fixture, "input");
    for (int i = 0; i < 2; i++)
        pthread_join(vcpus[i], NULL);
    loop_stop(&fixture->loop);
    uart16550_reset(&fixture->uart);
    edges(fixture);
    starts_in_the_reset_state(state);
    console_close(&fixture->console); /* it has the pipe's writing end open too */
    close(fixture->out[1]);
    fixture->out[1] = -1;
    pthread_join(reader, NULL);
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(starts_in_the_reset_state),
        test(is_probed_as_a_16550a),
        test(passes_the_thre_test),
        test(sends_bytes_to_the_host),
        test(raises_one_edge_for_a_burst_and_one_after_it_is_acknowledged),
        test(leaves_input_to_the_host_until_rts),
        test(raises_an_edge_each_time_that_data_appears),
        test(names_the_timeout_below_the_trigger_level),
        test(orders_the_causes),
        test(loops_back),
        test(empties_the_queue_only_by_the_clear_bit),
        test(stops_wanting_input_when_full_and_loses_nothing),
        test(fills_the_queue_around_its_end),
        test(ends_of_input_are_quiet),
        test(answers_others_while_one_waits_for_a_slow_reader),
        test(reset_forgets_everything),
        test(state_survives),
        test(takes_wide_accesses_byte_by_byte),
        test(survives_two_wild_vcpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
