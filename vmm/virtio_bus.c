/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_bus.h"

#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/fs.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"
#include "vmm/transport.h"

#include "core/timing.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct virtio_environment environment(struct machine *machine)
{
    return (struct virtio_environment){
        .memory = &machine->memory,
        .loop = &machine->loop,
        .log = &machine->log,
        .queue_loops = machine->queue_loops,
        .queue_loop_count = machine->queue_loop_count,
        .queue_loop_first = machine->virtio_count,
        .packed_rings = machine->config.rings == HUSK_RINGS_PACKED,
    };
}

/* Takes over `device`, on error too. */
static int attach(struct machine *machine, struct virtio_device *device, struct err *err)
{
    struct machine_virtio *virtio = &machine->virtio[machine->virtio_count];
    int rc;

    virtio->device = device;
    rc = machine_transport(machine)->open(machine, virtio, err);
    if (rc)
        virtio_device_destroy(device);
    else
        machine->virtio_count++;
    return rc;
}

static void limit(struct rate_pair *pair, const struct husk_rate *rate)
{
    uint64_t now = timing_now();

    rate_init(&pair->bytes, rate->bytes, rate->bytes_burst, now);
    rate_init(&pair->operations, rate->operations, rate->operations_burst, now);
}

static enum disk_cache cache_of(const struct machine_disk *config)
{
    static const enum disk_cache caches[] = {
        [HUSK_CACHE_WRITEBACK] = DISK_CACHE_WRITEBACK,
        [HUSK_CACHE_NONE] = DISK_CACHE_NONE,
        [HUSK_CACHE_UNSAFE] = DISK_CACHE_UNSAFE,
    };

    return caches[config->cache];
}

static enum disk_engine_choice engine_of(const struct machine_disk *config)
{
    static const enum disk_engine_choice engines[] = {
        [HUSK_ENGINE_AUTO] = DISK_ENGINE_AUTO,
        [HUSK_ENGINE_IO_URING] = DISK_ENGINE_IO_URING,
        [HUSK_ENGINE_SYNC] = DISK_ENGINE_SYNC,
    };

    return engines[config->engine];
}

static int add_disk(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_disk *config = &machine->config.disks[index];
    const struct disk_options disk = {
        config->path, config->read_only, cache_of(config), engine_of(config)};
    struct virtio_blk_options options = {.serial = config->serial, .queues = config->queues};
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc = disk_open(&machine->disks[index], &disk, err);

    if (rc)
        return rc;
    if (config->cache == HUSK_CACHE_UNSAFE && !config->read_only)
        log_line(&machine->log, LOG_LEVEL_WARNING, "disk \"%s\": cache=unsafe: what the guest "
                 "takes for durable is lost if this host fails", config->path);
    limit(&options.rate, &config->rate);
    rc = virtio_blk_create(&device, &env, &options, machine->disks[index], err);
    if (rc)
        return rc;
    machine->disk_devices[index] = device;
    return attach(machine, device, err);
}

struct refresh {
    struct virtio_device *device;
    struct err *err;
    int rc;
};

static void refresh_on_loop(void *argument)
{
    struct refresh *refresh = argument;

    refresh->rc = virtio_blk_refresh(refresh->device, refresh->err);
}

int virtio_bus_refresh_disk(struct machine *machine, unsigned index, struct err *err)
{
    struct refresh refresh = {.err = err};

    if (index >= machine->config.disk_count)
        return err_set(err, -ENOENT, "disk %u: there is none; the machine has %u", index,
                       machine->config.disk_count);
    refresh.device = machine->disk_devices[index];
    loop_call(&machine->loop, refresh_on_loop, &refresh);
    if (refresh.rc)
        err_prefix(err, "disk \"%s\"", machine->config.disks[index].path);
    return refresh.rc;
}

static int start_user(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_net *config = &machine->config.nets[index];
    const struct net_user_options options = {
        .program = config->name,
        .forwards = config->forwards,
        .forward_count = config->forward_count,
        .restricted = config->restricted,
        .mtu = config->mtu ? config->mtu : NET_USER_MTU_DEFAULT,
        .egress_denied = config->egress_denied,
        .allows = config->allows,
        .allow_count = config->allow_count,
    };

    return net_user_start(&machine->net_users[index], &machine->nets[index], &options, err);
}

static int open_net(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_net *config = &machine->config.nets[index];
    struct net **net = &machine->nets[index];
    int rc = -EINVAL;

    switch (config->kind) {
    case HUSK_NET_TAP:
        rc = net_open_tap(net, config->name, config->queues, err);
        break;
    case HUSK_NET_STREAM:
        rc = net_open_stream(net, config->name, err);
        break;
    case HUSK_NET_FD:
        rc = net_open_fd(net, config->fd, err);
        break;
    case HUSK_NET_USER:
        rc = start_user(machine, index, err);
        break;
    }
    if (rc == 0 && config->vhost)
        rc = net_use_vhost(*net, &machine->memory, err);
    if (rc)
        err_prefix(err, "net");
    return rc;
}

static int add_net(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_net *config = &machine->config.nets[index];
    const struct virtio_environment env = environment(machine);
    struct virtio_net_options options = {.mtu = config->mtu};
    struct virtio_device *device;
    int rc = open_net(machine, index, err);

    if (rc)
        return rc;
    memcpy(options.mac, config->mac, sizeof options.mac);
    limit(&options.receive_rate, &config->receive);
    limit(&options.send_rate, &config->send);
    rc = virtio_net_create(&device, &env, &options, machine->nets[index], err);
    return rc ?: attach(machine, device, err);
}

static void resize_console(struct loop_source *source, uint32_t events)
{
    struct machine *machine =
        (struct machine *)((char *)source - offsetof(struct machine, resize));
    uint32_t size = atomic_load(&machine->console_size);

    (void)events;
    virtio_console_resize(machine->virtio_console, (uint16_t)(size >> 16), (uint16_t)size);
}

static int add_console(struct machine *machine, struct err *err)
{
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc;

    if (machine->config.console != HUSK_CONSOLE_VIRTIO)
        return 0;
    rc = virtio_console_create(&device, &env, &machine->console, err);
    if (rc == 0)
        rc = attach(machine, device, err);
    if (rc == 0)
        machine->virtio_console = device;
    machine->resize.ready = resize_console;
    return rc ?: loop_watch_event(&machine->loop, &machine->resize, "the console's size", err);
}

static int add_rng(struct machine *machine, struct err *err)
{
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc = virtio_rng_create(&device, &env, err);

    return rc ?: attach(machine, device, err);
}

static int add_vsock(struct machine *machine, struct err *err)
{
    const struct machine_vsock *config = &machine->config.vsock;
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc;

    if (!config->path)
        return 0;
    rc = vsock_open(&machine->vsock, config->path, config->cid, err);
    if (rc) {
        err_prefix(err, "vsock");
        return rc;
    }
    rc = virtio_vsock_create(&device, &env, machine->vsock, err);
    return rc ?: attach(machine, device, err);
}

static int add_balloon(struct machine *machine, struct err *err)
{
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc;

    if (!machine->config.balloon)
        return 0;
    rc = virtio_balloon_create(&device, &env, err);
    if (rc)
        return rc;
    machine->balloon = device;
    return attach(machine, device, err);
}

struct balloon_target {
    struct virtio_device *device;
    uint64_t bytes;
};

static void set_balloon_on_loop(void *argument)
{
    const struct balloon_target *target = argument;

    virtio_balloon_set_target(target->device, target->bytes);
}

int virtio_bus_set_balloon(struct machine *machine, uint64_t bytes, struct err *err)
{
    struct balloon_target target = {machine->balloon, bytes};
    uint64_t memory = memory_size(&machine->memory);

    if (!machine->balloon)
        return err_set(err, -ENOENT, "the machine has no balloon; create it with one");
    if (bytes > memory)
        return err_set(err, -ERANGE, "balloon: %lluM are more than the guest's %lluM; give less",
                       (unsigned long long)(bytes >> 20), (unsigned long long)(memory >> 20));
    loop_call(&machine->loop, set_balloon_on_loop, &target);
    return 0;
}

static int add_share(struct machine *machine, unsigned index, struct err *err)
{
    const struct machine_share *config = &machine->config.shares[index];
    const struct share_options options = {config->path, config->socket, config->read_only,
                                          config->one_file_system, config->program};
    const struct virtio_environment env = environment(machine);
    struct virtio_device *device;
    int rc = share_start(&machine->shares[index], &options, &machine->memory, err);

    if (rc) {
        err_prefix(err, "share %s: \"%s\"", config->tag, config->path);
        return rc;
    }
    rc = virtio_fs_create(&device, &env, config->tag, machine->shares[index], err);
    if (rc)
        return rc;
    machine->share_devices[index] = device;
    return attach(machine, device, err);
}

int virtio_bus_create(struct machine *machine, struct err *err)
{
    const struct transport *transport = machine_transport(machine);
    int rc = transport->prepare ? transport->prepare(machine, err) : 0;

    for (unsigned i = 0; i < machine->config.disk_count && rc == 0; i++)
        rc = add_disk(machine, i, err);
    for (unsigned i = 0; i < machine->config.net_count && rc == 0; i++)
        rc = add_net(machine, i, err);
    for (unsigned i = 0; i < machine->config.share_count && rc == 0; i++)
        rc = add_share(machine, i, err);
    if (rc == 0)
        rc = add_console(machine, err);
    if (rc == 0)
        rc = add_rng(machine, err);
    if (rc == 0)
        rc = add_vsock(machine, err);
    return rc ?: add_balloon(machine, err);
}

int virtio_bus_await(struct machine *machine, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < machine->config.net_count && rc == 0; i++)
        if (machine->net_users[i])
            rc = net_user_await(machine->net_users[i], &machine->log, err);
    if (rc)
        err_prefix(err, "net user");
    for (unsigned i = 0; i < machine->config.share_count && rc == 0; i++) {
        rc = virtio_fs_await(machine->share_devices[i], err);
        if (rc)
            err_prefix(err, "share %s", machine->config.shares[i].tag);
    }
    return rc;
}

int virtio_bus_connect(struct machine *machine, struct err *err)
{
    const struct transport *transport = machine_transport(machine);
    int rc = 0;

    for (unsigned i = 0; transport->connect && i < machine->virtio_count && rc == 0; i++)
        rc = transport->connect(machine, &machine->virtio[i], err);
    return rc;
}

void virtio_bus_destroy(struct machine *machine)
{
    while (machine->virtio_count > 0) {
        struct machine_virtio *virtio = &machine->virtio[--machine->virtio_count];

        virtio_device_destroy(virtio->device); /* what it still completes interrupts the driver */
        machine_transport(machine)->close(virtio);
    }
    wiring_close(&machine->wiring);
    if (machine->resize.fd >= 0)
        close(machine->resize.fd);
    vsock_close(machine->vsock);
    for (unsigned i = 0; i < HUSK_DISKS_MAX; i++)
        disk_close(machine->disks[i]);
    for (unsigned i = 0; i < HUSK_SHARES_MAX; i++)
        share_close(machine->shares[i]);
    for (unsigned i = 0; i < HUSK_NETS_MAX; i++) {
        net_close(machine->nets[i]);
        net_user_stop(machine->net_users[i]);
    }
}
