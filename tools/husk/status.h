/* SPDX-License-Identifier: Apache-2.0 */
/* Exit statuses of husk(1). They are stable: scripts rely on them. */
#ifndef HUSK_TOOLS_STATUS_H
#define HUSK_TOOLS_STATUS_H

enum status {
    STATUS_POWER_OFF = 0,    /* the guest powered itself off; other commands: success */
    STATUS_FAILURE = 1,      /* Husk or KVM failed */
    STATUS_USAGE = 2,        /* a bad option, configuration, kernel, initrd or disk */
    STATUS_HOST = 3,         /* this host cannot: no KVM, no permission, no memory left */
    STATUS_RESET = 4,        /* the guest asked for a reset */
    STATUS_PANIC = 5,        /* the guest's kernel panicked and said so */
    STATUS_TRIPLE_FAULT = 6, /* the guest's processor gave up */
    STATUS_TIMEOUT = 124,    /* sandboxes: the command did not end in time */
    STATUS_SANDBOX = 125,    /* sandboxes: Husk failed; 126 and 127 as of a shell */
    STATUS_SIGNAL = 128,     /* plus the number of the signal that ended husk */
};

#endif
