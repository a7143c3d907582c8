/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/legacy/acpi_power.h"

enum { REGISTER_SLEEP_CONTROL, REGISTER_SLEEP_STATUS, REGISTER_RESET };

#define SLEEP_TYPE 0x1cu /* SLP_TYPx in its place */
#define SLEEP_TYPE_SHIFT 2u
#define SLEEP_ENABLE 0x20u
#define WAKE_STATUS 0x80u

/*
 * Sleep states other than S5 do not exist. A guest that enters one is woken at once, because it
 * would otherwise wait for WAK_STS for ever.
 */
static void write_sleep_control(struct acpi_power *power, uint8_t value)
{
    power->sleep_type = value & SLEEP_TYPE;
    if (!(value & SLEEP_ENABLE))
        return;
    if ((value & SLEEP_TYPE) >> SLEEP_TYPE_SHIFT == power->s5_type)
        power->sink.event(power->sink.context, POWER_EVENT_OFF);
    else
        power->status |= WAKE_STATUS;
}

static void read_ports(void *device, uint64_t offset, void *data, unsigned size)
{
    struct acpi_power *power = device;
    uint8_t *bytes = data;

    for (unsigned i = 0; i < size; i++) {
        if (offset + i == REGISTER_SLEEP_CONTROL)
            bytes[i] = power->sleep_type;
        else if (offset + i == REGISTER_SLEEP_STATUS)
            bytes[i] = power->status;
        else
            bytes[i] = 0;
    }
}

static void write_ports(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct acpi_power *power = device;
    const uint8_t *bytes = data;

    for (unsigned i = 0; i < size; i++) {
        if (offset + i == REGISTER_SLEEP_CONTROL)
            write_sleep_control(power, bytes[i]);
        else if (offset + i == REGISTER_SLEEP_STATUS)
            power->status &= (uint8_t)~(bytes[i] & WAKE_STATUS);
        else if (bytes[i] == power->reset_value)
            power->sink.event(power->sink.context, POWER_EVENT_RESET);
    }
}

const struct bus_ops acpi_power_ops = {.read = read_ports, .write = write_ports};

void acpi_power_init(struct acpi_power *power, uint8_t s5_type, uint8_t reset_value,
                     struct power_sink sink)
{
    *power = (struct acpi_power){.sink = sink, .s5_type = s5_type, .reset_value = reset_value};
}

void acpi_power_reset(struct acpi_power *power)
{
    power->sleep_type = 0;
    power->status = 0;
}

void acpi_power_save(const struct acpi_power *power, struct state_writer *writer)
{
    state_begin(writer, "acpi_power", 1);
    state_put_u8(writer, power->sleep_type);
    state_put_u8(writer, power->status);
    state_end(writer);
}

void acpi_power_restore(struct acpi_power *power, struct state_reader *reader)
{
    state_enter(reader, "acpi_power", 1);
    power->sleep_type = state_get_u8(reader) & SLEEP_TYPE;
    power->status = state_get_u8(reader) & WAKE_STATUS;
    state_leave(reader);
}
