/* SPDX-License-Identifier: Apache-2.0 */
/* Register semantics: MC146818 data sheet (Motorola). */
#include "devices/legacy/rtc_cmos.h"

#include <stdbool.h>

enum {
    REGISTER_SECONDS = 0x00,
    REGISTER_MINUTES = 0x02,
    REGISTER_HOURS = 0x04,
    REGISTER_DAY_OF_WEEK = 0x06,
    REGISTER_DAY = 0x07,
    REGISTER_MONTH = 0x08,
    REGISTER_YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    REGISTER_CENTURY = 0x32, /* where PC firmware keeps it */
};

#define A_UPDATE_IN_PROGRESS 0x80u
#define A_DEFAULT 0x26u /* 32.768 kHz time base, 1024 Hz rate */
#define B_24_HOURS 0x02u
#define B_BINARY 0x04u
#define B_SET 0x80u
#define B_INTERRUPTS 0x70u
#define D_VALID 0x80u
#define HOURS_PM 0x80u
#define INDEX_MASK 0x7fu /* bit 7 of the index port masks NMIs elsewhere */

#define UPDATE_NS 244000

static void host_clock(void *context, struct timespec *now)
{
    (void)context;
    clock_gettime(CLOCK_REALTIME, now);
}

static struct timespec host_now(const struct rtc_cmos *rtc)
{
    struct timespec now;

    rtc->clock(rtc->clock_context, &now);
    return now;
}

static bool stopped(const struct rtc_cmos *rtc)
{
    return rtc->memory[REGISTER_B] & B_SET;
}

static uint8_t encode(const struct rtc_cmos *rtc, int value)
{
    if (rtc->memory[REGISTER_B] & B_BINARY)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc_cmos *rtc, uint8_t value)
{
    if (rtc->memory[REGISTER_B] & B_BINARY)
        return value;
    return (value >> 4) * 10 + (value & 0x0f);
}

static uint8_t encode_hours(const struct rtc_cmos *rtc, int hours)
{
    int on_dial = hours % 12 ? hours % 12 : 12;

    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return encode(rtc, hours);
    return (uint8_t)(encode(rtc, on_dial) | (hours >= 12 ? HOURS_PM : 0));
}

static int decode_hours(const struct rtc_cmos *rtc, uint8_t value)
{
    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return decode(rtc, value);
    return decode(rtc, value & (uint8_t)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static bool is_time(uint8_t index)
{
    switch (index) {
    case REGISTER_SECONDS:
    case REGISTER_MINUTES:
    case REGISTER_HOURS:
    case REGISTER_DAY_OF_WEEK:
    case REGISTER_DAY:
    case REGISTER_MONTH:
    case REGISTER_YEAR:
    case REGISTER_CENTURY:
        return true;
    default:
        return false;
    }
}

/* Shows the running time in the time registers. */
static void load_time(struct rtc_cmos *rtc)
{
    time_t now = (time_t)(host_now(rtc).tv_sec + rtc->offset);
    struct tm calendar = {0};
    int year;

    gmtime_r(&now, &calendar);
    year = (int)((((int64_t)calendar.tm_year + 1900) % 10000 + 10000) % 10000);
    rtc->memory[REGISTER_SECONDS] = encode(rtc, calendar.tm_sec);
    rtc->memory[REGISTER_MINUTES] = encode(rtc, calendar.tm_min);
    rtc->memory[REGISTER_HOURS] = encode_hours(rtc, calendar.tm_hour);
    rtc->memory[REGISTER_DAY_OF_WEEK] = encode(rtc, calendar.tm_wday + 1);
    rtc->memory[REGISTER_DAY] = encode(rtc, calendar.tm_mday);
    rtc->memory[REGISTER_MONTH] = encode(rtc, calendar.tm_mon + 1);
    rtc->memory[REGISTER_YEAR] = encode(rtc, year % 100);
    rtc->memory[REGISTER_CENTURY] = encode(rtc, year / 100);
}

/*
 * Lets the clock run on from what the time registers say. The day of the week follows from the
 * date, and a field out of its range carries into the next one, as timegm() defines it.
 */
static void store_time(struct rtc_cmos *rtc)
{
    struct tm calendar = {
        .tm_sec = decode(rtc, rtc->memory[REGISTER_SECONDS]),
        .tm_min = decode(rtc, rtc->memory[REGISTER_MINUTES]),
        .tm_hour = decode_hours(rtc, rtc->memory[REGISTER_HOURS]),
        .tm_mday = decode(rtc, rtc->memory[REGISTER_DAY]),
        .tm_mon = decode(rtc, rtc->memory[REGISTER_MONTH]) - 1,
        .tm_year = decode(rtc, rtc->memory[REGISTER_CENTURY]) * 100 +
                   decode(rtc, rtc->memory[REGISTER_YEAR]) - 1900,
    };

    rtc->offset = timegm(&calendar) - host_now(rtc).tv_sec;
}

static void write_time(struct rtc_cmos *rtc, uint8_t index, uint8_t value)
{
    if (!stopped(rtc))
        load_time(rtc);
    rtc->memory[index] = value;
    if (!stopped(rtc))
        store_time(rtc);
}

/*
 * A guest sets the clock field by field while SET stops it, through dates that do not exist (the
 * 31st of a shorter month), so only the end of SET makes a time of them.
 */
static void write_register_b(struct rtc_cmos *rtc, uint8_t value)
{
    bool was_stopped = stopped(rtc);

    if (!was_stopped)
        load_time(rtc);
    rtc->memory[REGISTER_B] = value & (uint8_t)~B_INTERRUPTS;
    if (was_stopped && !stopped(rtc))
        store_time(rtc);
}

static bool update_in_progress(const struct rtc_cmos *rtc)
{
    return !stopped(rtc) && host_now(rtc).tv_nsec >= 1000000000 - UPDATE_NS;
}

static uint8_t read_register(struct rtc_cmos *rtc, uint8_t index)
{
    if (is_time(index) && !stopped(rtc))
        load_time(rtc);
    switch (index) {
    case REGISTER_A:
        return (uint8_t)(rtc->memory[index] | (update_in_progress(rtc) ? A_UPDATE_IN_PROGRESS : 0));
    case REGISTER_C: /* no interrupt has ever come */
        return 0;
    case REGISTER_D:
        return D_VALID;
    default:
        return rtc->memory[index];
    }
}

static void write_register(struct rtc_cmos *rtc, uint8_t index, uint8_t value)
{
    if (is_time(index)) {
        write_time(rtc, index, value);
        return;
    }
    switch (index) {
    case REGISTER_A:
        rtc->memory[index] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
        break;
    case REGISTER_B:
        write_register_b(rtc, value);
        break;
    case REGISTER_C:
    case REGISTER_D:
        break;
    default:
        rtc->memory[index] = value;
    }
}

/* A wider access is as many byte accesses at ascending ports, as on the ISA bus. */
static void read_ports(void *device, uint64_t offset, void *data, unsigned size)
{
    struct rtc_cmos *rtc = device;
    uint8_t *bytes = data;

    pthread_mutex_lock(&rtc->lock);
    for (unsigned i = 0; i < size; i++)
        bytes[i] = offset + i == 0 ? 0xff : read_register(rtc, rtc->index); /* index: write-only */
    pthread_mutex_unlock(&rtc->lock);
}

static void write_ports(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct rtc_cmos *rtc = device;
    const uint8_t *bytes = data;

    pthread_mutex_lock(&rtc->lock);
    for (unsigned i = 0; i < size; i++) {
        if (offset + i == 0)
            rtc->index = bytes[i] & INDEX_MASK;
        else
            write_register(rtc, rtc->index, bytes[i]);
    }
    pthread_mutex_unlock(&rtc->lock);
}

const struct bus_ops rtc_cmos_ops = {.read = read_ports, .write = write_ports};

void rtc_cmos_init(struct rtc_cmos *rtc, rtc_cmos_clock *clock, void *clock_context)
{
    *rtc = (struct rtc_cmos){.clock = clock ? clock : host_clock, .clock_context = clock_context};
    pthread_mutex_init(&rtc->lock, NULL);
    rtc->memory[REGISTER_A] = A_DEFAULT;
    rtc->memory[REGISTER_B] = B_24_HOURS;
}

void rtc_cmos_destroy(struct rtc_cmos *rtc)
{
    pthread_mutex_destroy(&rtc->lock);
}

void rtc_cmos_reset(struct rtc_cmos *rtc)
{
    pthread_mutex_lock(&rtc->lock);
    rtc->index = 0;
    pthread_mutex_unlock(&rtc->lock);
}

void rtc_cmos_save(struct rtc_cmos *rtc, struct state_writer *writer)
{
    pthread_mutex_lock(&rtc->lock);
    state_begin(writer, "rtc_cmos", 1);
    state_put_u8(writer, rtc->index);
    state_put_u64(writer, (uint64_t)rtc->offset);
    state_put_bytes(writer, rtc->memory, sizeof rtc->memory);
    state_end(writer);
    pthread_mutex_unlock(&rtc->lock);
}

/* Far enough for what a guest can set (year 25755 and some months), and no sum overflows. */
static bool plausible(int64_t seconds)
{
    const int64_t limit = (int64_t)40000 * 366 * 86400;

    return seconds > -limit && seconds < limit;
}

void rtc_cmos_restore(struct rtc_cmos *rtc, struct state_reader *reader)
{
    struct rtc_cmos read = {0};

    state_enter(reader, "rtc_cmos", 1);
    read.index = state_get_u8(reader) & INDEX_MASK;
    read.offset = (int64_t)state_get_u64(reader);
    state_get_bytes(reader, read.memory, sizeof read.memory);
    state_leave(reader);
    if (!plausible(read.offset))
        reader->failed = true;
    if (state_failed(reader))
        return;
    pthread_mutex_lock(&rtc->lock);
    rtc->index = read.index;
    rtc->offset = read.offset;
    for (unsigned i = 0; i < RTC_CMOS_MEMORY; i++)
        rtc->memory[i] = read.memory[i];
    rtc->memory[REGISTER_A] &= (uint8_t)~A_UPDATE_IN_PROGRESS;
    rtc->memory[REGISTER_B] &= (uint8_t)~B_INTERRUPTS;
    pthread_mutex_unlock(&rtc->lock);
}
