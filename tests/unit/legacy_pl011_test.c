/* SPDX-License-Identifier: Apache-2.0 */
/* The UART as Linux's amba-pl011 driver uses it, between two pipes. */
#include "devices/legacy/pl011.h"
#include "support/failure.h"
#include "support/ports.h"
#include "support/pump.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    DR = 0x00, FR = 0x18, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2c, CR = 0x30, IFLS = 0x34,
    IMSC = 0x38, RIS = 0x3c, MIS = 0x40, ICR = 0x44, PERIPHERAL_ID = 0xfe0,
};

#define CR_ON 0x301u /* UART, transmitter, receiver */
#define CR_LOOPBACK 0x80u
#define RX 0x10u
#define TX 0x20u
#define RT 0x40u
#define FIFO 0x10u

struct fixture {
    struct loop loop;
    struct console console;
    struct irq_line irq;
    struct pl011 uart;
    int in[2];
    int out[2];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture || pipe2(fixture->in, O_CLOEXEC) || pipe2(fixture->out, O_CLOEXEC) ||
        loop_open(&fixture->loop, NULL) || irq_open(&fixture->irq, 1, NULL) ||
        console_open(&fixture->console, &fixture->loop, fixture->in[0], fixture->out[1], NULL))
        return -1;
    pl011_init(&fixture->uart, &fixture->console, &fixture->irq);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pl011_destroy(&fixture->uart);
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

static void out(struct fixture *fixture, uint64_t offset, uint32_t value)
{
    pl011_ops.write(&fixture->uart, offset, &value, 2);
}

static uint32_t in(struct fixture *fixture, uint64_t offset)
{
    uint32_t value = 0;

    pl011_ops.read(&fixture->uart, offset, &value, 2);
    return value;
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
    assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
}

static bool is_watching(const struct fixture *fixture)
{
    return fixture->console.input.events != 0;
}

static int waiting_in_pipe(int fd)
{
    int count = 0;

    ioctl(fd, FIONREAD, &count);
    return count;
}

static void turn_on(struct fixture *fixture)
{
    out(fixture, LCR_H, 0x60 | FIFO);
    out(fixture, CR, CR_ON);
    out(fixture, IMSC, RX | RT);
}

static void starts_in_the_reset_state(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(in(fixture, FR), 0x97);
    assert_int_equal(in(fixture, LCR_H), 0);
    assert_int_equal(in(fixture, CR), 0x300);
    assert_int_equal(in(fixture, IFLS), 0x12);
    assert_int_equal(in(fixture, IMSC), 0);
    assert_int_equal(in(fixture, RIS), 0);
    assert_int_equal(in(fixture, DR), 0);
    assert_int_equal(edges(fixture), 0);
}

/* amba_read_periphid() and the id tables in Linux's drivers/tty/serial/amba-pl011.c. */
static void is_known_by_its_identity(void **state)
{
    static const uint8_t identity[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < sizeof identity; i++)
        assert_int_equal(in(fixture, PERIPHERAL_ID + 4 * i), identity[i]);
    assert_int_equal(in(fixture, PERIPHERAL_ID - 4), 0);
}

static void sends_bytes_to_the_host(void **state)
{
    struct fixture *fixture = *state;
    char text[3] = "";

    out(fixture, CR, CR_ON);
    out(fixture, DR, 'h');
    out(fixture, DR, 'i');
    assert_int_equal(in(fixture, FR) & 0xa8, 0x80); /* empty, not full, not busy */
    assert_int_equal(read(fixture->out[0], text, 2), 2);
    assert_string_equal(text, "hi");
}

/* The driver unmasks the interrupt when it has more to send than it could write at once. */
static void says_when_the_fifo_is_empty(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, CR, CR_ON);
    out(fixture, DR, 'a');
    assert_int_equal(edges(fixture), 0);
    assert_int_equal(in(fixture, RIS), TX);
    assert_int_equal(in(fixture, MIS), 0);
    out(fixture, IMSC, TX);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(in(fixture, MIS), TX);
    out(fixture, ICR, TX);
    assert_int_equal(in(fixture, RIS), 0);
    out(fixture, DR, 'b');
    assert_int_equal(edges(fixture), 1);
    out(fixture, IMSC, 0);
    out(fixture, DR, 'c');
    assert_int_equal(edges(fixture), 0);
}

/* pl011_startup() turns the receiver on, empties the FIFO, and only then unmasks its interrupts. */
static void leaves_input_to_the_host_until_somebody_listens(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(write(fixture->in[1], "abc", 3), 3);
    out(fixture, CR, CR_ON);
    assert_false(is_watching(fixture));
    out(fixture, IMSC, RX | RT);
    assert_true(is_watching(fixture));
    assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(in(fixture, FR) & 0x10, 0);
    assert_int_equal(in(fixture, DR), 'a');
    out(fixture, CR, CR_ON & ~0x200u);
    assert_false(is_watching(fixture));
    out(fixture, CR, CR_ON | CR_LOOPBACK);
    assert_false(is_watching(fixture));
    out(fixture, CR, CR_ON);
    assert_int_equal(in(fixture, DR), 'b');
    assert_int_equal(in(fixture, DR), 'c');
    assert_true(is_watching(fixture));
    assert_int_equal(in(fixture, FR) & 0x10, 0x10);
}

static void tells_a_level_from_a_timeout(void **state)
{
    struct fixture *fixture = *state;

    turn_on(fixture);
    type(fixture, "0123456789abcde");
    assert_int_equal(in(fixture, RIS), RT);
    assert_int_equal(edges(fixture), 1);
    type(fixture, "f");
    assert_int_equal(in(fixture, RIS), RX);
    assert_int_equal(edges(fixture), 1);
    out(fixture, ICR, RX | RT);
    assert_int_equal(in(fixture, RIS), RX); /* the bytes are still there */
    in(fixture, DR);
    assert_int_equal(in(fixture, RIS), RT);
    out(fixture, LCR_H, 0x60);
    assert_int_equal(in(fixture, RIS), RX); /* without a FIFO each byte counts */
}

static void stops_wanting_input_when_full_and_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    char text[SERIAL_LINE_QUEUE_SIZE + 10];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    turn_on(fixture);
    assert_int_equal(write(fixture->in[1], text, sizeof text), sizeof text);
    assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
    assert_false(is_watching(fixture));
    assert_int_equal(in(fixture, FR) & 0x40, 0x40);
    assert_int_equal(waiting_in_pipe(fixture->in[0]), 10);
    for (size_t i = 0; i < sizeof text; i++) {
        if (i == SERIAL_LINE_QUEUE_SIZE)
            assert_int_equal(pump(&fixture->loop, PUMP_PATIENCE_MS), 1);
        assert_int_equal(in(fixture, DR), text[i]);
    }
}

static void loops_back(void **state)
{
    struct fixture *fixture = *state;

    out(fixture, CR, CR_ON | CR_LOOPBACK);
    for (unsigned i = 0; i < SERIAL_LINE_QUEUE_SIZE + 1; i++)
        out(fixture, DR, 'x');
    assert_int_equal(waiting_in_pipe(fixture->out[0]), 0);
    for (unsigned i = 0; i < SERIAL_LINE_QUEUE_SIZE; i++)
        assert_int_equal(in(fixture, DR), 'x');
    assert_int_equal(in(fixture, FR) & 0x10, 0x10);
}

static void state_survives(void **state)
{
    struct fixture *fixture = *state;
    struct state_writer writer = {0};
    struct state_reader reader;

    turn_on(fixture);
    type(fixture, "abc");
    out(fixture, IBRD, 0x1234);
    out(fixture, FBRD, 0x21);
    out(fixture, IFLS, 0x09);
    out(fixture, DR, '!');
    in(fixture, DR);
    pl011_save(&fixture->uart, &writer);
    pl011_reset(&fixture->uart);
    edges(fixture);
    assert_false(is_watching(fixture));
    starts_in_the_reset_state(state);

    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    pl011_restore(&fixture->uart, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(edges(fixture), 0); /* the interrupt controller has its own memory */
    assert_int_equal(in(fixture, IBRD), 0x1234);
    assert_int_equal(in(fixture, FBRD), 0x21);
    assert_int_equal(in(fixture, LCR_H), 0x60 | FIFO);
    assert_int_equal(in(fixture, CR), CR_ON);
    assert_int_equal(in(fixture, IFLS), 0x09);
    assert_int_equal(in(fixture, IMSC), RX | RT);
    assert_int_equal(in(fixture, RIS), RT | TX);
    assert_int_equal(in(fixture, DR), 'b');
    assert_int_equal(in(fixture, DR), 'c');
    assert_true(is_watching(fixture));
    for (size_t cut = 0; cut < writer.size; cut++) {
        reader = (struct state_reader){.data = writer.data, .size = cut};
        pl011_restore(&fixture->uart, &reader);
        assert_true(state_failed(&reader));
    }
    starts_in_the_reset_state(state);
    state_writer_free(&writer);
}

static void ignores_accesses_that_meet_no_register(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    pl011_ops.write(&fixture->uart, CR, bytes, 8);
    pl011_ops.write(&fixture->uart, CR + 1, bytes, 1);
    assert_int_equal(in(fixture, CR), 0x300);
    pl011_ops.read(&fixture->uart, PERIPHERAL_ID, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
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

    port_abuse(&pl011_ops, &fixture->uart, 0x48, 20000);
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
        assert_int_equal(write(fixture->in[1], "input", 5), 5);
    for (int i = 0; i < 2; i++)
        pthread_join(vcpus[i], NULL);
    loop_stop(&fixture->loop);
    pl011_reset(&fixture->uart);
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
        test(is_known_by_its_identity),
        test(sends_bytes_to_the_host),
        test(says_when_the_fifo_is_empty),
        test(leaves_input_to_the_host_until_somebody_listens),
        test(tells_a_level_from_a_timeout),
        test(stops_wanting_input_when_full_and_loses_nothing),
        test(loops_back),
        test(state_survives),
        test(ignores_accesses_that_meet_no_register),
        test(survives_two_wild_vcpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
