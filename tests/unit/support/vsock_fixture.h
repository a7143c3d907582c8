/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the socket device share: a guest that speaks packets, and programs of the host. */
#ifndef HUSK_TESTS_VSOCK_FIXTURE_H
#define HUSK_TESTS_VSOCK_FIXTURE_H

#include "devices/virtio/vsock.h"
#include "support/mock_driver.h"
#include "support/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_vsock.h>

#define OP(name) VIRTIO_VSOCK_OP_##name
#define RECEIVE 0u
#define SEND 1u
#define EVENT 2u
#define SIZE 64u

#define GUEST_CID 7u
#define GUEST_PORT 1234u /* of what the guest connects */
#define PORT 5000u       /* where the guest listens, or the host */

#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define BUFFERS MOCK_BUFFERS
#define BUFFER_SIZE 0x1000u
#define PACKET (MOCK_BUFFERS + 0x200000) /* where the guest makes those that it sends */
#define PACKET_MAX 0x20000u

struct fixture {
    struct mock_guest guest;
    struct scratch scratch;
    char path[96];
    char port_path[108];
    struct vsock *vsock;
    struct virtio_device *device;
    struct mock_driver driver;
    unsigned offered, taken;
    uint32_t guest_buffer; /* what the guest says that it has */
    uint32_t guest_forwarded;
};

/* --- life --- */

static inline int open_fixture(void **state)
{
    static struct fixture f;
    struct err err;

    f = (struct fixture){.guest_buffer = 0x40000};
    mock_guest_open(&f.guest);
    scratch_open(&f.scratch);
    snprintf(f.path, sizeof f.path, "%s/vsock", f.scratch.folder);
    snprintf(f.port_path, sizeof f.port_path, "%s_%u", f.path, PORT);
    if (vsock_open(&f.vsock, f.path, GUEST_CID, &err) ||
        virtio_vsock_create(&f.device, &f.guest.environment, f.vsock, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f.driver, &f.guest, f.device);
    *state = &f;
    return 0;
}

static inline int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    vsock_close(f->vsock);
    assert_int_equal(access(f->path, F_OK), -1);
    scratch_close(&f->scratch);
    mock_guest_close(&f->guest);
    return 0;
}

/* --- the guest --- */

static inline uint64_t buffer_at(unsigned index)
{
    return BUFFERS + (uint64_t)(index % SIZE) * BUFFER_SIZE;
}

/* As Linux does it: the header has a buffer of its own. */
static inline void refill(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = buffer_at(f->offered++);
        const struct mock_descriptor pieces[] = {
            {at, HEADER, VRING_DESC_F_WRITE, 0},
            {at + HEADER, BUFFER_SIZE - HEADER, VRING_DESC_F_WRITE, 0},
        };

        mock_add(&f->driver.rings[RECEIVE], pieces, 2);
    }
    mock_kick(&f->driver, RECEIVE);
}

static inline void start(struct fixture *f, unsigned buffers)
{
    f->offered = f->taken = 0;
    mock_start(&f->driver, 0, 2 * SIZE);
    refill(f, buffers);
}

static inline struct virtio_vsock_hdr header_of(const struct fixture *f, unsigned operation,
                                                uint32_t host_port, uint32_t guest_port,
                                                uint32_t size)
{
    return (struct virtio_vsock_hdr){
        .src_cid = GUEST_CID,
        .dst_cid = VSOCK_HOST_CID,
        .src_port = guest_port,
        .dst_port = host_port,
        .len = size,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = (uint16_t)operation,
        .buf_alloc = f->guest_buffer,
        .fwd_cnt = f->guest_forwarded,
    };
}

static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

/* Offers a packet without a kick; its payload are bytes [from, from + size) of the pattern. */
static inline void put(struct fixture *f, const struct virtio_vsock_hdr *header, uint32_t size,
                       size_t from)
{
    uint8_t *bytes = mock_at(&f->guest, PACKET, HEADER + size);
    const struct mock_descriptor pieces[] = {
        {PACKET, 20, 0, 0}, /* cut in the header */
        {PACKET + 20, HEADER - 20 + size, 0, 0},
    };

    memcpy(bytes, header, HEADER);
    for (uint32_t i = 0; i < size; i++)
        bytes[HEADER + i] = pattern(from + i);
    mock_add(&f->driver.rings[SEND], pieces, 2);
}

static inline void say_raw(struct fixture *f, const struct virtio_vsock_hdr *header, uint32_t size)
{
    uint32_t name, length;

    put(f, header, size, 0);
    mock_kick(&f->driver, SEND);
    while (mock_take(&f->driver.rings[SEND], &name, &length))
        assert_int_equal(length, 0);
}

static inline void say(struct fixture *f, unsigned operation, uint32_t host_port, uint32_t guest_port)
{
    struct virtio_vsock_hdr header = header_of(f, operation, host_port, guest_port, 0);

    say_raw(f, &header, 0);
}

static inline void say_shutdown(struct fixture *f, uint32_t host_port, uint32_t guest_port,
                                uint32_t flags)
{
    struct virtio_vsock_hdr header = header_of(f, OP(SHUTDOWN), host_port, guest_port, 0);

    header.flags = flags;
    say_raw(f, &header, 0);
}

/* Bytes [from, from + size) of the pattern. */
static inline void say_data(struct fixture *f, uint32_t host_port, uint32_t guest_port,
                            uint32_t size, size_t from)
{
    struct virtio_vsock_hdr header = header_of(f, OP(RW), host_port, guest_port, size);
    uint32_t name, length;

    put(f, &header, size, from);
    mock_kick(&f->driver, SEND);
    while (mock_take(&f->driver.rings[SEND], &name, &length))
        ;
}

/* The next packet for the guest; false: there is none. Its buffer stays as it is until refilled. */
static inline bool hear(struct fixture *f, struct virtio_vsock_hdr *header, const uint8_t **payload)
{
    const uint8_t *bytes = mock_at(&f->guest, buffer_at(f->taken), BUFFER_SIZE);
    uint32_t name, length;

    if (!mock_take(&f->driver.rings[RECEIVE], &name, &length))
        return false;
    f->taken++;
    memcpy(header, bytes, HEADER);
    assert_int_equal(length, HEADER + header->len);
    if (payload)
        *payload = bytes + HEADER;
    return true;
}

static inline struct virtio_vsock_hdr expect(struct fixture *f, unsigned operation)
{
    struct virtio_vsock_hdr header;

    if (!hear(f, &header, NULL))
        fail_msg("no packet, where operation %u was expected", operation);
    assert_int_equal(header.op, operation);
    return header;
}

static inline struct virtio_vsock_hdr expect_of(struct fixture *f, unsigned operation,
                                                uint32_t host_port, uint32_t guest_port)
{
    struct virtio_vsock_hdr header = expect(f, operation);

    assert_int_equal(header.src_cid, VSOCK_HOST_CID);
    assert_int_equal(header.dst_cid, GUEST_CID);
    assert_int_equal(header.src_port, host_port);
    assert_int_equal(header.dst_port, guest_port);
    return header;
}

static inline void expect_silence(struct fixture *f)
{
    struct virtio_vsock_hdr header;

    mock_settle(&f->guest);
    if (hear(f, &header, NULL))
        fail_msg("operation %u, where nothing was expected", header.op);
}

/* --- the host --- */

/* A socket that listens there, or is connected to who does; -1: his backlog is full. */
static inline int try_socket(const char *path, bool listening)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, path);
    if (listening) {
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, SOMAXCONN), 0);
    } else if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        assert_int_equal(errno, EAGAIN);
        close(fd);
        return -1;
    }
    return fd;
}

static inline int unix_socket(const char *path, bool listening)
{
    int fd = try_socket(path, listening);

    assert_true(fd >= 0);
    return fd;
}

static inline void write_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void expect_text(int fd, const char *text)
{
    char read[64] = "";

    assert_int_equal(recv(fd, read, strlen(text), 0), strlen(text));
    assert_string_equal(read, text);
}

static inline void expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* Reads what there is, which is the pattern from `at` on; how much it was. */
static inline size_t read_pattern(int fd, size_t at, size_t most)
{
    static uint8_t bytes[1 << 20];
    size_t done = 0;

    while (done < most) {
        ssize_t got = recv(fd, bytes, most - done < sizeof bytes ? most - done : sizeof bytes, 0);

        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] != pattern(at + done + (size_t)i))
                fail_msg("byte %zu is wrong", at + done + (size_t)i);
        done += (size_t)got;
    }
    return done;
}

static inline size_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* --- connections --- */

/* A program that has connected to PORT of the guest, which has accepted. */
static inline int connect_host(struct fixture *f, uint32_t *host_port)
{
    int fd = unix_socket(f->path, false);
    char line[32];

    write_text(fd, "CONNECT 5000\n");
    mock_settle(&f->guest);
    *host_port = expect(f, OP(REQUEST)).src_port;
    say(f, OP(RESPONSE), *host_port, PORT);
    snprintf(line, sizeof line, "OK %u\n", *host_port);
    expect_text(fd, line);
    return fd;
}

/* The guest has connected to PORT of the host; the program's socket. */
static inline int connect_guest(struct fixture *f, int listener, uint32_t guest_port)
{
    int fd;

    say(f, OP(REQUEST), PORT, guest_port);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

#endif
