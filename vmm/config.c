/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults, limits, ownership and the checked copy of a configuration. */
#include "vmm/config.h"
#include "vmm/config_parts.h"
#include "vmm/public_err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* What a configuration owns: strings, and the disk array once something was appended to it. */
struct owned_string {
    struct owned_string *next;
    char text[];
};

struct owned {
    struct owned_string *strings;
    struct husk_disk disks[HUSK_DISKS_MAX];
};

void husk_config_init_size(struct husk_config *config, size_t size)
{
    const struct husk_config defaults = {
        .size = (uint32_t)size,
        .cpus = 1,
        .memory = 256ull << 20,
        .console = HUSK_CONSOLE_SERIAL,
        .console_in_fd = -1,
        .console_out_fd = -1,
    };

    memset(config, 0, size);
    memcpy(config, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

void husk_config_release(struct husk_config *config)
{
    struct owned *owned = config->owned;

    while (owned && owned->strings) {
        struct owned_string *string = owned->strings;

        owned->strings = string->next;
        free(string);
    }
    free(owned);
    husk_config_init_size(config, config->size); /* so that nothing points at what is gone */
}

static struct owned *owned_by(struct husk_config *config)
{
    if (!config->owned)
        config->owned = calloc(1, sizeof(struct owned));
    return config->owned;
}

char *config_own_string(struct husk_config *config, const char *text, size_t size)
{
    struct owned *owned = owned_by(config);
    struct owned_string *string = owned ? malloc(sizeof *string + size + 1) : NULL;

    if (!string)
        return NULL;
    memcpy(string->text, text, size);
    string->text[size] = '\0';
    string->next = owned->strings;
    owned->strings = string;
    return string->text;
}

int config_append_disk(struct husk_config *config, const struct husk_disk *disk, struct err *err)
{
    struct owned *owned;

    if (config->disk_count >= HUSK_DISKS_MAX)
        return err_set(err, -ENOSPC, "is one too many; give at most %d", HUSK_DISKS_MAX);
    owned = owned_by(config);
    if (!owned)
        return err_set(err, -ENOMEM, "out of memory");
    if (config->disks != owned->disks && config->disk_count > 0)
        memcpy(owned->disks, config->disks, config->disk_count * sizeof *disk);
    owned->disks[config->disk_count++] = *disk;
    config->disks = owned->disks;
    return 0;
}

/* --- limits --- */

int config_check_cpus(uint64_t cpus, struct err *err)
{
    if (cpus < 1 || cpus > HUSK_CPUS_MAX)
        return err_set(err, -ERANGE, "%llu is not possible; give 1 to %d",
                       (unsigned long long)cpus, HUSK_CPUS_MAX);
    return 0;
}

int config_check_memory(uint64_t memory, struct err *err)
{
    if (memory < CONFIG_MEMORY_MIN)
        return err_set(err, -ERANGE, "%llu bytes are too little; give %lluM or more",
                       (unsigned long long)memory, CONFIG_MEMORY_MIN >> 20);
    if (memory > CONFIG_MEMORY_MAX)
        return err_set(err, -ERANGE, "%llu bytes are too much; give %lluG or less",
                       (unsigned long long)memory, CONFIG_MEMORY_MAX >> 30);
    if (memory % CONFIG_MEMORY_STEP)
        return err_set(err, -EINVAL, "%llu bytes are no whole number of 4 KiB pages; give %lluK",
                       (unsigned long long)memory,
                       (unsigned long long)(memory / CONFIG_MEMORY_STEP * 4));
    return 0;
}

int config_check_path(const char *path, struct err *err)
{
    return *path ? 0 : err_set(err, -EINVAL, "is empty; give a path");
}

int config_check_serial(const char *serial, struct err *err)
{
    size_t length = strlen(serial);

    if (length == 0 || length > CONFIG_SERIAL_MAX)
        return err_set(err, -EINVAL, "%zu bytes long; give 1 to %u", length, CONFIG_SERIAL_MAX);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)serial[i] < ' ' || serial[i] == 0x7f)
            return err_set(err, -EINVAL, "contains a control character; leave it out");
    return 0;
}

static int check_optional_path(const char *key, const char *path, struct err *err)
{
    if (path && config_check_path(path, err)) {
        err_prefix(err, "%s", key);
        return -EINVAL;
    }
    return 0;
}

static int check_disks(const struct husk_config *config, struct err *err)
{
    if (config->disk_count > HUSK_DISKS_MAX)
        return err_set(err, -ERANGE, "disks: %u are too many; give %d at most",
                       config->disk_count, HUSK_DISKS_MAX);
    if (config->disk_count > 0 && !config->disks)
        return err_set(err, -EINVAL, "disks: the array is missing");
    for (uint32_t i = 0; i < config->disk_count; i++) {
        const struct husk_disk *disk = &config->disks[i];

        if (!disk->path)
            return err_set(err, -EINVAL, "disks[%u].path: is missing; give a path", i);
        if (config_check_path(disk->path, err)) {
            err_prefix(err, "disks[%u].path", i);
            return -EINVAL;
        }
        if (disk->serial && config_check_serial(disk->serial, err)) {
            err_prefix(err, "disks[%u].serial", i);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_numbers(const struct husk_config *config, struct err *err)
{
    int rc;

    if ((rc = config_check_cpus(config->cpus, err)) < 0)
        err_prefix(err, "cpus");
    else if ((rc = config_check_memory(config->memory, err)) < 0)
        err_prefix(err, "memory");
    else if ((unsigned)config->console > HUSK_CONSOLE_OFF)
        rc = err_set(err, -EINVAL, "console: %d is none of serial, virtio and off",
                     (int)config->console);
    return rc;
}

static int check(const struct husk_config *config, struct err *err)
{
    int rc;

    if (!config->kernel)
        return err_set(err, -EINVAL, "no kernel is given; give the path of a bzImage or vmlinux");
    if (config->append && config->command_line)
        return err_set(err, -EINVAL, "append and command_line are both given; command_line "
                       "replaces what append would be added to, so leave one out");
    if ((rc = check_optional_path("kernel", config->kernel, err)) < 0 ||
        (rc = check_optional_path("initrd", config->initrd, err)) < 0 ||
        (rc = check_numbers(config, err)) < 0)
        return rc;
    return check_disks(config, err);
}

/* The caller may be older and know fewer fields: those that it lacks have their defaults. */
static int read_public(const struct husk_config *from, struct husk_config *config, struct err *err)
{
    size_t smallest = offsetof(struct husk_config, owned) + sizeof from->owned;

    husk_config_init(config);
    if (from->size < smallest || from->size > 4096)
        return err_set(err, -EINVAL, "husk_config: size is %u; call husk_config_init() first",
                       from->size);
    memcpy(config, from, from->size < sizeof *config ? from->size : sizeof *config);
    return 0;
}

static int read_and_check(const struct husk_config *from, struct husk_config *config,
                          struct err *err)
{
    int rc = read_public(from, config, err);

    return rc ? rc : check(config, err);
}

int husk_config_check(const struct husk_config *config, struct husk_err *public_err)
{
    struct husk_config read;
    struct err err = {0};

    return read_and_check(config, &read, &err) ? public_err_pass(public_err, &err) : 0;
}

/* --- the checked copy --- */

static int check_host_memory(uint64_t memory, struct err *err)
{
    struct sysinfo info;
    uint64_t total;

    if (sysinfo(&info) < 0)
        return err_sys(err, -errno, "cannot ask how much memory the host has");
    total = (uint64_t)info.totalram * info.mem_unit;
    if (memory > total)
        return err_set(err, -ERANGE, "memory: %lluM is more than the host's %lluM; give less",
                       (unsigned long long)(memory >> 20), (unsigned long long)(total >> 20));
    return 0;
}

static bool copy_string(const char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

int machine_config_copy(const struct machine_config *from, struct machine_config *to,
                        struct err *err)
{
    bool copied = true;

    *to = *from;
    copied &= copy_string(&to->kernel, from->kernel);
    copied &= copy_string(&to->initrd, from->initrd);
    copied &= copy_string(&to->append, from->append);
    copied &= copy_string(&to->command_line, from->command_line);
    for (uint32_t i = 0; i < to->disk_count; i++) {
        copied &= copy_string(&to->disks[i].path, from->disks[i].path);
        copied &= copy_string(&to->disks[i].serial, from->disks[i].serial);
    }
    if (copied)
        return 0;
    machine_config_free(to);
    return err_set(err, -ENOMEM, "out of memory");
}

static void free_string(const char *string)
{
    free((void *)string);
}

void machine_config_free(struct machine_config *config)
{
    free_string(config->kernel);
    free_string(config->initrd);
    free_string(config->append);
    free_string(config->command_line);
    for (uint32_t i = 0; i < config->disk_count; i++) {
        free_string(config->disks[i].path);
        free_string(config->disks[i].serial);
    }
    *config = (struct machine_config){0};
}

int config_validate(const struct husk_config *public_config, struct machine_config *config,
                    struct err *err)
{
    struct machine_config borrowed;
    struct husk_config read;
    int rc;

    *config = (struct machine_config){0};
    if ((rc = read_and_check(public_config, &read, err)) < 0 ||
        (rc = check_host_memory(read.memory, err)) < 0)
        return rc;
    borrowed = (struct machine_config){
        .kernel = read.kernel,
        .initrd = read.initrd,
        .append = read.append,
        .command_line = read.command_line,
        .cpus = read.cpus,
        .memory = read.memory,
        .disk_count = read.disk_count,
        .console = read.console,
        .console_in_fd = read.console_in_fd,
        .console_out_fd = read.console_out_fd,
    };
    for (uint32_t i = 0; i < read.disk_count; i++)
        borrowed.disks[i] = (struct machine_disk){
            read.disks[i].path, read.disks[i].serial, read.disks[i].read_only};
    return machine_config_copy(&borrowed, config, err);
}
