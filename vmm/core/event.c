/* SPDX-License-Identifier: Apache-2.0 */
#include "core/event.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A wait for what is so already; that it is over is what the kernel says by IOCB_FLAG_RESFD. */
static bool submit(aio_context_t context, int fd, int writable)
{
    struct iocb request = {
        .aio_lio_opcode = IOCB_CMD_POLL,
        .aio_fildes = (uint32_t)writable,
        .aio_buf = POLLOUT,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)fd,
    };
    struct iocb *requests[] = {&request};

    return syscall(SYS_io_submit, context, 1, requests) == 1;
}

void event_signal(int fd, int writable)
{
    aio_context_t context = 0;
    bool signalled = false;

    if (syscall(SYS_io_setup, 1, &context) == 0) {
        signalled = submit(context, fd, writable);
        syscall(SYS_io_destroy, context);
    }
    if (!signalled)
        eventfd_write(fd, 1);
}
