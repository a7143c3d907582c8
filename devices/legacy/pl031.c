/* SPDX-License-Identifier: Apache-2.0 */
/* Register semantics: PrimeCell Real Time Clock (PL031), Arm DDI 0224. */
#include "devices/legacy/pl031.h"

#include <time.h>

enum {
    REGISTER_DATA = 0x00,
    REGISTER_MATCH = 0x04,
    REGISTER_LOAD = 0x08,
    REGISTER_CONTROL = 0x0c,
    REGISTER_INTERRUPT_MASK = 0x10,
};

#define PERIPHERAL_ID 0x00141031u
#define CONTROL_RUNNING 1u

static uint64_t host_clock(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec;
}

/* The register has 32 bits, which last until 2106. */
static uint32_t now(const struct pl031 *rtc)
{
    return (uint32_t)rtc->clock(rtc->clock_context);
}

static uint32_t read_register(const struct pl031 *rtc, uint64_t offset)
{
    switch (offset) {
    case REGISTER_DATA:
    case REGISTER_LOAD:
        return now(rtc) + rtc->offset;
    case REGISTER_MATCH:
        return rtc->match;
    case REGISTER_CONTROL:
        return CONTROL_RUNNING;
    case REGISTER_INTERRUPT_MASK:
        return rtc->interrupt_mask;
    default: /* the interrupt's status among them: it has never come */
        return primecell_identity(offset, PERIPHERAL_ID);
    }
}

static void read_registers(void *device, uint64_t offset, void *data, unsigned size)
{
    bool meant = primecell_is_access(offset, size);

    bus_set_value(data, size, meant ? read_register(device, offset) : 0);
}

static void write_registers(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct pl031 *rtc = device;
    uint32_t value = (uint32_t)bus_value(data, size);

    if (!primecell_is_access(offset, size))
        return;
    if (offset == REGISTER_LOAD)
        rtc->offset = value - now(rtc);
    else if (offset == REGISTER_MATCH)
        rtc->match = value;
    else if (offset == REGISTER_INTERRUPT_MASK)
        rtc->interrupt_mask = value & 1;
}

const struct bus_ops pl031_ops = {.read = read_registers, .write = write_registers};

void pl031_init(struct pl031 *rtc, uint64_t (*clock)(void *context), void *clock_context)
{
    *rtc = (struct pl031){.clock = clock ? clock : host_clock, .clock_context = clock_context};
}

void pl031_reset(struct pl031 *rtc)
{
    rtc->match = 0;
    rtc->interrupt_mask = 0;
}

void pl031_save(struct pl031 *rtc, struct state_writer *writer)
{
    state_begin(writer, "pl031", 1);
    state_put_u32(writer, rtc->offset);
    state_put_u32(writer, rtc->match);
    state_put_u8(writer, (uint8_t)rtc->interrupt_mask);
    state_end(writer);
}

void pl031_restore(struct pl031 *rtc, struct state_reader *reader)
{
    uint32_t offset, match, mask;

    state_enter(reader, "pl031", 1);
    offset = state_get_u32(reader);
    match = state_get_u32(reader);
    mask = state_get_u8(reader) & 1;
    state_leave(reader);
    if (state_failed(reader))
        return;
    rtc->offset = offset;
    rtc->match = match;
    rtc->interrupt_mask = mask;
}
