/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus.h"
#include "support/failure.h"

#include <errno.h>

/* Remembers its last access. */
struct probe {
    uint64_t offset;
    uint64_t written;
    unsigned size;
    unsigned calls;
};

static void probe_read(void *device, uint64_t offset, void *data, unsigned size)
{
    struct probe *probe = device;

    probe->offset = offset;
    probe->size = size;
    probe->calls++;
    bus_set_value(data, size, 0x1122334455667788);
}

static void probe_write(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct probe *probe = device;

    probe->offset = offset;
    probe->size = size;
    probe->calls++;
    probe->written = bus_value(data, size);
}

static const struct bus_ops probe_ops = {probe_read, probe_write};

static uint64_t read_bus(const struct bus *bus, uint64_t address, unsigned size)
{
    uint8_t data[8] = {0};

    bus_read(bus, address, data, size);
    return bus_value(data, size);
}

static void finds_the_device_of_an_address(void **state)
{
    struct probe a = {0}, b = {0}, c = {0};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0x200, 0x10, &probe_ops, &b, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x100, 0x10, &probe_ops, &a, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x210, 8, &probe_ops, &c, NULL), 0);
    assert_int_equal(read_bus(&bus, 0x10f, 1), 0x88);
    assert_int_equal(a.offset, 0xf);
    assert_int_equal(a.calls, 1);
    assert_int_equal(read_bus(&bus, 0x200, 4), 0x55667788);
    assert_int_equal(b.offset, 0);
    assert_int_equal(b.size, 4);
    assert_int_equal(read_bus(&bus, 0x210, 8), 0x1122334455667788);
    assert_int_equal(c.calls, 1);
    bus_write(&bus, 0x204, &(uint16_t){0xabcd}, 2);
    assert_int_equal(b.written, 0xabcd);
    assert_int_equal(b.offset, 4);
}

static void gives_ones_where_nobody_is(void **state)
{
    struct probe a = {0};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(read_bus(&bus, 0, 8), UINT64_MAX);
    assert_int_equal(bus_add(&bus, 0x100, 0x10, &probe_ops, &a, NULL), 0);
    assert_int_equal(read_bus(&bus, 0xff, 1), 0xff);
    assert_int_equal(read_bus(&bus, 0x110, 4), 0xffffffff);
    assert_int_equal(read_bus(&bus, 0xff, 2), 0xffff);  /* reaches in from below */
    assert_int_equal(read_bus(&bus, 0x10f, 2), 0xffff); /* reaches out above */
    assert_int_equal(read_bus(&bus, UINT64_MAX, 8), UINT64_MAX);
    bus_write(&bus, 0x10d, &(uint32_t){1}, 4);
    bus_write(&bus, 0, &(uint32_t){1}, 4);
    assert_int_equal(a.calls, 0);
}

static void allows_devices_without_handlers(void **state)
{
    static const struct bus_ops mute = {NULL, NULL};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0, 8, &mute, NULL, NULL), 0);
    assert_int_equal(read_bus(&bus, 0, 2), 0xffff);
    bus_write(&bus, 0, &(uint16_t){1}, 2);
}

static void refuses_overlap_and_nonsense(void **state)
{
    struct bus bus = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 0x10, &probe_ops, NULL, NULL), 0);
    assert_failure(bus_add(&bus, 0x100, 0x10, &probe_ops, NULL, &err), -EEXIST, &err, "0x100");
    assert_failure(bus_add(&bus, 0x10f, 1, &probe_ops, NULL, &err), -EEXIST, &err, "taken");
    assert_failure(bus_add(&bus, 0xf1, 0x10, &probe_ops, NULL, &err), -EEXIST, &err, "taken");
    assert_failure(bus_add(&bus, 0, UINT64_MAX, &probe_ops, NULL, &err), -EEXIST, &err, "taken");
    assert_failure(bus_add(&bus, 0x200, 0, &probe_ops, NULL, &err), -EINVAL, &err, "empty");
    assert_failure(bus_add(&bus, UINT64_MAX, 2, &probe_ops, NULL, &err), -EINVAL, &err, "wrap");
    assert_int_equal(bus_add(&bus, UINT64_MAX, 1, &probe_ops, NULL, NULL), 0);
    assert_int_equal(bus_add(&bus, 0xf0, 0x10, &probe_ops, NULL, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x110, 0x10, &probe_ops, NULL, NULL), 0);
    assert_int_equal(bus.count, 4);
}

static void is_full_at_its_limit(void **state)
{
    struct probe last = {0};
    struct bus bus = {0};
    struct err err = {0};

    (void)state;
    for (unsigned i = 0; i < BUS_RANGES_MAX; i++)
        assert_int_equal(bus_add(&bus, 8ull * i, 8, &probe_ops, &last, NULL), 0);
    assert_failure(bus_add(&bus, 0x10000, 8, &probe_ops, NULL, &err), -ENOSPC, &err, "no room");
    for (unsigned i = 0; i < BUS_RANGES_MAX; i++) {
        read_bus(&bus, 8 * i + i % 8, 1);
        assert_int_equal(last.offset, i % 8);
    }
    assert_int_equal(last.calls, BUS_RANGES_MAX);
}

static void values_are_little_endian(void **state)
{
    uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    (void)state;
    assert_int_equal(bus_value(data, 1), 0x01);
    assert_int_equal(bus_value(data, 2), 0x0201);
    assert_int_equal(bus_value(data, 8), 0x0807060504030201);
    bus_set_value(data, 4, 0xaabbccdd);
    assert_memory_equal(data, ((uint8_t[]){0xdd, 0xcc, 0xbb, 0xaa, 5, 6, 7, 8}), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_device_of_an_address),
        cmocka_unit_test(gives_ones_where_nobody_is),
        cmocka_unit_test(allows_devices_without_handlers),
        cmocka_unit_test(refuses_overlap_and_nonsense),
        cmocka_unit_test(is_full_at_its_limit),
        cmocka_unit_test(values_are_little_endian),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
