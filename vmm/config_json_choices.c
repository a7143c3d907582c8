/* SPDX-License-Identifier: Apache-2.0 */
/* What in a JSON configuration is one of several words. */
#include "vmm/config_disk.h"
#include "vmm/config_json_parts.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const console_names[] = {
    [HUSK_CONSOLE_SERIAL] = "serial",
    [HUSK_CONSOLE_VIRTIO] = "virtio",
    [HUSK_CONSOLE_OFF] = "off",
};

static const char *const rings_names[] = {
    [HUSK_RINGS_SPLIT] = "split",
    [HUSK_RINGS_PACKED] = "packed",
};

static const char *const bus_names[] = {
    [HUSK_BUS_MMIO] = "mmio",
    [HUSK_BUS_PCI] = "pci",
};

/* One of `names`, as its index; `all` lists them for a message. */
static int read_choice(struct reader *reader, const json_t *value, const char *const *names,
                       unsigned count, const char *all, unsigned *choice)
{
    if (!json_is_string(value))
        return config_wrong_type(reader, value, all);
    for (*choice = 0; *choice < count; ++*choice)
        if (strcmp(json_string_value(value), names[*choice]) == 0)
            return 0;
    return err_set(reader->err, -EINVAL, "there is no \"%.40s\"; give %s",
                   json_string_value(value), all);
}

int config_read_console(struct reader *reader, void *field, const json_t *value)
{
    unsigned choice = 0;
    int rc = read_choice(reader, value, console_names, COUNT(console_names),
                         "\"serial\", \"virtio\" or \"off\"", &choice);

    if (rc == 0)
        *(enum husk_console *)field = (enum husk_console)choice;
    return rc;
}

json_t *config_write_console(const void *field)
{
    unsigned console = *(const enum husk_console *)field;

    return console < COUNT(console_names) ? json_string(console_names[console]) : NULL;
}

int config_read_rings(struct reader *reader, void *field, const json_t *value)
{
    unsigned choice = 0;
    int rc = read_choice(reader, value, rings_names, COUNT(rings_names),
                         "\"split\" or \"packed\"", &choice);

    if (rc == 0)
        *(enum husk_rings *)field = (enum husk_rings)choice;
    return rc;
}

/* Unless it is the default. */
json_t *config_write_rings(const void *field)
{
    return *(const enum husk_rings *)field == HUSK_RINGS_PACKED ? json_string("packed") : NULL;
}

int config_read_bus(struct reader *reader, void *field, const json_t *value)
{
    unsigned choice = 0;
    int rc = read_choice(reader, value, bus_names, COUNT(bus_names), "\"mmio\" or \"pci\"",
                         &choice);

    if (rc == 0)
        *(enum husk_bus *)field = (enum husk_bus)choice;
    return rc;
}

json_t *config_write_bus(const void *field)
{
    enum husk_bus bus = *(const enum husk_bus *)field;

    return bus == HUSK_BUS_PCI ? json_string(bus_names[bus]) : NULL;
}

int config_read_cache(struct reader *reader, void *field, const json_t *value)
{
    unsigned choice = 0;
    int rc = read_choice(reader, value, config_cache_names, CONFIG_CACHES,
                         "\"writeback\", \"none\" or \"unsafe\"", &choice);

    if (rc == 0)
        *(enum husk_cache *)field = (enum husk_cache)choice;
    return rc;
}

json_t *config_write_cache(const void *field)
{
    unsigned cache = *(const enum husk_cache *)field;

    return cache && cache < CONFIG_CACHES ? json_string(config_cache_names[cache]) : NULL;
}

int config_read_engine(struct reader *reader, void *field, const json_t *value)
{
    unsigned choice = 0;
    int rc = read_choice(reader, value, config_engine_names, CONFIG_ENGINES,
                         "\"auto\", \"io_uring\" or \"sync\"", &choice);

    if (rc == 0)
        *(enum husk_engine *)field = (enum husk_engine)choice;
    return rc;
}

json_t *config_write_engine(const void *field)
{
    unsigned engine = *(const enum husk_engine *)field;

    return engine && engine < CONFIG_ENGINES ? json_string(config_engine_names[engine]) : NULL;
}
