/* SPDX-License-Identifier: Apache-2.0 */
/* What a device can ask of the machine it is in: to end, and how. */
#ifndef HUSK_DEVICES_LEGACY_POWER_H
#define HUSK_DEVICES_LEGACY_POWER_H

enum power_event {
    POWER_EVENT_OFF,   /* the guest turned itself off */
    POWER_EVENT_RESET, /* the guest wants to start again */
    POWER_EVENT_PANIC, /* the guest's kernel reports that it panicked */
};

/* vCPU threads call `event`, with no lock of the device held; it must not wait for a vCPU. */
struct power_sink {
    void (*event)(void *context, enum power_event event);
    void *context;
};

#endif
