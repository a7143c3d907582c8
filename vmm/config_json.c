/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as a JSON object, read strictly and written back.
 *
 * Tables say which keys there are; each entry knows how to read a value and how to write it.
 * Messages name the file and the key's place in it ("vm.json: disks[1].serial: ...").
 */
#include "vmm/config_disk.h"
#include "vmm/config_json_parts.h"
#include "vmm/config_net.h"
#include "vmm/config_parts.h"
#include "vmm/config_share.h"
#include "vmm/config_sizes.h"
#include "vmm/config_vsock.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

/* A key sets a field of the configuration or of a disk: `offset` bytes into it. */
struct key {
    const char *name;
    int (*read)(struct reader *reader, void *field, const json_t *value);
    json_t *(*write)(const void *field); /* NULL: nothing that needs to be written */
    size_t offset;
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

int config_wrong_type(struct reader *reader, const json_t *value, const char *right)
{
    return err_set(reader->err, -EINVAL, "is %s; give %s", type_name(value), right);
}

static int read_string(struct reader *reader, void *field, const json_t *value)
{
    const char **string = field;

    if (!json_is_string(value))
        return config_wrong_type(reader, value, "a string");
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

static int read_count(struct reader *reader, void *field, const json_t *value, unsigned least,
                      unsigned most)
{
    json_int_t count = json_integer_value(value);
    int rc;

    if (!json_is_integer(value))
        return config_wrong_type(reader, value, "an integer");
    rc = config_check_count(count, least, most, reader->err);
    if (rc == 0)
        *(uint32_t *)field = (uint32_t)count;
    return rc;
}

static int read_cpus(struct reader *reader, void *field, const json_t *value)
{
    return read_count(reader, field, value, 1, HUSK_CPUS_MAX);
}

static int read_iothreads(struct reader *reader, void *field, const json_t *value)
{
    return read_count(reader, field, value, 0, HUSK_IOTHREADS_MAX);
}

static json_t *write_count(const void *field)
{
    return json_integer(*(const uint32_t *)field);
}

/* Where 0 is the default. */
static json_t *write_count_if_any(const void *field)
{
    return *(const uint32_t *)field ? write_count(field) : NULL;
}

/* Bytes, or whatever else comes in large numbers. */
static int read_size(struct reader *reader, uint64_t *size, const json_t *value)
{
    if (json_is_string(value))
        return config_parse_size(json_string_value(value), size, reader->err);
    if (!json_is_integer(value))
        return config_wrong_type(reader, value, "a size such as \"512M\", or an integer");
    if (json_integer_value(value) < 0)
        return err_set(reader->err, -ERANGE, "is negative; give a size such as \"512M\"");
    *size = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_memory(struct reader *reader, void *field, const json_t *value)
{
    uint64_t bytes = 0;
    int rc = read_size(reader, &bytes, value);

    if (rc == 0)
        rc = config_check_memory(bytes, reader->err);
    if (rc == 0)
        *(uint64_t *)field = bytes;
    return rc;
}

static int read_rate(struct reader *reader, void *field, const json_t *value)
{
    uint64_t rate = 0;
    int rc = read_size(reader, &rate, value);

    if (rc == 0 && rate == 0)
        rc = err_set(reader->err, -ERANGE, "0 would let nothing pass; leave it out for no limit");
    if (rc == 0)
        *(uint64_t *)field = rate;
    return rc;
}

/* In the largest unit that leaves a whole number. */
static json_t *write_size(const void *field)
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

static json_t *write_rate(const void *field)
{
    return *(const uint64_t *)field ? write_size(field) : NULL;
}

static int read_disk_queues(struct reader *reader, void *field, const json_t *value)
{
    return read_count(reader, field, value, 1, HUSK_DISK_QUEUES_MAX);
}

static int read_flag(struct reader *reader, void *field, const json_t *value)
{
    if (!json_is_boolean(value))
        return config_wrong_type(reader, value, "true or false");
    *(bool *)field = json_is_true(value);
    return 0;
}

static json_t *write_flag(const void *field)
{
    return *(const bool *)field ? json_true() : NULL;
}

/* --- networks --- */

/* Of the keys that say what kind of network it is, one was there. */
static bool has_kind(const struct husk_net *net)
{
    return net->name || net->fd >= 0 || net->kind == HUSK_NET_USER;
}

static int second_kind(struct reader *reader)
{
    return err_set(reader->err, -EINVAL, "is one too many; give one of tap, stream, fd and user");
}

static int set_net(struct reader *reader, void *field, const json_t *value,
                   enum husk_net_kind kind)
{
    struct husk_net *net = field;

    if (has_kind(net))
        return second_kind(reader);
    net->kind = kind;
    return read_path(reader, &net->name, value);
}

static int read_tap(struct reader *reader, void *field, const json_t *value)
{
    return set_net(reader, field, value, HUSK_NET_TAP);
}

static int read_stream(struct reader *reader, void *field, const json_t *value)
{
    return set_net(reader, field, value, HUSK_NET_STREAM);
}

static int read_fd(struct reader *reader, void *field, const json_t *value)
{
    struct husk_net *net = field;
    json_int_t fd = json_integer_value(value);

    if (!json_is_integer(value) || fd < 0 || fd > INT_MAX)
        return config_wrong_type(reader, value, "the number of a descriptor");
    if (has_kind(net))
        return second_kind(reader);
    net->kind = HUSK_NET_FD;
    net->fd = (int)fd;
    return 0;
}

/* True, or the path of its program. */
static int read_user(struct reader *reader, void *field, const json_t *value)
{
    struct husk_net *net = field;

    if (!json_is_true(value) && !json_is_string(value))
        return config_wrong_type(reader, value, "true, or the path of husk-net-user");
    if (has_kind(net))
        return second_kind(reader);
    net->kind = HUSK_NET_USER;
    return json_is_true(value) ? 0 : read_path(reader, &net->name, value);
}

static json_t *write_user(const void *field)
{
    const struct husk_net *net = field;

    if (net->kind != HUSK_NET_USER)
        return NULL;
    return net->name ? json_string_nocheck(net->name) : json_true();
}

/* Strings, each of which `append` adds to the network; `right` is what there should be instead. */
static int read_rules(struct reader *reader, struct husk_net *net, const json_t *value,
                      int (*append)(struct husk_config *, struct husk_net *, const char *, struct err *),
                      const char *right)
{
    int rc = 0;

    if (!json_is_array(value))
        return config_wrong_type(reader, value, right);
    for (size_t i = 0; i < json_array_size(value) && rc == 0; i++) {
        const char *rule = NULL;

        rc = read_string(reader, &rule, json_array_get(value, i));
        if (rc == 0)
            rc = append(reader->config, net, rule, reader->err);
    }
    return rc;
}

static json_t *write_rules(const char *const *rules, uint32_t count)
{
    json_t *array = count ? json_array() : NULL;

    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(array, json_string_nocheck(rules[i]));
    return array;
}

static int read_forwards(struct reader *reader, void *field, const json_t *value)
{
    return read_rules(reader, field, value, config_append_forward,
                      "an array of strings such as \"tcp:127.0.0.1:2222::22\"");
}

static json_t *write_forwards(const void *field)
{
    const struct husk_net *net = field;

    return write_rules(net->forwards, net->forward_count);
}

static int read_allows(struct reader *reader, void *field, const json_t *value)
{
    return read_rules(reader, field, value, config_append_allow,
                      "an array of strings such as \"192.0.2.0/24:443\"");
}

static json_t *write_allows(const void *field)
{
    const struct husk_net *net = field;

    return write_rules(net->allows, net->allow_count);
}

static int read_egress(struct reader *reader, void *field, const json_t *value)
{
    return json_is_string(value) ? config_set_egress(field, json_string_value(value), reader->err)
                                 : config_wrong_type(reader, value, "\"deny\" or \"allow\"");
}

static json_t *write_egress(const void *field)
{
    return ((const struct husk_net *)field)->egress_denied ? json_string("deny") : NULL;
}

static json_t *write_name(const struct husk_net *net, enum husk_net_kind kind)
{
    return net->kind == kind && net->name ? json_string_nocheck(net->name) : NULL;
}

static json_t *write_tap(const void *field)
{
    return write_name(field, HUSK_NET_TAP);
}

static json_t *write_stream(const void *field)
{
    return write_name(field, HUSK_NET_STREAM);
}

static json_t *write_fd(const void *field)
{
    const struct husk_net *net = field;

    return net->kind == HUSK_NET_FD ? json_integer(net->fd) : NULL;
}

static int read_queues(struct reader *reader, void *field, const json_t *value)
{
    return read_count(reader, field, value, 1, HUSK_NET_QUEUES_MAX);
}

static int read_mtu(struct reader *reader, void *field, const json_t *value)
{
    return read_count(reader, field, value, CONFIG_MTU_MIN, CONFIG_MTU_MAX);
}

static int read_cid(struct reader *reader, void *field, const json_t *value)
{
    int rc;

    if (!json_is_integer(value))
        return config_wrong_type(reader, value, "an integer");
    rc = config_check_cid(json_integer_value(value), reader->err);
    if (rc == 0)
        *(uint32_t *)field = (uint32_t)json_integer_value(value);
    return rc;
}

/* --- objects --- */

static const struct key disk_keys[] = {
    {"path", read_path, write_string, offsetof(struct husk_disk, path)},
    {"read_only", read_flag, write_flag, offsetof(struct husk_disk, read_only)},
    {"serial", read_serial, write_string, offsetof(struct husk_disk, serial)},
    {"cache", config_read_cache, config_write_cache, offsetof(struct husk_disk, cache)},
    {"engine", config_read_engine, config_write_engine, offsetof(struct husk_disk, engine)},
    {"queues", read_disk_queues, write_count_if_any, offsetof(struct husk_disk, queues)},
    {"bps", read_rate, write_rate, offsetof(struct husk_disk, rate.bytes)},
    {"bps_burst", read_rate, write_rate, offsetof(struct husk_disk, rate.bytes_burst)},
    {"iops", read_rate, write_rate, offsetof(struct husk_disk, rate.operations)},
    {"iops_burst", read_rate, write_rate, offsetof(struct husk_disk, rate.operations_burst)},
};

static const struct key net_keys[] = {
    {"tap", read_tap, write_tap, 0}, /* of these four, one: kind and name */
    {"stream", read_stream, write_stream, 0},
    {"fd", read_fd, write_fd, 0},
    {"user", read_user, write_user, 0},
    {"hostfwd", read_forwards, write_forwards, 0},
    {"restrict", read_flag, write_flag, offsetof(struct husk_net, restricted)},
    {"egress", read_egress, write_egress, 0},
    {"allow", read_allows, write_allows, 0},
    {"vhost", read_flag, write_flag, offsetof(struct husk_net, vhost)},
    {"mac", read_string, write_string, offsetof(struct husk_net, mac)},
    {"queues", read_queues, write_count_if_any, offsetof(struct husk_net, queues)},
    {"mtu", read_mtu, write_count_if_any, offsetof(struct husk_net, mtu)},
    {"rx_bps", read_rate, write_rate, offsetof(struct husk_net, receive.bytes)},
    {"rx_bps_burst", read_rate, write_rate, offsetof(struct husk_net, receive.bytes_burst)},
    {"rx_pps", read_rate, write_rate, offsetof(struct husk_net, receive.operations)},
    {"rx_pps_burst", read_rate, write_rate, offsetof(struct husk_net, receive.operations_burst)},
    {"tx_bps", read_rate, write_rate, offsetof(struct husk_net, send.bytes)},
    {"tx_bps_burst", read_rate, write_rate, offsetof(struct husk_net, send.bytes_burst)},
    {"tx_pps", read_rate, write_rate, offsetof(struct husk_net, send.operations)},
    {"tx_pps_burst", read_rate, write_rate, offsetof(struct husk_net, send.operations_burst)},
};

static const struct key vsock_keys[] = {
    {"path", read_path, write_string, offsetof(struct husk_vsock, path)},
    {"cid", read_cid, write_count_if_any, offsetof(struct husk_vsock, cid)},
};

static const struct key share_keys[] = {
    {"tag", read_string, write_string, offsetof(struct husk_share, tag)},
    {"path", read_path, write_string, offsetof(struct husk_share, path)},
    {"read_only", read_flag, write_flag, offsetof(struct husk_share, read_only)},
    {"one_file_system", read_flag, write_flag, offsetof(struct husk_share, one_file_system)},
    {"socket", read_flag, write_flag, offsetof(struct husk_share, socket)},
    {"program", read_path, write_string, offsetof(struct husk_share, program)},
};

static int read_shares(struct reader *reader, void *field, const json_t *value);
static json_t *write_shares(const void *field);
static int read_disks(struct reader *reader, void *field, const json_t *value);
static json_t *write_disks(const void *field);
static int read_nets(struct reader *reader, void *field, const json_t *value);
static json_t *write_nets(const void *field);
static int read_vsock(struct reader *reader, void *field, const json_t *value);
static json_t *write_vsock(const void *field);

static const struct key config_keys[] = {
    {"kernel", read_path, write_string, offsetof(struct husk_config, kernel)},
    {"initrd", read_path, write_string, offsetof(struct husk_config, initrd)},
    {"append", read_string, write_string, offsetof(struct husk_config, append)},
    {"command_line", read_string, write_string, offsetof(struct husk_config, command_line)},
    {"cpus", read_cpus, write_count, offsetof(struct husk_config, cpus)},
    {"cpu_without", read_string, write_string, offsetof(struct husk_config, cpu_without)},
    {"memory", read_memory, write_size, offsetof(struct husk_config, memory)},
    {"console", config_read_console, config_write_console, offsetof(struct husk_config, console)},
    {"bus", config_read_bus, config_write_bus, offsetof(struct husk_config, bus)},
    {"iothreads", read_iothreads, write_count_if_any, offsetof(struct husk_config, iothreads)},
    {"rings", config_read_rings, config_write_rings, offsetof(struct husk_config, rings)},
    {"disks", read_disks, write_disks, 0}, /* two fields: the array and its length */
    {"nets", read_nets, write_nets, 0},
    {"shares", read_shares, write_shares, 0},
    {"vsock", read_vsock, write_vsock, 0}, /* what is read belongs to the configuration */
    {"balloon", read_flag, write_flag, offsetof(struct husk_config, balloon)},
};

/* The longest of the lists above. */
#define KEYS_MAX COUNT(net_keys)

static int unknown_key(struct reader *reader, const char *name, const struct key *keys,
                       size_t count)
{
    const char *words[KEYS_MAX];
    char list[256] = "";
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

/* An array of what `read` reads. */
static int read_each(struct reader *reader, const json_t *array,
                     int (*read)(struct reader *reader, const json_t *value))
{
    size_t length = strlen(reader->place);

    if (!json_is_array(array))
        return config_wrong_type(reader, array, "an array of objects");
    for (size_t i = 0; i < json_array_size(array); i++) {
        int rc;

        snprintf(reader->place + length, sizeof reader->place - length, "[%zu]", i);
        rc = read(reader, json_array_get(array, i));
        if (rc)
            return rc;
    }
    reader->place[length] = '\0';
    return 0;
}

static int read_disk(struct reader *reader, const json_t *value)
{
    struct husk_disk disk = {0};
    int rc;

    if (!json_is_object(value))
        return config_wrong_type(reader, value, "an object such as {\"path\": \"root.img\"}");
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
    ((struct husk_config *)field)->disk_count = 0;
    return read_each(reader, value, read_disk);
}

static json_t *write_disks(const void *field)
{
    const struct husk_config *config = field;
    json_t *array = config->disk_count ? json_array() : NULL;

    for (uint32_t i = 0; i < config->disk_count; i++)
        json_array_append_new(array,
                              write_object(&config->disks[i], disk_keys, COUNT(disk_keys)));
    return array;
}

static int read_net(struct reader *reader, const json_t *value)
{
    struct husk_net net = {.fd = -1};
    int rc;

    if (!json_is_object(value))
        return config_wrong_type(reader, value, "an object such as {\"user\": true}");
    rc = read_object(reader, &net, value, net_keys, COUNT(net_keys));
    if (rc)
        return rc;
    if (!has_kind(&net))
        return err_set(reader->err, -EINVAL, "has none of \"tap\", \"stream\", \"fd\" and "
                                             "\"user\"; give one");
    rc = config_check_net(&net, reader->err);
    return rc ? rc : config_append_net(reader->config, &net, reader->err);
}

/* The array replaces the networks that the configuration had. */
static int read_nets(struct reader *reader, void *field, const json_t *value)
{
    ((struct husk_config *)field)->net_count = 0;
    return read_each(reader, value, read_net);
}

static json_t *write_nets(const void *field)
{
    const struct husk_config *config = field;
    json_t *array = config->net_count ? json_array() : NULL;

    for (uint32_t i = 0; i < config->net_count; i++)
        json_array_append_new(array, write_object(&config->nets[i], net_keys, COUNT(net_keys)));
    return array;
}

static int read_share(struct reader *reader, const json_t *value)
{
    const struct husk_config *config = reader->config;
    struct husk_share share = {0};
    int rc;

    if (!json_is_object(value))
        return config_wrong_type(reader, value, "an object such as {\"tag\": \"src\", \"path\": "
                                         "\"/usr/src\"}");
    rc = read_object(reader, &share, value, share_keys, COUNT(share_keys));
    if (rc)
        return rc;
    rc = config_check_share(&share, config->shares, config->share_count, reader->err);
    return rc ?: config_append_share(reader->config, &share, reader->err);
}

/* The array replaces the shares that the configuration had. */
static int read_shares(struct reader *reader, void *field, const json_t *value)
{
    ((struct husk_config *)field)->share_count = 0;
    return read_each(reader, value, read_share);
}

static json_t *write_shares(const void *field)
{
    const struct husk_config *config = field;
    json_t *array = config->share_count ? json_array() : NULL;

    for (uint32_t i = 0; i < config->share_count; i++)
        json_array_append_new(array,
                              write_object(&config->shares[i], share_keys, COUNT(share_keys)));
    return array;
}

static int read_vsock(struct reader *reader, void *field, const json_t *value)
{
    struct husk_vsock vsock = {0};
    int rc;

    if (!json_is_object(value))
        return config_wrong_type(reader, value, "an object such as {\"path\": \"vsock\"}");
    rc = read_object(reader, &vsock, value, vsock_keys, COUNT(vsock_keys));
    if (rc == 0)
        rc = config_check_vsock(&vsock, reader->err);
    return rc ?: config_take_vsock(field, &vsock, reader->err);
}

static json_t *write_vsock(const void *field)
{
    const struct husk_config *config = field;

    return config->vsock ? write_object(config->vsock, vsock_keys, COUNT(vsock_keys)) : NULL;
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
        rc = config_wrong_type(&reader, root, "an object such as {\"kernel\": \"vmlinuz\"}");
    json_decref(root);
    if (rc && reader.place[0])
        err_prefix(err, "%s", reader.place);
    return rc;
}

int husk_config_parse_json(struct husk_config *config, const char *text, size_t size,
                           const char *name, struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};
    int rc = config_open(config, &view, &err);

    if (rc == 0) {
        rc = parse(&view.config, text, size, &err);
        rc = config_close(&view, config, rc, &err);
    }
    if (rc == 0)
        return 0;
    err_prefix(&err, "%s", name);
    return public_err_pass(public_err, &err);
}

/* What config_open() does for the outer arrays; the writers trust what they are given. */
static bool has_rules(const struct husk_net *net)
{
    return net->forward_count <= HUSK_FORWARDS_MAX && (net->forwards || net->forward_count == 0) &&
           net->allow_count <= HUSK_ALLOWS_MAX && (net->allows || net->allow_count == 0);
}

static bool all_have_rules(const struct husk_config *config)
{
    bool have = true;

    for (uint32_t i = 0; i < config->net_count; i++)
        have &= has_rules(&config->nets[i]);
    return have;
}

char *husk_config_to_json(const struct husk_config *config)
{
    struct config_view view;
    json_t *root;
    char *text;

    if (config_open(config, &view, NULL) || !all_have_rules(&view.config))
        return NULL;
    root = write_object(&view.config, config_keys, COUNT(config_keys));
    text = json_dumps(root, JSON_INDENT(4));
    json_decref(root);
    return text;
}
