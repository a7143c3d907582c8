/* SPDX-License-Identifier: Apache-2.0 */
/* "CONNECT <port>\n" of a program of the host, and "OK <port>\n" for it. */
#include "devices/vsock/vsock_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COMMAND "CONNECT "
#define PORT_ANY UINT32_MAX /* no port (VMADDR_PORT_ANY) */

/* The port in the line, without its end; PORT_ANY if it is no such line. */
static uint32_t parse(const char *line)
{
    const char *digits = line + strlen(COMMAND);
    unsigned long port;
    char *end;

    if (strncmp(line, COMMAND, strlen(COMMAND)) != 0 || *digits < '0' || *digits > '9')
        return PORT_ANY;
    port = strtoul(digits, &end, 10);
    return *end == '\0' && port < PORT_ANY ? (uint32_t)port : PORT_ANY;
}

/*
 * Moves bytes from the socket to the line, and none from behind it: those are for the guest. 1: the
 * line is complete; 0: not yet; negative: it never will be.
 */
static int read_line(struct vsock_connection *connection)
{
    int fd = connection->source.fd;

    while (connection->line_size < VSOCK_LINE_MAX) {
        char *to = connection->line + connection->line_size;
        ssize_t got = recv(fd, to, VSOCK_LINE_MAX - connection->line_size,
                           MSG_PEEK | MSG_DONTWAIT);
        char *newline;

        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0)
            return -EPROTO;
        newline = memchr(to, '\n', (size_t)got);
        got = recv(fd, to, newline ? (size_t)(newline - to) + 1 : (size_t)got, MSG_DONTWAIT);
        if (got <= 0)
            return -EPROTO;
        connection->line_size += (uint8_t)got;
        if (newline) {
            *newline = '\0';
            return 1;
        }
    }
    return -EPROTO;
}

void vsock_handshake(struct vsock_connection *connection)
{
    int rc = read_line(connection);
    uint32_t port = rc > 0 ? parse(connection->line) : PORT_ANY;

    if (rc == 0)
        return;
    if (port == PORT_ANY) {
        vsock_release(connection);
        return;
    }
    connection->readable = true;
    connection->state = VSOCK_REQUESTED;
    vsock_enter(connection, vsock_choose_port(connection->vsock, port), port);
    vsock_connection_owe(connection, VIRTIO_VSOCK_OP_REQUEST);
}

bool vsock_handshake_accepted(struct vsock_connection *connection)
{
    char line[16];
    int size = snprintf(line, sizeof line, "OK %u\n", connection->host_port);

    return send(connection->source.fd, line, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) == size;
}
