/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vsock.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define BACKLOG 64

int vsock_connect(uint32_t port)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

int vsock_listen(uint32_t *port)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK,
        .svm_cid = VMADDR_CID_ANY,
        .svm_port = *port ? *port : VMADDR_PORT_ANY,
    };
    socklen_t size = sizeof address;
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, BACKLOG) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        *port = address.svm_port;
        return fd;
    }
    rc = -errno;
    close(fd);
    return rc;
}

int vsock_accept(int listener)
{
    for (;;) {
        struct sockaddr_vm peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);

        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return -errno;
        if (peer.svm_cid == VMADDR_CID_HOST)
            return fd;
        close(fd);
    }
}
