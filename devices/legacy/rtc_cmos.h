/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MC146818 real-time clock with its 128 bytes of CMOS memory, at an index and a data port.
 *
 * It shows the host's UTC, moved by what the guest has set. The update-in-progress bit is high
 * for the last 244 us of each second, as the data sheet's t_BUC says, and low otherwise: a guest
 * that sees it low has that long to read, and one that waits for it never waits longer. Alarms
 * are stored and never fire; there is no interrupt.
 */
#ifndef HUSK_DEVICES_LEGACY_RTC_CMOS_H
#define HUSK_DEVICES_LEGACY_RTC_CMOS_H

#include "core/bus.h"
#include "core/state.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define RTC_CMOS_SIZE 2u    /* index port, data port */
#define RTC_CMOS_MEMORY 128u

/* The current time as UTC. */
typedef void rtc_cmos_clock(void *context, struct timespec *now);

struct rtc_cmos {
    pthread_mutex_t lock; /* guards what the guest can change */
    rtc_cmos_clock *clock;
    void *clock_context;
    uint8_t index;
    int64_t offset; /* seconds: the guest's clock minus the host's */
    uint8_t memory[RTC_CMOS_MEMORY]; /* its time registers count only while SET stops the clock */
};

extern const struct bus_ops rtc_cmos_ops;

/* `clock` NULL means the host's CLOCK_REALTIME. Cannot fail. */
void rtc_cmos_init(struct rtc_cmos *rtc, rtc_cmos_clock *clock, void *clock_context);
void rtc_cmos_destroy(struct rtc_cmos *rtc);

/* A system reset: the clock and the memory are battery-backed and stay. */
void rtc_cmos_reset(struct rtc_cmos *rtc);

/* Call with all vCPUs stopped. */
void rtc_cmos_save(struct rtc_cmos *rtc, struct state_writer *writer);
void rtc_cmos_restore(struct rtc_cmos *rtc, struct state_reader *reader);

#endif
