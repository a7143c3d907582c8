/* SPDX-License-Identifier: Apache-2.0 */
/* Signalling an eventfd that somebody else has too. */
#include "core/event.h"
#include "support/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static int writable;

static void adds_one(void **state)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t count;

    (void)state;
    event_signal(fd, writable);
    event_signal(fd, writable);
    assert_int_equal(eventfd_read(fd, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(eventfd_read(writable, &count), -1);
    close(fd);
}

/* Who has it has filled the count, and taken O_NONBLOCK away. */
static void never_waits(void **state)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    aio_context_t context = 0;
    eventfd_t count;

    (void)state;
    if (syscall(SYS_io_setup, 1, &context) < 0) {
        print_message("needs asynchronous I/O (io_setup: %s)\n", strerror(errno));
        skip();
    }
    syscall(SYS_io_destroy, context);
    assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
    alarm(60);
    event_signal(fd, writable);
    event_signal(fd, writable);
    alarm(0);
    assert_int_equal(eventfd_read(fd, &count), 0);
    assert_int_equal(count, UINT64_MAX);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_one),
        cmocka_unit_test(never_waits),
    };

    writable = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
