/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio console between a mock driver and two pipes. */
#include "devices/virtio/console.h"
#include "support/mock_driver.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_console.h>

#define SIZE 16u
#define INPUT 0u
#define OUTPUT 1u
#define BUFFERS MOCK_BUFFERS
#define BIG (MOCK_BUFFERS + 0x100000)
#define BIG_SIZE 0x280000u /* more than two turns take */

struct fixture {
    struct mock_guest guest;
    struct console console;
    struct virtio_device *device;
    struct mock_driver driver;
    int to_guest;   /* write end of the console's input */
    int from_guest; /* read end of its output */
    int ends[2];    /* the console's own ends */
};

static int open_fixture(void **state)
{
    static struct fixture f;
    struct err err;
    int in[2], out[2];

    f = (struct fixture){.to_guest = -1};
    mock_guest_open(&f.guest);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    f.to_guest = in[1];
    f.from_guest = out[0];
    f.ends[0] = in[0];
    f.ends[1] = out[1];
    assert_int_equal(fcntl(f.from_guest, F_SETFL, O_NONBLOCK), 0);
    if (console_open(&f.console, &f.guest.loop, in[0], out[1], &err) ||
        virtio_console_create(&f.device, &f.guest.environment, &f.console, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f.driver, &f.guest, f.device);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    console_close(&f->console);
    mock_guest_close(&f->guest);
    close(f->to_guest);
    close(f->from_guest);
    close(f->ends[0]);
    close(f->ends[1]);
    return 0;
}

static void offer_input(struct fixture *f, unsigned count, uint32_t size)
{
    for (unsigned i = 0; i < count; i++)
        mock_add(&f->driver.rings[INPUT],
                 &(struct mock_descriptor){BUFFERS + i * 0x1000, size, VRING_DESC_F_WRITE, 0}, 1);
    mock_kick(&f->driver, INPUT);
}

static void send(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->to_guest, text, strlen(text)), strlen(text));
    mock_settle(&f->guest);
}

/* Takes one used input buffer and compares it. */
static void expect_input(struct fixture *f, unsigned buffer, const char *text)
{
    uint32_t length;

    assert_true(mock_take(&f->driver.rings[INPUT], NULL, &length));
    assert_int_equal(length, strlen(text));
    assert_memory_equal(mock_at(&f->guest, BUFFERS + buffer * 0x1000, length), text, length);
}

static void print(struct fixture *f, const char *text)
{
    memcpy(mock_at(&f->guest, BIG, strlen(text)), text, strlen(text));
    mock_add(&f->driver.rings[OUTPUT],
             &(struct mock_descriptor){BIG, (uint32_t)strlen(text), 0, 0}, 1);
    mock_kick(&f->driver, OUTPUT);
}

static void expect_output(struct fixture *f, const char *text)
{
    char bytes[64];
    ssize_t got = read(f->from_guest, bytes, sizeof bytes);

    assert_int_equal(got, strlen(text));
    assert_memory_equal(bytes, text, (size_t)got);
}

static void bytes_go_both_ways(void **state)
{
    struct fixture *f = *state;
    uint32_t length;

    mock_start(&f->driver, 0, SIZE);
    offer_input(f, 2, 64);
    send(f, "hello\n");
    expect_input(f, 0, "hello\n");
    assert_true(mock_interrupted(&f->driver, NULL));
    send(f, "again");
    expect_input(f, 1, "again");

    print(f, "guest says hello\n");
    expect_output(f, "guest says hello\n");
    assert_true(mock_take(&f->driver.rings[OUTPUT], NULL, &length));
    assert_int_equal(length, 0);
}

static void input_waits_for_buffers_without_spinning(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MOCK_EVENT_IDX, SIZE);
    send(f, "early");
    assert_int_equal(mock_turn(&f->guest), 0); /* nothing is ready: the input is not watched */
    assert_int_equal(f->console.input.events, 0);
    offer_input(f, 2, 3);
    expect_input(f, 0, "ear");
    expect_input(f, 1, "ly");
    send(f, "more");
    assert_int_equal(mock_turn(&f->guest), 0);
    offer_input(f, 1, 64);
    expect_input(f, 0, "more");
}

static void the_end_of_input_does_not_spin(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    offer_input(f, 1, 64);
    close(f->to_guest);
    f->to_guest = dup(f->from_guest);
    mock_settle(&f->guest);
    assert_int_equal(mock_turn(&f->guest), 0);
    assert_false(mock_take(&f->driver.rings[INPUT], NULL, NULL));
}

/* More than a pipe holds, in buffers of an awkward size; every byte comes once and in order. */
static void a_slow_reader_holds_the_guest_back(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = mock_at(&f->guest, BIG, BIG_SIZE);
    const uint32_t piece = 70001;
    unsigned added = 0, taken = 0;
    size_t received = 0, total = 20 * (size_t)piece;
    uint8_t chunk[30011];

    for (size_t i = 0; i < total; i++)
        bytes[i] = (uint8_t)(i * 13 + i / 257);
    mock_start(&f->driver, MOCK_EVENT_IDX, SIZE);
    for (; added < SIZE; added++)
        mock_add(&f->driver.rings[OUTPUT],
                 &(struct mock_descriptor){BIG + added * (uint64_t)piece, piece, 0, 0}, 1);
    mock_kick(&f->driver, OUTPUT);
    assert_int_equal(mock_used_idx(&f->driver.rings[OUTPUT]), 0); /* the pipe holds 64 KiB */
    assert_int_equal(mock_turn(&f->guest), 0);                    /* and nobody spins */

    while (received < total) {
        ssize_t got = read(f->from_guest, chunk, sizeof chunk);

        assert_true(got > 0);
        assert_memory_equal(chunk, bytes + received, (size_t)got);
        received += (size_t)got;
        mock_settle(&f->guest);
        while (mock_take(&f->driver.rings[OUTPUT], NULL, NULL)) {
            taken++;
            if (added < 20) {
                mock_add(&f->driver.rings[OUTPUT],
                         &(struct mock_descriptor){BIG + added * (uint64_t)piece, piece, 0, 0}, 1);
                added++;
                mock_kick(&f->driver, OUTPUT);
            }
        }
    }
    assert_int_equal(taken, 20);
}

/* Without a reader everything is taken at once, and a turn ends all the same. */
static void a_long_chain_takes_several_turns(void **state)
{
    struct fixture *f = *state;

    signal(SIGPIPE, SIG_IGN);
    close(f->from_guest);
    f->from_guest = -1;
    mock_start(&f->driver, 0, SIZE);
    mock_add(&f->driver.rings[OUTPUT], &(struct mock_descriptor){BIG, BIG_SIZE, 0, 0}, 1);
    assert_true(mock_turn(&f->guest) > 0);
    assert_int_equal(mock_used_idx(&f->driver.rings[OUTPUT]), 0);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(&f->driver.rings[OUTPUT]), 1);
    assert_int_equal(mock_turn(&f->guest), 0);
}

static void a_reset_drops_half_written_output(void **state)
{
    struct fixture *f = *state;
    static char drain[BIG_SIZE];

    mock_start(&f->driver, 0, SIZE);
    mock_add(&f->driver.rings[OUTPUT], &(struct mock_descriptor){BIG, 100000, 0, 0}, 1);
    mock_kick(&f->driver, OUTPUT);
    assert_false(mock_take(&f->driver.rings[OUTPUT], NULL, NULL));
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_true(read(f->from_guest, drain, sizeof drain) > 0);
    mock_settle(&f->guest);
    assert_int_equal(read(f->from_guest, drain, sizeof drain), -1);
    mock_start(&f->driver, 0, SIZE);
    print(f, "after");
    expect_output(f, "after");
}

static void the_window_size_is_told(void **state)
{
    struct fixture *f = *state;
    uint32_t causes;

    virtio_console_resize(f->device, 80, 25);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG), 80 | 25 << 16);
    assert_true(mock_negotiate(&f->driver, MOCK_FEATURE(VIRTIO_CONSOLE_F_SIZE) | MOCK_VERSION_1));
    mock_queue(&f->driver, INPUT, SIZE);
    mock_queue(&f->driver, OUTPUT, SIZE);
    mock_driver_ok(&f->driver);
    assert_true(mock_interrupted(&f->driver, &causes)); /* Linux looks only when it is told */
    assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
    virtio_console_resize(f->device, 132, 50);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG), 132 | 50 << 16);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
    virtio_console_resize(f->device, 132, 50);
    assert_false(mock_interrupted(&f->driver, NULL));
}

static void an_emergency_needs_no_driver(void **state)
{
    struct fixture *f = *state;

    assert_true(mock_offered(&f->driver) & MOCK_FEATURE(VIRTIO_CONSOLE_F_EMERG_WRITE));
    mock_write32(&f->driver,
                 VIRTIO_MMIO_CONFIG + offsetof(struct virtio_console_config, emerg_wr), '!');
    expect_output(f, "!");
    mock_write32(&f->driver, VIRTIO_MMIO_CONFIG, 'x'); /* the rest is not for writing */
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG), 0);
}

static void a_snapshot_keeps_the_place_in_the_output(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = mock_at(&f->guest, BIG, BIG_SIZE);
    struct state_writer writer = {0};
    struct state_reader reader;
    struct mock_ring rings[2];
    static uint8_t received[100000];
    size_t count = 0;
    ssize_t got;

    for (unsigned i = 0; i < sizeof received; i++)
        bytes[i] = (uint8_t)(i * 3 + i / 300);
    mock_start(&f->driver, 0, SIZE);
    virtio_console_resize(f->device, 90, 30);
    mock_add(&f->driver.rings[OUTPUT],
             &(struct mock_descriptor){BIG, sizeof received, 0, 0}, 1);
    mock_kick(&f->driver, OUTPUT);
    mock_save(&f->driver, &writer);

    memcpy(rings, f->driver.rings, sizeof rings);
    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    assert_int_equal(virtio_console_create(&f->device, &f->guest.environment, &f->console, NULL),
                     0);
    mock_driver_open(&f->driver, &f->guest, f->device);
    memcpy(f->driver.rings, rings, sizeof rings);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&f->driver, &reader, NULL), 0);
    state_writer_free(&writer);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG), 90 | 30 << 16);

    while ((got = read(f->from_guest, received + count, sizeof received - count)) > 0) {
        count += (size_t)got;
        mock_settle(&f->guest);
    }
    assert_int_equal(count, sizeof received);
    assert_memory_equal(received, bytes, sizeof received);
    assert_true(mock_take(&f->driver.rings[OUTPUT], NULL, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways),
        TEST(input_waits_for_buffers_without_spinning),
        TEST(the_end_of_input_does_not_spin),
        TEST(a_slow_reader_holds_the_guest_back),
        TEST(a_long_chain_takes_several_turns),
        TEST(a_reset_drops_half_written_output),
        TEST(the_window_size_is_told),
        TEST(an_emergency_needs_no_driver),
        TEST(a_snapshot_keeps_the_place_in_the_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
