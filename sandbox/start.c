/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's start, from top to bottom:
 *
 *     place        a folder, locked
 *     parts        kernel, modules, agent, root: what the caller says, or what is found
 *     initramfs    made in memory of the agent and the modules
 *     machine      the kernel, that initramfs, the root as disks or shares, a vsock
 *     agent        it connects to us, and reports each stage until it is ready
 */
#include "sandbox/sandbox.h"

#include "agent/protocol.h"
#include "sandbox/fail.h"
#include "sandbox/find.h"
#include "sandbox/initramfs.h"
#include "sandbox/link.h"
#include "sandbox/modules.h"
#include "sandbox/root.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_DEFAULT (UINT64_C(1) << 30)
#define STAGE_TIMEOUT_DEFAULT 60000

/* devices/net/user's network. */
#define GUEST_ADDRESS "10.0.2.15"
#define GATEWAY "10.0.2.2"
#define NAMESERVER "10.0.2.3"

/* What a machine is made of, until it is created. */
struct parts {
    char kernel[PATH_MAX];
    char agent[PATH_MAX];
    char initrd[32];
    struct modules modules;
    struct root root;
    struct archive initramfs;
    int console; /* what the machine writes to */
};

void husk_sandbox_config_init_sizes(struct husk_sandbox_config *config, size_t size,
                                    size_t bind_size)
{
    const struct husk_sandbox_config defaults = {
        .size = (uint32_t)size,
        .bind_size = (uint32_t)bind_size,
        .cpus = 1,
        .memory = MEMORY_DEFAULT,
        .cancel_fd = -1,
    };

    memset(config, 0, size);
    memcpy(config, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

/* The caller's struct as this library knows it. */
static int take_config(struct husk_sandbox_config *own, const struct husk_sandbox_config *config,
                       struct husk_err *err)
{
    if (config->size < 2 * sizeof(uint32_t) || config->size > sizeof *own ||
        config->bind_size != sizeof(struct husk_bind))
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "the sandbox's configuration is of another version of "
                    "libhusk; call husk_sandbox_config_init() first");
    *own = (struct husk_sandbox_config){0};
    memcpy(own, config, config->size);
    own->stage_timeout = own->stage_timeout ? own->stage_timeout : STAGE_TIMEOUT_DEFAULT;
    return 0;
}

/* --- parts --- */

/* In the order of loading: first what the agent needs to report, last what nothing waits for. */
static int choose_modules(struct parts *parts, const struct husk_sandbox_config *config,
                          struct husk_err *err)
{
    struct modules *modules = &parts->modules;
    int rc = modules_open(modules, parts->kernel, config->modules, err);

    rc = rc ?: modules_add(modules, "virtio_mmio", false, err);
    rc = rc ?: modules_add(modules, "vmw_vsock_virtio_transport", false, err);
    rc = rc ?: root_add_modules(&parts->root, modules, err);
    if (config->network)
        rc = rc ?: modules_add(modules, "virtio_net", false, err);
    modules_begin_late(modules);
    rc = rc ?: modules_add(modules, "pvpanic-mmio", true, err);
    rc = rc ?: modules_add(modules, "virtio_balloon", true, err);
    return rc ?: modules_add(modules, "virtio-rng", true, err);
}

static int copy_path(char to[PATH_MAX], const char *from, struct husk_err *err)
{
    if (snprintf(to, PATH_MAX, "%s", from) < PATH_MAX)
        return 0;
    return fail(err, HUSK_ERR_INPUT, -ENAMETOOLONG, "the path \"%.100s...\" is too long", from);
}

static void describe(const struct husk_sandbox *sandbox, const struct parts *parts,
                     const struct husk_sandbox_config *config, struct fields *fields)
{
    fields_add(fields, "hostname", config->hostname ? config->hostname : sandbox->place.name);
    root_describe(&parts->root, fields);
    if (config->network) {
        fields_add(fields, "address", GUEST_ADDRESS);
        fields_add(fields, "gateway", GATEWAY);
        fields_add(fields, "nameserver", NAMESERVER);
    }
}

static int make_initramfs(const struct husk_sandbox *sandbox, struct parts *parts,
                          const struct husk_sandbox_config *config, struct husk_err *err)
{
    struct fields fields = {0};
    int rc;

    describe(sandbox, parts, config, &fields);
    rc = initramfs_make(&parts->initramfs, parts->agent, &parts->modules, &fields, err);
    snprintf(parts->initrd, sizeof parts->initrd, "/proc/self/fd/%d", parts->initramfs.fd);
    fields_release(&fields);
    return rc;
}

static int prepare(struct husk_sandbox *sandbox, struct parts *parts,
                   const struct husk_sandbox_config *config, struct husk_err *err)
{
    int rc = config->kernel ? copy_path(parts->kernel, config->kernel, err)
                            : find_kernel(parts->kernel, err);

    rc = rc ?: config->agent ? copy_path(parts->agent, config->agent, err)
                             : find_program(parts->agent, "husk-agent", err);
    rc = rc ?: root_prepare(&parts->root, config, &sandbox->log, err);
    rc = rc ?: choose_modules(parts, config, err);
    rc = rc ?: make_initramfs(sandbox, parts, config, err);
    return rc ?: console_tail_open(&sandbox->console, &parts->console, err);
}

static void release(struct parts *parts)
{
    modules_close(&parts->modules);
    root_release(&parts->root);
    archive_close(&parts->initramfs);
    if (parts->console >= 0)
        close(parts->console);
}

/* --- the machine --- */

/* Replaces the first `from` by `to`, which is as long. */
static void rename_word(char *message, const char *from, const char *to)
{
    char *found = strstr(message, from);

    while (found && *to)
        *found++ = *to++;
}

/*
 * The machine's configuration has a list of networks with "hostfwd" rules, of which our caller, who
 * has one network with forwards, does not know.
 */
static void rename_network(struct husk_err *err)
{
    static const char machines[] = "nets[0]: ", helper[] = "net user: ";
    static const char rule[] = "hostfwd ", our_rule[] = "forward ", ours[] = "network: ";
    bool is_machines = strncmp(err->message, machines, sizeof machines - 1) == 0;

    _Static_assert(sizeof machines == sizeof ours, "one replaces the other");
    _Static_assert(sizeof rule == sizeof our_rule, "one replaces the other");
    if (is_machines)
        rename_word(err->message, machines, ours);
    if (is_machines || strncmp(err->message, helper, sizeof helper - 1) == 0)
        rename_word(err->message, rule, our_rule);
}

static int create_machine(struct husk_sandbox *sandbox, const struct parts *parts,
                          const struct husk_sandbox_config *config, struct husk_err *err)
{
    const struct husk_vsock vsock = {.path = sandbox->socket};
    const struct husk_net net = {
        .kind = HUSK_NET_USER,
        .forwards = config->forwards,
        .forward_count = config->forward_count,
        .allows = config->allows,
        .allow_count = config->allow_count,
        .egress_denied = true,
    };
    struct husk_config machine;

    husk_config_init(&machine);
    machine.kernel = parts->kernel;
    machine.initrd = parts->initrd;
    machine.append = "quiet panic=-1";
    machine.memory = config->memory;
    machine.cpus = config->cpus;
    machine.vsock = &vsock;
    machine.console_out_fd = parts->console;
    machine.balloon = true;
    if (config->network) {
        machine.nets = &net;
        machine.net_count = 1;
    }
    root_add_devices(&parts->root, &machine);
    return husk_vm_create(&machine, sandbox->log.line ? &sandbox->log : NULL, &sandbox->vm, err);
}

static int start_machine(struct husk_sandbox *sandbox, const struct husk_sandbox_config *config,
                         struct husk_err *err)
{
    struct parts parts = {.root = ROOT_NONE, .initramfs.fd = -1, .console = -1};
    int rc = prepare(sandbox, &parts, config, err);

    rc = rc ?: create_machine(sandbox, &parts, config, err);
    sandbox->layer = root_take_layer(&parts.root);
    release(&parts);
    rc = rc ?: husk_vm_start(sandbox->vm, err);
    if (rc && err)
        rename_network(err);
    return rc;
}

/* --- all of it --- */

static int note_info(struct husk_sandbox *sandbox, const struct husk_sandbox_config *config,
                     struct husk_err *err)
{
    sandbox->info = (struct place_info){
        .pid = getpid(),
        .started = time(NULL),
        .keep = config->keep,
        .dedicated = config->dedicated,
        .status = -1,
    };
    if (config->command)
        snprintf(sandbox->info.command, sizeof sandbox->info.command, "%s", config->command);
    return place_write_info(&sandbox->place, &sandbox->info, err);
}

static int note_ready(struct husk_sandbox *sandbox, struct husk_err *err)
{
    sandbox->info.ready = true;
    return place_write_info(&sandbox->place, &sandbox->info, err);
}

static int build(struct husk_sandbox *sandbox, const struct husk_sandbox_config *config,
                 struct husk_err *err)
{
    int listener, rc = place_create(&sandbox->place, config->name, err);

    if (rc)
        return rc;
    place_path(&sandbox->place, "vsock", sandbox->socket);
    rc = note_info(sandbox, config, err);
    if (rc)
        return rc;
    listener = link_listen(sandbox->socket, AGENT_REPORT_PORT, err);
    if (listener < 0)
        return listener;
    rc = start_machine(sandbox, config, err);
    rc = rc ?: sandbox_await_agent(sandbox, listener, err);
    close(listener);
    return rc ?: note_ready(sandbox, err);
}

int husk_sandbox_start(const struct husk_sandbox_config *config, const struct husk_log *log,
                       struct husk_sandbox **out, struct husk_err *err)
{
    struct husk_sandbox *sandbox = calloc(1, sizeof *sandbox);
    struct husk_sandbox_config own = {0};
    int rc;

    if (!sandbox)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    sandbox->place = (struct place)PLACE_CLOSED;
    sandbox->layer = -1;
    if (log)
        sandbox->log = *log;
    rc = take_config(&own, config, err);
    if (rc == 0) {
        sandbox->cancel_fd = own.cancel_fd;
        sandbox->stage_timeout = own.stage_timeout;
        rc = build(sandbox, &own, err);
    }
    if (rc) {
        sandbox->info.keep = false;
        husk_sandbox_destroy(sandbox);
        return rc;
    }
    *out = sandbox;
    return 0;
}
