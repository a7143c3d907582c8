/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio socket device between a mock driver and programs of the host, which are the test. */
#include "support/vsock_fixture.h"

/* --- configuration --- */

static void the_configuration_tells_the_cid(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_config config;

    virtio_device_read_config(f->device, 0, &config, sizeof config);
    assert_int_equal(config.guest_cid, GUEST_CID);
    assert_int_equal(mock_offered(&f->driver) & 0xffffff, 1);
    assert_int_equal(f->device->queue_count, 3);
}

/* --- connections of the host --- */

static void a_program_connects_to_the_guest(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;
    const uint8_t *payload;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    assert_true(port >= 1u << 30);

    write_text(fd, "ping");
    mock_settle(&f->guest);
    assert_true(mock_interrupted(&f->driver, NULL));
    assert_true(hear(f, &header, &payload));
    assert_int_equal(header.op, OP(RW));
    assert_int_equal(header.src_port, port);
    assert_int_equal(header.dst_port, PORT);
    assert_int_equal(header.len, 4);
    assert_memory_equal(payload, "ping", 4);

    say_data(f, port, PORT, 3000, 0);
    assert_int_equal(read_pattern(fd, 0, 4000), 3000);
    close(fd);
}

/* Nothing of what follows the line is lost, however it is cut; nor what came before the answer. */
static void a_line_comes_in_pieces_with_data_behind_it(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;
    const uint8_t *payload;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = unix_socket(f->path, false);
    write_text(fd, "CONN");
    expect_silence(f);
    write_text(fd, "ECT 5000\nearly");
    mock_settle(&f->guest);
    port = expect(f, OP(REQUEST)).src_port;
    expect_silence(f);
    say(f, OP(RESPONSE), port, PORT);
    mock_settle(&f->guest);
    assert_true(hear(f, &header, &payload));
    assert_int_equal(header.len, 5);
    assert_memory_equal(payload, "early", 5);
    close(fd);
}

static void a_wrong_line_closes_the_connection(void **state)
{
    static const char *const lines[] = {
        "\n", "CONNECT\n", "CONNECT \n", "connect 5\n", "CONNECT 5 \n", "CONNECT -5\n",
        "CONNECT 5x\n", "CONNECT +5\n", "CONNECT 4294967295\n", "CONNECT 99999999999\n",
        "CONNECT 1234567890123456", "GET / HTTP/1.1\r\n",
    };
    struct fixture *f = *state;
    size_t before;

    start(f, SIZE);
    before = descriptors();
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int fd = unix_socket(f->path, false);
        ssize_t got;
        char byte;

        write_text(fd, lines[i]);
        mock_settle(&f->guest);
        got = recv(fd, &byte, 1, 0);
        if (got > 0 || (got < 0 && errno == EAGAIN))
            fail_msg("\"%s\" does not close the connection", lines[i]);
        close(fd);
    }
    expect_silence(f);
    assert_int_equal(descriptors(), before);
}

static void the_guest_refuses(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = unix_socket(f->path, false);
    write_text(fd, "CONNECT 5000\n");
    mock_settle(&f->guest);
    port = expect(f, OP(REQUEST)).src_port;
    say(f, OP(RST), port, PORT);
    expect_end(fd);
    expect_silence(f);
    close(fd);
}

/* Before the guest was asked, after it was asked, and after it has accepted. */
static void a_program_gives_up(void **state)
{
    struct fixture *f = *state;
    size_t before;
    uint32_t port;
    int fd;

    start(f, 0);
    before = descriptors();
    fd = unix_socket(f->path, false);
    write_text(fd, "CONNECT 5000\n");
    mock_settle(&f->guest);
    close(fd);
    mock_settle(&f->guest);
    refill(f, SIZE);
    expect_silence(f);

    fd = unix_socket(f->path, false);
    write_text(fd, "CONNECT 5000\n");
    mock_settle(&f->guest);
    port = expect(f, OP(REQUEST)).src_port;
    close(fd);
    mock_settle(&f->guest);
    expect_of(f, OP(RST), port, PORT);

    fd = connect_host(f, &port);
    close(fd);
    mock_settle(&f->guest);
    assert_int_equal(expect_of(f, OP(SHUTDOWN), port, PORT).flags, 3);
    say(f, OP(RST), port, PORT);
    assert_int_equal(descriptors(), before);
    say(f, OP(CREDIT_REQUEST), port, PORT);
    expect_of(f, OP(RST), port, PORT);
}

/* --- connections of the guest --- */

static void the_guest_connects_to_a_program(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    struct virtio_vsock_hdr header;
    const uint8_t *payload;
    int fd;

    start(f, SIZE);
    fd = connect_guest(f, listener, GUEST_PORT);
    header = expect_of(f, OP(RESPONSE), PORT, GUEST_PORT);
    assert_true(header.buf_alloc >= 4096);
    say_data(f, PORT, GUEST_PORT, 100, 0);
    assert_int_equal(read_pattern(fd, 0, 200), 100);
    write_text(fd, "pong");
    mock_settle(&f->guest);
    assert_true(hear(f, &header, &payload));
    assert_int_equal(header.fwd_cnt, 100);
    assert_memory_equal(payload, "pong", 4);
    close(fd);
    close(listener);
}

static void nobody_listens(void **state)
{
    struct fixture *f = *state;

    start(f, SIZE);
    say(f, OP(REQUEST), PORT, GUEST_PORT);
    expect_of(f, OP(RST), PORT, GUEST_PORT);
    expect_silence(f);
}

/* --- credit --- */

static void the_guest_is_sent_no_more_than_it_has_room_for(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;
    uint8_t bytes[1000];
    uint32_t port;
    int fd;

    f->guest_buffer = 100;
    start(f, SIZE);
    fd = connect_host(f, &port);
    memset(bytes, 5, sizeof bytes);
    assert_int_equal(send(fd, bytes, sizeof bytes, 0), sizeof bytes);
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(RW)).len, 100);
    expect(f, OP(CREDIT_REQUEST)); /* once */
    expect_silence(f);

    f->guest_forwarded = 60;
    say(f, OP(CREDIT_UPDATE), port, PORT);
    assert_int_equal(expect(f, OP(RW)).len, 60);
    expect(f, OP(CREDIT_REQUEST));
    f->guest_buffer = 50; /* it has thought better of it, and is full */
    say(f, OP(CREDIT_UPDATE), port, PORT);
    expect_silence(f);
    f->guest_buffer = UINT32_MAX;
    f->guest_forwarded = 160;
    say(f, OP(CREDIT_UPDATE), port, PORT);
    assert_true(hear(f, &header, NULL));
    assert_int_equal(header.len, 840);
    expect_silence(f);
    close(fd);
}

static void old_news_of_credit_changes_nothing(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    f->guest_buffer = 8;
    start(f, SIZE);
    fd = connect_host(f, &port);
    write_text(fd, "12345678abcd");
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(RW)).len, 8);
    expect(f, OP(CREDIT_REQUEST));
    f->guest_forwarded = 2;
    say(f, OP(CREDIT_UPDATE), port, PORT);
    assert_int_equal(expect(f, OP(RW)).len, 2);
    expect(f, OP(CREDIT_REQUEST));
    f->guest_forwarded = 1;
    say(f, OP(CREDIT_UPDATE), port, PORT);
    expect_silence(f);
    close(fd);
}

static void a_guest_that_has_taken_what_was_not_sent_is_reset(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    f->guest_forwarded = 1;
    say(f, OP(CREDIT_UPDATE), port, PORT);
    expect_of(f, OP(RST), port, PORT);
    expect_end(fd);
    close(fd);
}

static void the_guest_asks_for_credit(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    say_data(f, port, PORT, 10, 0);
    expect_silence(f);
    say(f, OP(CREDIT_REQUEST), port, PORT);
    assert_int_equal(expect_of(f, OP(CREDIT_UPDATE), port, PORT).fwd_cnt, 10);
    expect_silence(f);
    close(fd);
}

/* Sends until the promised queue is full; how much that was. */
static size_t fill_up(struct fixture *f, uint32_t port, uint32_t guest_port, uint32_t promised)
{
    uint32_t forwarded = 0;
    size_t sent = 0;

    while (sent < forwarded + promised) {
        struct virtio_vsock_hdr header;
        size_t room = forwarded + promised - sent;
        uint32_t size = room < 60000 ? (uint32_t)room : 60000;

        say_data(f, port, guest_port, size, sent);
        sent += size;
        while (hear(f, &header, NULL)) {
            assert_int_equal(header.op, OP(CREDIT_UPDATE));
            forwarded = header.fwd_cnt;
            refill(f, 1);
        }
    }
    return sent;
}

static void a_slow_reader_gets_everything_and_delays_nobody(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    size_t sent, got = 0, credited = 0;
    struct virtio_vsock_hdr header;
    uint32_t promised;
    int slow, other;

    start(f, SIZE);
    slow = connect_guest(f, listener, GUEST_PORT);
    promised = expect(f, OP(RESPONSE)).buf_alloc;
    sent = fill_up(f, PORT, GUEST_PORT, promised);
    assert_true(sent > promised); /* the socket has taken some */
    other = connect_guest(f, listener, GUEST_PORT + 1);
    expect(f, OP(RESPONSE));
    say_data(f, PORT, GUEST_PORT + 1, 1000, 0);
    assert_int_equal(read_pattern(other, 0, 2000), 1000);

    /* A little at a time, around the end of the queue's memory. */
    while (got < sent + 100000) {
        size_t more = read_pattern(slow, got, 10000);

        assert_true(more > 0);
        got += more;
        mock_settle(&f->guest);
        while (hear(f, &header, NULL)) {
            assert_int_equal(header.op, OP(CREDIT_UPDATE));
            credited = header.fwd_cnt;
            refill(f, 1);
        }
        if (got < 300000 && credited + promised > sent) {
            uint32_t size = (uint32_t)(credited + promised - sent);

            size = size < 50000 ? size : 50000;
            say_data(f, PORT, GUEST_PORT, size, sent);
            sent += size;
        }
        if (got == sent)
            break;
    }
    assert_int_equal(got, sent);
    close(slow);
    close(other);
    close(listener);
}

static void a_guest_that_sends_more_than_was_promised_is_reset(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    uint32_t promised;
    int fd;

    start(f, SIZE);
    fd = connect_guest(f, listener, GUEST_PORT);
    promised = expect(f, OP(RESPONSE)).buf_alloc;
    fill_up(f, PORT, GUEST_PORT, promised);
    say_data(f, PORT, GUEST_PORT, 1, 0);
    expect_of(f, OP(RST), PORT, GUEST_PORT);
    close(fd);
    close(listener);
}

/* --- ends --- */

static void the_host_sends_no_more(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    write_text(fd, "last");
    shutdown(fd, SHUT_WR);
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(RW)).len, 4);
    assert_int_equal(expect(f, OP(SHUTDOWN)).flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    say_data(f, port, PORT, 100, 0);
    assert_int_equal(read_pattern(fd, 0, 200), 100);
    expect_silence(f);

    close(fd); /* seen, though nothing is read any more */
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(SHUTDOWN)).flags, 3);
    say(f, OP(RST), port, PORT);
    expect_silence(f);
}

static void the_guest_sends_no_more(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    say_data(f, port, PORT, 100, 0);
    say_shutdown(f, port, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    assert_int_equal(read_pattern(fd, 0, 200), 100);
    expect_end(fd);
    write_text(fd, "still");
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(RW)).len, 5);
    expect_silence(f);
    say_data(f, port, PORT, 1, 0); /* a lie */
    expect_of(f, OP(RST), port, PORT);
    close(fd);
}

static void the_guest_takes_no_more(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    say_shutdown(f, port, PORT, VIRTIO_VSOCK_SHUTDOWN_RCV);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    say_data(f, port, PORT, 100, 0);
    assert_int_equal(read_pattern(fd, 0, 200), 100);
    expect_silence(f);
    close(fd);
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(SHUTDOWN)).flags, 3);
    say(f, OP(RST), port, PORT);
    expect_silence(f);
}

static void the_guest_closes(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    say_data(f, port, PORT, 100, 0);
    say_shutdown(f, port, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    say_shutdown(f, port, PORT, VIRTIO_VSOCK_SHUTDOWN_RCV);
    expect_of(f, OP(RST), port, PORT);
    assert_int_equal(read_pattern(fd, 0, 200), 100);
    expect_end(fd);
    expect_silence(f);
    close(fd);
}

/* What the guest had sent before it closed arrives, however long that takes. */
static void a_slow_reader_outlives_the_guests_end(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    size_t before, sent, got = 0;
    int fd;

    start(f, SIZE);
    before = descriptors();
    fd = connect_guest(f, listener, GUEST_PORT);
    sent = fill_up(f, PORT, GUEST_PORT, expect(f, OP(RESPONSE)).buf_alloc);
    say_shutdown(f, PORT, GUEST_PORT, 3);
    expect_of(f, OP(RST), PORT, GUEST_PORT);
    for (size_t more = 1; more > 0; got += more) {
        more = read_pattern(fd, got, 50000);
        mock_settle(&f->guest);
    }
    assert_int_equal(got, sent);
    expect_end(fd);
    close(fd);
    assert_int_equal(descriptors(), before);
    close(listener);
}

static void a_reader_that_goes_is_told_to_the_guest(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    shutdown(fd, SHUT_RD);
    say_data(f, port, PORT, 100, 0);
    assert_int_equal(expect(f, OP(SHUTDOWN)).flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
    write_text(fd, "one more word");
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(RW)).len, 13);
    say_data(f, port, PORT, 100, 0); /* was on its way; goes nowhere */
    expect_silence(f);
    close(fd);
    mock_settle(&f->guest);
    assert_int_equal(expect(f, OP(SHUTDOWN)).flags, 3);
}

/* A program that is gone without having read everything resets its connection, as with TCP. */
static void a_program_that_dies_resets(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    say_data(f, port, PORT, 100, 0);
    close(fd);
    mock_settle(&f->guest);
    expect_of(f, OP(RST), port, PORT);
    expect_silence(f);
}

/* --- rules --- */

static void malformed_packets_are_reset(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;

    start(f, SIZE);
    for (unsigned operation = 0; operation < 300; operation += operation < 10 ? 1 : 97) {
        if (operation == OP(RST))
            continue;
        say(f, operation, PORT, GUEST_PORT); /* of no connection, or unknown */
        expect_of(f, OP(RST), PORT, GUEST_PORT);
    }
    header = header_of(f, OP(REQUEST), PORT, GUEST_PORT, 0);
    header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    say_raw(f, &header, 0);
    assert_int_equal(expect(f, OP(RST)).type, VIRTIO_VSOCK_TYPE_SEQPACKET);
    header = header_of(f, OP(REQUEST), PORT, GUEST_PORT, 0);
    header.dst_cid = 99;
    say_raw(f, &header, 0);
    assert_int_equal(expect(f, OP(RST)).src_cid, 99);
    header = header_of(f, OP(REQUEST), PORT, GUEST_PORT, 0);
    header.src_cid = 98;
    say_raw(f, &header, 0);
    assert_int_equal(expect(f, OP(RST)).dst_cid, 98);
    say(f, OP(RST), PORT, GUEST_PORT); /* which is never answered */
    expect_silence(f);
}

static void what_no_connection_may_say_resets_it(void **state)
{
    static const unsigned operations[] = {OP(INVALID), OP(REQUEST), OP(RESPONSE), 8, 0xffff};
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;
    size_t before;
    uint32_t port;
    int fd;

    start(f, SIZE);
    before = descriptors();
    for (unsigned i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        fd = connect_host(f, &port);
        say(f, operations[i], port, PORT);
        expect_of(f, OP(RST), port, PORT);
        expect_end(fd);
        close(fd);
    }
    fd = connect_host(f, &port); /* a payload that is not all there */
    header = header_of(f, OP(RW), port, PORT, 101);
    say_raw(f, &header, 100);
    expect_of(f, OP(RST), port, PORT);
    close(fd);
    fd = unix_socket(f->path, false); /* data before the guest has accepted */
    write_text(fd, "CONNECT 5000\n");
    mock_settle(&f->guest);
    port = expect(f, OP(REQUEST)).src_port;
    say_data(f, port, PORT, 1, 0);
    expect_of(f, OP(RST), port, PORT);
    expect_end(fd);
    close(fd);
    assert_int_equal(descriptors(), before);
    expect_silence(f);
}

static void chains_too_short_for_a_header_are_returned(void **state)
{
    const struct mock_descriptor in = {BUFFERS, HEADER, VRING_DESC_F_WRITE, 0};
    const struct mock_descriptor out = {PACKET, HEADER - 1, 0, 0};
    struct fixture *f = *state;
    uint32_t name, length;

    start(f, 0);
    mock_add(&f->driver.rings[SEND], &out, 1);
    mock_kick(&f->driver, SEND);
    assert_true(mock_take(&f->driver.rings[SEND], &name, &length));
    mock_add(&f->driver.rings[RECEIVE], &in, 1);
    say(f, OP(RW), PORT, GUEST_PORT);
    assert_true(mock_take(&f->driver.rings[RECEIVE], &name, &length));
    assert_int_equal(length, 0);
    refill(f, 1);
    expect_of(f, OP(RST), PORT, GUEST_PORT);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

/* What waits for a guest that takes no answers is bounded, and its packets wait behind that. */
static void a_guest_without_buffers_harms_itself(void **state)
{
    struct fixture *f = *state;
    struct virtio_vsock_hdr header;
    uint32_t name, length;
    unsigned sent = 0, done = 0, answers = 0;

    start(f, 0);
    header = header_of(f, OP(RW), PORT, GUEST_PORT, 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 30; i++, sent++)
            put(f, &header, 0, 0);
        mock_kick(&f->driver, SEND);
        while (mock_take(&f->driver.rings[SEND], &name, &length))
            done++;
        if (done < sent)
            break;
    }
    assert_in_range(done, 60, sent - 1);
    for (unsigned round = 0; round < 20; round++) {
        refill(f, 10);
        while (hear(f, &header, NULL))
            answers++;
        while (mock_take(&f->driver.rings[SEND], &name, &length))
            done++;
    }
    assert_int_equal(done, sent);
    assert_int_equal(answers, sent);
}

/* One packet of each in turn, whatever they have. */
static void connections_take_turns(void **state)
{
    static uint8_t bytes[100000];
    struct fixture *f = *state;
    unsigned heard[3] = {0};
    uint32_t ports[3];
    int fds[3];

    start(f, 3);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = connect_host(f, &ports[i]);
    for (unsigned i = 0; i < 3; i++)
        assert_true(send(fds[i], bytes, sizeof bytes, 0) > 50000);
    mock_settle(&f->guest);
    refill(f, 24);
    for (struct virtio_vsock_hdr header; hear(f, &header, NULL);)
        for (unsigned i = 0; i < 3; i++)
            heard[i] += header.src_port == ports[i];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(heard[i], 8);
        close(fds[i]);
    }
}

/* --- the device's life --- */

static void a_reset_closes_everything_and_who_comes_waits(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    size_t before;
    uint32_t port;
    int fds[4];

    start(f, SIZE);
    before = descriptors();
    fds[0] = connect_host(f, &port);
    fds[1] = connect_guest(f, listener, GUEST_PORT);
    fds[2] = unix_socket(f->path, false);
    mock_settle(&f->guest);
    mock_reset(&f->driver);
    expect_end(fds[0]);
    expect_end(fds[1]);
    expect_end(fds[2]);
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(descriptors(), before);

    fds[3] = unix_socket(f->path, false);
    write_text(fds[3], "CONNECT 5000\n");
    mock_settle(&f->guest);
    start(f, SIZE);
    expect(f, OP(REQUEST));
    expect_silence(f);
    close(fds[3]);
    close(listener);
}

static void a_restored_guest_hears_that_its_connections_are_gone(void **state)
{
    const struct mock_descriptor buffer = {BUFFERS + 0x100000, 4, VRING_DESC_F_WRITE, 0};
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    uint32_t name, length, port;
    uint8_t *event = mock_at(&f->guest, buffer.address, 4);
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    mock_kick(&f->driver, EVENT);
    mock_add(&f->driver.rings[EVENT], &buffer, 1);
    mock_kick(&f->driver, EVENT);
    assert_false(mock_take(&f->driver.rings[EVENT], &name, &length));
    memset(event, 0xee, 4);
    mock_save(&f->driver, &writer);
    mock_reset(&f->driver);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&f->driver, &reader, NULL), 0);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[EVENT], &name, &length));
    assert_int_equal(length, 4);
    assert_memory_equal(event, "\0\0\0\0", 4);
    expect_end(fd);
    close(fd);
    state_writer_free(&writer);

    f->guest_forwarded = 0; /* and it works as before */
    fd = connect_host(f, &port);
    close(fd);
}

static void all_is_counted(void **state)
{
    struct fixture *f = *state;
    const struct vsock_counters *to = vsock_to_guest(f->vsock), *from = vsock_from_guest(f->vsock);
    uint32_t port;
    int fd;

    start(f, SIZE);
    fd = connect_host(f, &port);
    write_text(fd, "12345");
    mock_settle(&f->guest);
    say_data(f, port, PORT, 70, 0);
    say_shutdown(f, port, PORT, 3);
    say(f, OP(RST), 1, 1);
    assert_int_equal(counter_read(&to->packets), 3); /* REQUEST, RW, RST */
    assert_int_equal(counter_read(&to->bytes), 5);
    assert_int_equal(counter_read(&to->resets), 1);
    assert_int_equal(counter_read(&to->connections), 1);
    assert_int_equal(counter_read(&to->closed), 1);
    assert_int_equal(counter_read(&from->packets), 4);
    assert_int_equal(counter_read(&from->bytes), 70);
    assert_int_equal(counter_read(&from->resets), 1);
    assert_int_equal(counter_read(&from->connections), 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_configuration_tells_the_cid),
        TEST(a_program_connects_to_the_guest),
        TEST(a_line_comes_in_pieces_with_data_behind_it),
        TEST(a_wrong_line_closes_the_connection),
        TEST(the_guest_refuses),
        TEST(a_program_gives_up),
        TEST(the_guest_connects_to_a_program),
        TEST(nobody_listens),
        TEST(the_guest_is_sent_no_more_than_it_has_room_for),
        TEST(old_news_of_credit_changes_nothing),
        TEST(a_guest_that_has_taken_what_was_not_sent_is_reset),
        TEST(the_guest_asks_for_credit),
        TEST(a_slow_reader_gets_everything_and_delays_nobody),
        TEST(a_guest_that_sends_more_than_was_promised_is_reset),
        TEST(the_host_sends_no_more),
        TEST(the_guest_sends_no_more),
        TEST(the_guest_takes_no_more),
        TEST(the_guest_closes),
        TEST(a_slow_reader_outlives_the_guests_end),
        TEST(a_reader_that_goes_is_told_to_the_guest),
        TEST(a_program_that_dies_resets),
        TEST(malformed_packets_are_reset),
        TEST(what_no_connection_may_say_resets_it),
        TEST(chains_too_short_for_a_header_are_returned),
        TEST(a_guest_without_buffers_harms_itself),
        TEST(connections_take_turns),
        TEST(a_reset_closes_everything_and_who_comes_waits),
        TEST(a_restored_guest_hears_that_its_connections_are_gone),
        TEST(all_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
