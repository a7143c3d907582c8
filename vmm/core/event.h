/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eventfds that another process has too. Whether a read or a write of one waits is a flag of what all of
 * them share, so that who has it can make us wait for ever; reading is never necessary, and this writes.
 */
#ifndef HUSK_CORE_EVENT_H
#define HUSK_CORE_EVENT_H

/*
 * Adds 1 to the count of `fd`, as eventfd_write() does, but never waits: the kernel does it, as one of
 * its own events. `writable` is an eventfd of this process alone. Where the host has no asynchronous I/O
 * (io_submit(2)), it is a write after all.
 */
void event_signal(int fd, int writable);

#endif
