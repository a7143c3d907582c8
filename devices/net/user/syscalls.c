/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that are left when the guest comes: what libslirp and the loop around it make. */
#include "devices/net/user/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sockets that are there; connections of the guest, and to it. */
static const int socket_calls[] = {
    SCMP_SYS(read),        SCMP_SYS(readv),       SCMP_SYS(write),      SCMP_SYS(writev),
    SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),     SCMP_SYS(sendto),     SCMP_SYS(sendmsg),
    SCMP_SYS(poll),        SCMP_SYS(ppoll),       SCMP_SYS(close),      SCMP_SYS(shutdown),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(connect),     SCMP_SYS(accept),      SCMP_SYS(accept4),
};

/* Reading /etc/resolv.conf once it is open; memory; time; the end, also by abort(). */
static const int other_calls[] = {
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),   SCMP_SYS(lseek),
    SCMP_SYS(brk),           SCMP_SYS(munmap),       SCMP_SYS(mremap),
    SCMP_SYS(madvise),       SCMP_SYS(futex),        SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),   SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(getpid),      SCMP_SYS(gettid),
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return rc;
}

/* `call` if the bits `mask` of its argument `index` are `value`. */
static int allow_if(scmp_filter_ctx filter, int call, unsigned index, uint64_t mask, uint64_t value)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP(index, SCMP_CMP_MASKED_EQ, mask, value));
}

/* No file is opened but for reading, no memory becomes code, no socket leaves IPv4, no other is killed. */
static int allow_conditional(scmp_filter_ctx filter)
{
    int rc = allow_if(filter, SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY);

    rc = rc ?: allow_if(filter, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)getpid());
    rc = rc ?: allow_if(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
    rc = rc ?: allow_if(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    rc = rc ?: allow_if(filter, SCMP_SYS(socket), 0, UINT32_MAX, AF_INET);
    rc = rc ?: allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL);
    rc = rc ?: allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFL);
    rc = rc ?: allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFD);
    rc = rc ?: allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD);
    return rc ?: allow_if(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, FIONREAD);
}

int confine_syscalls(struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = filter ? 0 : -ENOMEM;

    rc = rc ?: allow(filter, socket_calls, sizeof socket_calls / sizeof socket_calls[0]);
    rc = rc ?: allow(filter, other_calls, sizeof other_calls / sizeof other_calls[0]);
    rc = rc ?: allow_conditional(filter);
    rc = rc ?: seccomp_load(filter);
    seccomp_release(filter);
    return rc ? err_sys(err, rc, "cannot filter system calls; boot a kernel that has seccomp") : 0;
}
