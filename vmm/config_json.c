/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as a JSON object, read strictly and written back.
 *
 * Tables say which keys there are; each entry knows how to read a value and how to write it.
 * Messages name the file and the key's place in it ("vm.json: disks[1].serial: ...").
 */
#include "vmm/config_parts.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

struct reader {
    struct husk_config *config; /* owns what strings are made */
    struct err *err;
    char place[64]; /* where the value being read is; after an error, the one at fault */
};

/* A key sets a field of the configuration or of a disk: `offset` bytes into it. */
struct key {
    const char *name;
    int (*read)(struct reader *reader, void *field, const json_t *value);
    json_t *(*write)(const void *field); /* NULL: nothing that needs to be written */
    size_t offset;
};

static const char *const console_names[] = {
    [HUSK_CONSOLE_SERIAL] = "serial",
    [HUSK_CONSOLE_VIRTIO] = "virtio",
    [HUSK_CONSOLE_OFF] = "off",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- values --- */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static int wrong_type(struct reader *reader, const json_t *value, const char *right)
{
    return err_set(reader->err, -EINVAL, "is %s; give %s", type_name(value), right);
}

static int read_string(struct reader *reader, void *field, const json_t *value)
{
    const char **string = field;

    if (!json_is_string(value))
        return wrong_type(reader, value, "a string");
    *string = config_own_string(reader->config, json_string_value(value),
                                json_string_length(value));
    return *string ? 0 : err_set(reader->err, -ENOMEM, "out of memory");
}

static int read_path(struct reader *reader, void *field, const json_t *value)
{
    int rc = read_string(reader, field, value);

    return rc ? rc : config_check_path(*(const char **)field, reader->err);
}

static int read_serial(struct reader *reader, void *field, const json_t *value)
{
    int rc = read_string(reader, field, value);

    return rc ? rc : config_check_serial(*(const char **)field, reader->err);
}

static json_t *write_string(const void *field)
{
    const char *const *string = field;

    return *string ? json_string_nocheck(*string) : NULL; /* json_dumps() checks it */
}

static int read_cpus(struct reader *reader, void *field, const json_t *value)
{
    json_int_t cpus = json_integer_value(value);
    int rc;

    if (!json_is_integer(value))
        return wrong_type(reader, value, "an integer");
    if (cpus < 0)
        return err_set(reader->err, -ERANGE, "%" PRId64 " is negative; give 1 to %d", (int64_t)cpus,
                       HUSK_CPUS_MAX);
    rc = config_check_cpus((uint64_t)cpus, reader->err);
    if (rc == 0)
        *(uint32_t *)field = (uint32_t)cpus;
    return rc;
}

static json_t *write_cpus(const void *field)
{
    return json_integer(*(const uint32_t *)field);
}

static int read_memory(struct reader *reader, void *field, const json_t *value)
{
    uint64_t bytes = 0;
    int rc = 0;

    if (json_is_string(value))
        rc = config_parse_size(json_string_value(value), &bytes, reader->err);
    else if (!json_is_integer(value))
        rc = wrong_type(reader, value, "a size such as \"512M\", or an integer of bytes");
    else if (json_integer_value(value) < 0)
        rc = err_set(reader->err, -ERANGE, "is negative; give a size such as \"512M\"");
    else
        bytes = (uint64_t)json_integer_value(value);
    if (rc == 0)
        rc = config_check_memory(bytes, reader->err);
    if (rc == 0)
        *(uint64_t *)field = bytes;
    return rc;
}

/* In the largest unit that leaves a whole number. */
static json_t *write_memory(const void *field)
{
    static const char units[] = {'K', 'M', 'G', 'T'};
    uint64_t number = *(const uint64_t *)field;
    char text[32];
    int unit = -1;

    while (unit < 3 && number && number % 1024 == 0) {
        number /= 1024;
        unit++;
    }
    if (unit < 0)
        return json_integer((json_int_t)number);
    snprintf(text, sizeof text, "%" PRIu64 "%c", number, units[unit]);
    return json_string(text);
}

static int read_console(struct reader *reader, void *field, const json_t *value)
{
    if (!json_is_string(value))
        return wrong_type(reader, value, "\"serial\", \"virtio\" or \"off\"");
    for (unsigned i = 0; i < COUNT(console_names); i++) {
        if (strcmp(json_string_value(value), console_names[i]) == 0) {
            *(enum husk_console *)field = (enum husk_console)i;
            return 0;
        }
    }
    return err_set(reader->err, -EINVAL,
                   "there is no \"%.40s\"; give \"serial\", \"virtio\" or \"off\"",
                   json_string_value(value));
}

static json_t *write_console(const void *field)
{
    unsigned console = *(const enum husk_console *)field;

    return console < COUNT(console_names) ? json_string(console_names[console]) : NULL;
}

static int read_flag(struct reader *reader, void *field, const json_t *value)
{
    if (!json_is_boolean(value))
        return wrong_type(reader, value, "true or false");
    *(bool *)field = json_is_true(value);
    return 0;
}

static json_t *write_flag(const void *field)
{
    return *(const bool *)field ? json_true() : NULL;
}

/* --- objects --- */

static const struct key disk_keys[] = {
    {"path", read_path, write_string, offsetof(struct husk_disk, path)},
    {"read_only", read_flag, write_flag, offsetof(struct husk_disk, read_only)},
    {"serial", read_serial, write_string, offsetof(struct husk_disk, serial)},
};

static int read_disks(struct reader *reader, void *field, const json_t *value);
static json_t *write_disks(const void *field);

static const struct key config_keys[] = {
    {"kernel", read_path, write_string, offsetof(struct husk_config, kernel)},
    {"initrd", read_path, write_string, offsetof(struct husk_config, initrd)},
    {"append", read_string, write_string, offsetof(struct husk_config, append)},
    {"command_line", read_string, write_string, offsetof(struct husk_config, command_line)},
    {"cpus", read_cpus, write_cpus, offsetof(struct husk_config, cpus)},
    {"memory", read_memory, write_memory, offsetof(struct husk_config, memory)},
    {"console", read_console, write_console, offsetof(struct husk_config, console)},
    {"disks", read_disks, write_disks, 0}, /* two fields: the array and its length */
};

static int unknown_key(struct reader *reader, const char *name, const struct key *keys,
                       size_t count)
{
    const char *words[COUNT(config_keys)];
    char list[128] = "";
    const char *nearest;

    for (size_t i = 0; i < count; i++) {
        words[i] = keys[i].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", words[i]);
    }
    nearest = config_nearest(name, words, count);
    if (nearest)
        return err_set(reader->err, -EINVAL, "unknown key \"%.40s\"; did you mean \"%s\"?", name,
                       nearest);
    return err_set(reader->err, -EINVAL, "unknown key \"%.40s\"; there are %s", name, list);
}

static int read_object(struct reader *reader, void *target, const json_t *object,
                       const struct key *keys, size_t count)
{
    size_t length = strlen(reader->place);
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        const struct key *key = keys;
        int rc;

        while (key < keys + count && strcmp(key->name, name) != 0)
            key++;
        if (key == keys + count)
            return unknown_key(reader, name, keys, count);
        snprintf(reader->place + length, sizeof reader->place - length, "%s%s",
                 length ? "." : "", name);
        rc = key->read(reader, (char *)target + key->offset, value);
        if (rc)
            return rc;
        reader->place[length] = '\0';
    }
    return 0;
}

static json_t *write_object(const void *source, const struct key *keys, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++) {
        json_t *value = keys[i].write((const char *)source + keys[i].offset);

        if (value)
            json_object_set_new(object, keys[i].name, value);
    }
    return object;
}

static int read_disk(struct reader *reader, const json_t *value)
{
    struct husk_disk disk = {0};
    int rc;

    if (!json_is_object(value))
        return wrong_type(reader, value, "an object such as {\"path\": \"root.img\"}");
    rc = read_object(reader, &disk, value, disk_keys, COUNT(disk_keys));
    if (rc)
        return rc;
    if (!disk.path)
        return err_set(reader->err, -EINVAL, "has no \"path\"; give one");
    return config_append_disk(reader->config, &disk, reader->err);
}

/* The array replaces the disks that the configuration had. */
static int read_disks(struct reader *reader, void *field, const json_t *value)
{
    size_t length = strlen(reader->place);
    struct husk_config *config = field;

    if (!json_is_array(value))
        return wrong_type(reader, value, "an array of objects");
    config->disk_count = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        int rc;

        snprintf(reader->place + length, sizeof reader->place - length, "[%zu]", i);
        rc = read_disk(reader, json_array_get(value, i));
        if (rc)
            return rc;
    }
    reader->place[length] = '\0';
    return 0;
}

static json_t *write_disks(const void *field)
{
    const struct husk_config *config = field;
    json_t *array;

    if (config->disk_count == 0)
        return NULL;
    array = json_array();
    for (uint32_t i = 0; i < config->disk_count; i++)
        json_array_append_new(array,
                              write_object(&config->disks[i], disk_keys, COUNT(disk_keys)));
    return array;
}

/* --- the public functions --- */

static int parse(struct husk_config *config, const char *text, size_t size, struct err *err)
{
    struct reader reader = {.config = config, .err = err};
    json_error_t error;
    json_t *root;
    int rc;

    if (size > TEXT_MAX)
        return err_set(err, -EFBIG, "is larger than %zu KiB; give a configuration",
                       TEXT_MAX >> 10);
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root)
        return err_set(err, -EINVAL, "line %d, column %d: %s", error.line, error.column,
                       error.text);
    if (json_is_object(root))
        rc = read_object(&reader, config, root, config_keys, COUNT(config_keys));
    else
        rc = wrong_type(&reader, root, "an object such as {\"kernel\": \"vmlinuz\"}");
    json_decref(root);
    if (rc && reader.place[0])
        err_prefix(err, "%s", reader.place);
    return rc;
}

int husk_config_parse_json(struct husk_config *config, const char *text, size_t size,
                           const char *name, struct husk_err *public_err)
{
    struct err err = {0};

    if (parse(config, text, size, &err) == 0)
        return 0;
    err_prefix(&err, "%s", name);
    return public_err_pass(public_err, &err);
}

char *husk_config_to_json(const struct husk_config *config)
{
    json_t *root = write_object(config, config_keys, COUNT(config_keys));
    char *text = json_dumps(root, JSON_INDENT(4));

    json_decref(root);
    return text;
}
