/* SPDX-License-Identifier: Apache-2.0 */
/* The small devices: ACPI power registers, keyboard controller, pvpanic, timing port. */
#include "devices/legacy/acpi_power.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/pvpanic.h"
#include "devices/legacy/timing_port.h"
#include "support/failure.h"
#include "support/ports.h"

#define S5 5
#define SLEEP(type) ((uint8_t)((type) << 2 | 0x20))

static void acpi_write(struct acpi_power *power, uint64_t offset, uint8_t value)
{
    port_out(&acpi_power_ops, power, offset, value);
}

static uint8_t acpi_read(struct acpi_power *power, uint64_t offset)
{
    return port_in(&acpi_power_ops, power, offset);
}

static void turns_off_by_s5_with_slp_en(void **state)
{
    struct power_record record = {{0}};
    struct acpi_power power;

    (void)state;
    acpi_power_init(&power, S5, 1, power_record_sink(&record));
    acpi_write(&power, 0, S5 << 2);
    assert_string_equal(record.events, "");
    acpi_write(&power, 0, SLEEP(S5));
    assert_string_equal(record.events, "O");
    assert_int_equal(acpi_read(&power, 0), S5 << 2); /* SLP_EN is write-only */
}

static void wakes_at_once_from_other_sleep_states(void **state)
{
    struct power_record record = {{0}};
    struct acpi_power power;

    (void)state;
    acpi_power_init(&power, S5, 1, power_record_sink(&record));
    assert_int_equal(acpi_read(&power, 1), 0);
    acpi_write(&power, 0, SLEEP(3));
    assert_int_equal(acpi_read(&power, 1), 0x80);
    acpi_write(&power, 1, 0x7f);
    assert_int_equal(acpi_read(&power, 1), 0x80);
    acpi_write(&power, 1, 0x80);
    assert_int_equal(acpi_read(&power, 1), 0);
    assert_string_equal(record.events, "");
}

static void resets_by_its_value_only(void **state)
{
    struct power_record record = {{0}};
    struct acpi_power power;

    (void)state;
    acpi_power_init(&power, S5, 1, power_record_sink(&record));
    acpi_write(&power, 2, 0);
    acpi_write(&power, 2, 2);
    assert_string_equal(record.events, "");
    acpi_write(&power, 2, 1);
    assert_string_equal(record.events, "R");
    assert_int_equal(acpi_read(&power, 2), 0);
}

static void acpi_state_survives(void **state)
{
    struct power_record record = {{0}};
    struct state_writer writer = {0};
    struct state_reader reader;
    struct acpi_power power;

    (void)state;
    acpi_power_init(&power, S5, 1, power_record_sink(&record));
    acpi_write(&power, 0, SLEEP(1));
    acpi_power_save(&power, &writer);
    acpi_power_reset(&power);
    assert_int_equal(acpi_read(&power, 0), 0);
    assert_int_equal(acpi_read(&power, 1), 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    acpi_power_restore(&power, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(acpi_read(&power, 0), 1 << 2);
    assert_int_equal(acpi_read(&power, 1), 0x80);
    state_writer_free(&writer);
    port_abuse(&acpi_power_ops, &power, ACPI_POWER_SIZE, 1000);
}

static uint8_t i8042_status(struct i8042 *i8042)
{
    return port_in(&i8042_command_ops, i8042, 0);
}

static void i8042_command(struct i8042 *i8042, uint8_t command)
{
    port_out(&i8042_command_ops, i8042, 0, command);
}

/* Sends a command and reads its one byte of answer, as a driver does. */
static uint8_t i8042_ask(struct i8042 *i8042, uint8_t command)
{
    i8042_command(i8042, command);
    assert_int_equal(i8042_status(i8042) & 0x03, 0x01);
    return port_in(&i8042_data_ops, i8042, 0);
}

static void i8042_is_empty_and_ready(void **state)
{
    struct power_record record = {{0}};
    struct i8042 i8042;

    (void)state;
    i8042_init(&i8042, power_record_sink(&record));
    assert_int_equal(i8042_status(&i8042) & 0x03, 0);
    assert_int_equal(i8042_status(&i8042) & 0x10, 0x10); /* not locked */
    i8042_command(&i8042, 0xad);
    i8042_command(&i8042, 0x00);
    port_out(&i8042_data_ops, &i8042, 0, 0xff); /* "reset", to a keyboard that is not there */
    assert_int_equal(i8042_status(&i8042) & 0x03, 0);
    assert_string_equal(record.events, "");
    i8042_destroy(&i8042);
}

static void i8042_resets_the_machine(void **state)
{
    struct power_record record = {{0}};
    struct i8042 i8042;

    (void)state;
    i8042_init(&i8042, power_record_sink(&record));
    i8042_command(&i8042, 0xfe);
    assert_string_equal(record.events, "R");
    i8042_destroy(&i8042);
}

static void i8042_answers_a_driver_at_once(void **state)
{
    struct power_record record = {{0}};
    struct i8042 i8042;

    (void)state;
    i8042_init(&i8042, power_record_sink(&record));
    assert_int_equal(i8042_ask(&i8042, 0xaa), 0x55);
    assert_int_equal(i8042_status(&i8042) & 0x03, 0);
    i8042_command(&i8042, 0x60);
    port_out(&i8042_data_ops, &i8042, 0, 0x47);
    assert_int_equal(i8042_ask(&i8042, 0x20), 0x47);
    port_out(&i8042_data_ops, &i8042, 0, 0x11); /* no command waits for it */
    assert_int_equal(i8042_ask(&i8042, 0x20), 0x47);
    assert_int_not_equal(i8042_ask(&i8042, 0xa9), 0);
    assert_int_not_equal(i8042_ask(&i8042, 0xab), 0);
    i8042_command(&i8042, 0xd3);
    port_out(&i8042_data_ops, &i8042, 0, 0x5a);
    assert_int_equal(i8042_status(&i8042) & 0x01, 0x01);
    assert_int_not_equal(port_in(&i8042_data_ops, &i8042, 0), 0x5a);
    i8042_command(&i8042, 0xd2);
    port_out(&i8042_data_ops, &i8042, 0, 0x1c);
    assert_int_equal(port_in(&i8042_data_ops, &i8042, 0), 0x1c);
    i8042_destroy(&i8042);
}

static void i8042_state_survives(void **state)
{
    struct power_record record = {{0}};
    struct state_writer writer = {0};
    struct state_reader reader;
    struct i8042 i8042;

    (void)state;
    i8042_init(&i8042, power_record_sink(&record));
    i8042_command(&i8042, 0xaa);
    i8042_command(&i8042, 0x60);
    i8042_save(&i8042, &writer);
    i8042_reset(&i8042);
    assert_int_equal(i8042_status(&i8042) & 0x01, 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    i8042_restore(&i8042, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(port_in(&i8042_data_ops, &i8042, 0), 0x55);
    port_out(&i8042_data_ops, &i8042, 0, 0x99);
    assert_int_equal(i8042_ask(&i8042, 0x20), 0x99);
    reader = (struct state_reader){.data = writer.data, .size = writer.size - 1};
    i8042_restore(&i8042, &reader);
    assert_true(state_failed(&reader));
    assert_int_equal(i8042_ask(&i8042, 0x20), 0x34);
    state_writer_free(&writer);
    port_abuse(&i8042_command_ops, &i8042, 1, 10000);
    port_abuse(&i8042_data_ops, &i8042, 1, 1000);
    i8042_destroy(&i8042);
}

static void pvpanic_reports_a_panic_and_nothing_else(void **state)
{
    struct power_record record = {{0}};
    struct pvpanic pvpanic;

    (void)state;
    pvpanic_init(&pvpanic, power_record_sink(&record));
    assert_int_equal(port_in(&pvpanic_ops, &pvpanic, 0), 0x01);
    port_out(&pvpanic_ops, &pvpanic, 0, 0x00);
    port_out(&pvpanic_ops, &pvpanic, 0, 0x02); /* a crash kernel takes over: not offered */
    assert_string_equal(record.events, "");
    port_out(&pvpanic_ops, &pvpanic, 0, 0x01);
    assert_string_equal(record.events, "P");
}

static void record_phase(void *context, uint8_t phase)
{
    *(uint8_t *)context = phase;
}

static void timing_port_passes_marks_on(void **state)
{
    struct timing_port port;
    uint8_t phase = 0;

    (void)state;
    timing_port_init(&port, record_phase, &phase);
    assert_int_equal(port_in(&timing_port_ops, &port, 0), 0);
    assert_int_equal(phase, 0);
    port_out(&timing_port_ops, &port, 0, 0x42);
    assert_int_equal(phase, 0x42);
}

static void stateless_devices_keep_their_place_in_the_stream(void **state)
{
    struct state_writer writer = {0};
    struct state_reader reader;
    struct power_record record = {{0}};
    struct timing_port port;
    struct pvpanic pvpanic;

    (void)state;
    pvpanic_init(&pvpanic, power_record_sink(&record));
    timing_port_init(&port, record_phase, NULL);
    pvpanic_save(&pvpanic, &writer);
    timing_port_save(&port, &writer);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    pvpanic_reset(&pvpanic);
    timing_port_reset(&port);
    pvpanic_restore(&pvpanic, &reader);
    timing_port_restore(&port, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(reader.position, writer.size);
    state_writer_free(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_off_by_s5_with_slp_en),
        cmocka_unit_test(wakes_at_once_from_other_sleep_states),
        cmocka_unit_test(resets_by_its_value_only),
        cmocka_unit_test(acpi_state_survives),
        cmocka_unit_test(i8042_is_empty_and_ready),
        cmocka_unit_test(i8042_resets_the_machine),
        cmocka_unit_test(i8042_answers_a_driver_at_once),
        cmocka_unit_test(i8042_state_survives),
        cmocka_unit_test(pvpanic_reports_a_panic_and_nothing_else),
        cmocka_unit_test(timing_port_passes_marks_on),
        cmocka_unit_test(stateless_devices_keep_their_place_in_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
