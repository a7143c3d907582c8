/* SPDX-License-Identifier: Apache-2.0 */
#include "core/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_now(int fd, const struct sockaddr_un *address)
{
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return -errno;
    return fcntl(fd, F_SETFL, 0) < 0 ? -errno : 0;
}

static const char *advice(int rc)
{
    if (rc == -EAGAIN)
        return "what listens there takes no more; see whether it hangs";
    return "start what listens there, on a socket of type stream, first";
}

int unix_connect(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, -ENAMETOOLONG, "%zu bytes are too many for a socket's path; give one of at "
                       "most %zu", strlen(path), sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, -errno, "cannot make a socket");
    rc = connect_now(fd, &address);
    if (rc == 0)
        return fd;
    close(fd);
    return err_set(err, rc, "cannot connect (%s); %s", strerrordesc_np(-rc), advice(rc));
}
