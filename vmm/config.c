/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults, limits, ownership and the checked copy of a configuration. */
#include "vmm/config.h"
#include "vmm/config_cpu.h"
#include "vmm/config_disk.h"
#include "vmm/config_net.h"
#include "vmm/config_parts.h"
#include "vmm/config_share.h"
#include "vmm/config_sizes.h"
#include "vmm/config_vsock.h"
#include "vmm/public_err.h"

#include "core/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* What a configuration owns: strings, and the arrays once something was appended to them. */
struct owned_bytes {
    struct owned_bytes *next;
    _Alignas(void *) char bytes[];
};

struct owned {
    struct owned_bytes *pieces;
    uint32_t disk_size; /* the caller's, for when the arrays are his again */
    uint32_t net_size;
    uint32_t vsock_size;
    uint32_t share_size;
    struct husk_disk disks[HUSK_DISKS_MAX];
    struct husk_net nets[HUSK_NETS_MAX];
    struct husk_share shares[HUSK_SHARES_MAX];
};

void husk_config_init_sizes(struct husk_config *config, size_t size, size_t disk_size,
                            size_t net_size, size_t vsock_size, size_t share_size)
{
    const struct husk_config defaults = {
        .size = (uint32_t)size,
        .disk_size = (uint32_t)disk_size,
        .net_size = (uint32_t)net_size,
        .vsock_size = (uint32_t)vsock_size,
        .share_size = (uint32_t)share_size,
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
    size_t disk_size = owned ? owned->disk_size : config->disk_size;
    size_t net_size = owned ? owned->net_size : config->net_size;
    size_t vsock_size = owned ? owned->vsock_size : config->vsock_size;
    size_t share_size = owned ? owned->share_size : config_share_size(config);

    while (owned && owned->pieces) {
        struct owned_bytes *piece = owned->pieces;

        owned->pieces = piece->next;
        free(piece);
    }
    free(owned);
    /* so that nothing points at what is gone */
    husk_config_init_sizes(config, config->size, disk_size, net_size, vsock_size, share_size);
}

static struct owned *owned_by(struct husk_config *config)
{
    struct owned *owned = config->owned;

    if (owned)
        return owned;
    owned = config->owned = calloc(1, sizeof *owned);
    if (owned) {
        owned->disk_size = config->disk_size;
        owned->net_size = config->net_size;
        owned->vsock_size = config->vsock_size;
        owned->share_size = config_share_size(config);
    }
    return owned;
}

void *config_own(struct husk_config *config, const void *bytes, size_t size)
{
    struct owned *owned = owned_by(config);
    struct owned_bytes *piece = owned ? malloc(sizeof *piece + size + 1) : NULL;

    if (!piece)
        return NULL;
    memcpy(piece->bytes, bytes, size);
    piece->bytes[size] = '\0';
    piece->next = owned->pieces;
    owned->pieces = piece;
    return piece->bytes;
}

char *config_own_string(struct husk_config *config, const char *text, size_t size)
{
    return config_own(config, text, size);
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

int config_append_net(struct husk_config *config, const struct husk_net *net, struct err *err)
{
    struct owned *owned;

    if (config->net_count >= HUSK_NETS_MAX)
        return err_set(err, -ENOSPC, "is one too many; give at most %d", HUSK_NETS_MAX);
    owned = owned_by(config);
    if (!owned)
        return err_set(err, -ENOMEM, "out of memory");
    if (config->nets != owned->nets && config->net_count > 0)
        memcpy(owned->nets, config->nets, config->net_count * sizeof *net);
    owned->nets[config->net_count++] = *net;
    config->nets = owned->nets;
    return 0;
}

int config_append_share(struct husk_config *config, const struct husk_share *share,
                        struct err *err)
{
    struct owned *owned;

    if (config->share_count >= HUSK_SHARES_MAX)
        return err_set(err, -ENOSPC, "is one too many; give at most %d", HUSK_SHARES_MAX);
    owned = owned_by(config);
    if (!owned)
        return err_set(err, -ENOMEM, "out of memory");
    if (config->shares != owned->shares && config->share_count > 0)
        memcpy(owned->shares, config->shares, config->share_count * sizeof *share);
    owned->shares[config->share_count++] = *share;
    config->shares = owned->shares;
    return 0;
}

/* --- limits --- */

int config_check_count(int64_t count, unsigned least, unsigned most, struct err *err)
{
    if (count < least || count > most)
        return err_set(err, -ERANGE, "%lld is not possible; give %u to %u", (long long)count,
                       least, most);
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

int config_check_rate(const struct husk_rate *rate, struct err *err)
{
    if ((rate->bytes_burst && !rate->bytes) || (rate->operations_burst && !rate->operations))
        return err_set(err, -EINVAL, "a burst without a rate; give both");
    if (rate->bytes > RATE_MAX || rate->bytes_burst > RATE_MAX || rate->operations > RATE_MAX ||
        rate->operations_burst > RATE_MAX)
        return err_set(err, -ERANGE, "more than %llu is no limit; leave it out",
                       (unsigned long long)RATE_MAX);
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
    for (uint32_t i = 0; i < config->disk_count; i++) {
        int rc = config_check_disk(&config->disks[i], err);

        if (rc) {
            err_prefix(err, "disks[%u]", i);
            return rc;
        }
    }
    return 0;
}

static int check_nets(const struct husk_config *config, struct err *err)
{
    for (uint32_t i = 0; i < config->net_count; i++) {
        int rc = config_check_net(&config->nets[i], err);

        if (rc) {
            err_prefix(err, "nets[%u]", i);
            return rc;
        }
    }
    return 0;
}

static int check_shares(const struct husk_config *config, struct err *err)
{
    for (uint32_t i = 0; i < config->share_count; i++) {
        int rc = config_check_share(&config->shares[i], config->shares, i, err);

        if (rc) {
            err_prefix(err, "shares[%u]", i);
            return rc;
        }
    }
    return 0;
}

static int check_vsock(const struct husk_config *config, struct err *err)
{
    int rc = config->vsock ? config_check_vsock(config->vsock, err) : 0;

    if (rc)
        err_prefix(err, "vsock");
    return rc;
}

static int check_numbers(const struct husk_config *config, struct err *err)
{
    int rc;

    if ((rc = config_check_count(config->cpus, 1, HUSK_CPUS_MAX, err)) < 0)
        err_prefix(err, "cpus");
    else if ((rc = config_check_count(config->iothreads, 0, HUSK_IOTHREADS_MAX, err)) < 0)
        err_prefix(err, "iothreads");
    else if ((rc = config_check_memory(config->memory, err)) < 0)
        err_prefix(err, "memory");
    else if ((unsigned)config->console > HUSK_CONSOLE_OFF)
        rc = err_set(err, -EINVAL, "console: %d is none of serial, virtio and off",
                     (int)config->console);
    else if ((unsigned)config->rings > HUSK_RINGS_PACKED)
        rc = err_set(err, -EINVAL, "rings: %d is none of split and packed", (int)config->rings);
    else if ((unsigned)config->bus > HUSK_BUS_PCI)
        rc = err_set(err, -EINVAL, "bus: %d is neither mmio nor pci", (int)config->bus);
    return rc;
}

static int check(const struct husk_config *config, struct err *err)
{
    uint32_t withheld;
    int rc;

    if (!config->kernel)
        return err_set(err, -EINVAL, "no kernel is given; give the path of one");
    if (config->append && config->command_line)
        return err_set(err, -EINVAL, "append and command_line are both given; command_line "
                       "replaces what append would be added to, so leave one out");
    if ((rc = check_optional_path("kernel", config->kernel, err)) < 0 ||
        (rc = check_optional_path("initrd", config->initrd, err)) < 0 ||
        (rc = check_numbers(config, err)) < 0 ||
        (rc = config_cpu_withheld(config->cpu_without, &withheld, err)) < 0)
        return rc;
    return check_disks(config, err) ?: check_nets(config, err) ?: check_vsock(config, err)
        ?: check_shares(config, err);
}

static int open_and_check(const struct husk_config *from, struct config_view *view,
                          struct err *err)
{
    int rc = config_open(from, view, err);

    return rc ? rc : check(&view->config, err);
}

int husk_config_check(const struct husk_config *config, struct husk_err *public_err)
{
    struct config_view view;
    struct err err = {0};

    return open_and_check(config, &view, &err) ? public_err_pass(public_err, &err) : 0;
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

static bool copy_net_strings(struct machine_net *to, const struct machine_net *from)
{
    bool copied = copy_string(&to->name, from->name);

    for (uint32_t i = 0; i < from->allow_count; i++)
        copied &= copy_string(&to->allows[i], from->allows[i]);
    return copied;
}

/* Errors: -ENOMEM, with *to empty. */
static int copy(const struct machine_config *from, struct machine_config *to, struct err *err)
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
    for (uint32_t i = 0; i < to->net_count; i++)
        copied &= copy_net_strings(&to->nets[i], &from->nets[i]);
    copied &= copy_string(&to->vsock.path, from->vsock.path);
    for (uint32_t i = 0; i < to->share_count; i++) {
        copied &= copy_string(&to->shares[i].tag, from->shares[i].tag);
        copied &= copy_string(&to->shares[i].path, from->shares[i].path);
        copied &= copy_string(&to->shares[i].program, from->shares[i].program);
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
    for (uint32_t i = 0; i < config->net_count; i++) {
        free_string(config->nets[i].name);
        for (uint32_t j = 0; j < config->nets[i].allow_count; j++)
            free_string(config->nets[i].allows[j]);
    }
    free_string(config->vsock.path);
    for (uint32_t i = 0; i < config->share_count; i++) {
        free_string(config->shares[i].tag);
        free_string(config->shares[i].path);
        free_string(config->shares[i].program);
    }
    *config = (struct machine_config){0};
}

static void borrow_disk(const struct husk_disk *from, const struct husk_config *config,
                        struct machine_disk *to)
{
    *to = (struct machine_disk){
        .path = from->path,
        .serial = from->serial,
        .read_only = from->read_only,
        .cache = from->cache,
        .engine = from->engine,
        .queues = config_disk_queues(from, config),
        .rate = from->rate,
    };
}

static void borrow_net(const struct husk_net *net, uint32_t index, struct machine_net *borrowed)
{
    *borrowed = (struct machine_net){
        .kind = net->kind,
        .name = net->name,
        .fd = net->fd,
        .queues = net->queues ? net->queues : 1,
        .mtu = (uint16_t)net->mtu,
        .receive = net->receive,
        .send = net->send,
        .forward_count = net->forward_count,
        .restricted = net->restricted,
        .vhost = net->vhost,
        .egress_denied = net->egress_denied || net->allow_count > 0,
        .allow_count = net->allow_count,
    };
    config_net_mac(net, index, borrowed->mac);
    for (uint32_t i = 0; i < net->forward_count; i++)
        net_forward_parse(&borrowed->forwards[i], net->forwards[i], NULL); /* it has been checked */
    for (uint32_t i = 0; i < net->allow_count; i++)
        borrowed->allows[i] = net->allows[i];
}

int config_validate(const struct husk_config *public_config, struct machine_config *config,
                    struct err *err)
{
    struct machine_config borrowed;
    const struct husk_config *read;
    struct config_view view;
    uint32_t withheld;
    int rc;

    *config = (struct machine_config){0};
    read = &view.config;
    if ((rc = open_and_check(public_config, &view, err)) < 0 ||
        (rc = check_host_memory(read->memory, err)) < 0 ||
        (rc = config_cpu_withheld(read->cpu_without, &withheld, err)) < 0)
        return rc;
    borrowed = (struct machine_config){
        .kernel = read->kernel,
        .initrd = read->initrd,
        .append = read->append,
        .command_line = read->command_line,
        .cpus = read->cpus,
        .cpu_withheld = withheld,
        .iothreads = read->iothreads,
        .bus = read->bus,
        .memory = read->memory,
        .disk_count = read->disk_count,
        .net_count = read->net_count,
        .share_count = read->share_count,
        .rings = read->rings,
        .balloon = read->balloon,
        .console = read->console,
        .console_in_fd = read->console_in_fd,
        .console_out_fd = read->console_out_fd,
    };
    for (uint32_t i = 0; i < read->disk_count; i++)
        borrow_disk(&read->disks[i], read, &borrowed.disks[i]);
    for (uint32_t i = 0; i < read->net_count; i++)
        borrow_net(&read->nets[i], i, &borrowed.nets[i]);
    for (uint32_t i = 0; i < read->share_count; i++)
        borrowed.shares[i] = (struct machine_share){
            read->shares[i].tag, read->shares[i].path, read->shares[i].program,
            read->shares[i].read_only, read->shares[i].socket, read->shares[i].one_file_system};
    if (read->vsock)
        borrowed.vsock = (struct machine_vsock){read->vsock->path, config_vsock_cid(read->vsock)};
    return copy(&borrowed, config, err);
}
