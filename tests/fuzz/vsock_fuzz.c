/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of virtio-vsock, while programs of the host come, write, read and go. */
#include "virtio_script.h"

#include "devices/virtio/vsock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROGRAMS 8u
#define CID 3u
#define PORT 1u /* where a program listens */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
    struct sockaddr_un guests; /* the socket of the vsock */
    int listener;
    int programs[PROGRAMS]; /* -1: none */
};

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void open_host(struct host *host)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    host->guests = address;
    snprintf(host->guests.sun_path, 90, "/tmp/husk-vsock-fuzz-%d", (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/husk-vsock-fuzz-%d_%u",
             (int)getpid(), PORT);
    host->listener = new_socket();
    unlink(address.sun_path);
    if (bind(host->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(host->listener, (int)PROGRAMS) < 0)
        abort();
    for (unsigned i = 0; i < PROGRAMS; i++)
        host->programs[i] = -1;
}

static void leave(struct host *host, unsigned program)
{
    if (host->programs[program] >= 0)
        close(host->programs[program]);
    host->programs[program] = -1;
}

static void close_host(struct host *host)
{
    char path[sizeof host->guests.sun_path + 8];

    for (unsigned i = 0; i < PROGRAMS; i++)
        leave(host, i);
    close(host->listener);
    snprintf(path, sizeof path, "%s_%u", host->guests.sun_path, PORT);
    unlink(path);
}

static void connect_program(struct host *host, unsigned program, const char *line)
{
    leave(host, program);
    host->programs[program] = new_socket();
    if (connect(host->programs[program], (struct sockaddr *)&host->guests,
                sizeof host->guests) == 0)
        send(host->programs[program], line, strlen(line), MSG_NOSIGNAL);
}

static void accept_program(struct host *host, unsigned program)
{
    leave(host, program);
    host->programs[program] = accept4(host->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* The lower bits say which program, the upper what it does. */
static void act(void *context, uint8_t argument)
{
    static uint8_t bytes[100000];
    struct host *host = context;
    unsigned program = argument % PROGRAMS;
    int fd = host->programs[program];

    switch (argument / PROGRAMS % 10) {
    case 0:
        connect_program(host, program, "CONNECT 5\n");
        break;
    case 1:
        connect_program(host, program, "CONNECT 5\nand more");
        break;
    case 2:
        connect_program(host, program, "CONN");
        break;
    case 3:
        accept_program(host, program);
        break;
    case 4:
        send(fd, bytes, 100, MSG_NOSIGNAL);
        break;
    case 5:
        send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        break;
    case 6:
        while (recv(fd, bytes, sizeof bytes, 0) > 0)
            ;
        break;
    case 7:
        shutdown(fd, SHUT_WR);
        break;
    case 8:
        shutdown(fd, SHUT_RD);
        break;
    case 9:
        leave(host, program);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct virtio_device *device;
    struct vsock *vsock;
    struct host host;

    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    open_host(&host);
    if (vsock_open(&vsock, host.guests.sun_path, CID, NULL) ||
        virtio_vsock_create(&device, &guest.environment, vsock, NULL))
        abort();
    mock_driver_open(&driver, &guest, device);
    script_run(&driver, data, size, act, &host);
    if (guest.log_lines > 2)
        abort();
    virtio_device_destroy(device);
    mock_driver_close(&driver);
    vsock_close(vsock);
    close_host(&host);
    mock_guest_close(&guest);
    return 0;
}
