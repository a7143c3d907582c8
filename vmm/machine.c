/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Construction, life and teardown of a machine, each as one list that reads from top to bottom.
 *
 * The order of construction is the fastest that KVM allows. A memslot that comes after the
 * interrupt controllers waits for milliseconds, one that comes before does not; on hosts that
 * shadow page tables a memslot costs time in proportion to its size; and each ioeventfd waits for
 * all users of the bus. So the memory that the guest reads first gets its memslot here, the rest
 * when the guest first touches it, and virtio devices are wired while the guest already runs: the
 * time to the first instruction depends neither on the size of the guest nor on its devices.
 */
#include "vmm/machine.h"

#include "vmm/board.h"
#include "vmm/virtio_bus.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"

/* The least that gets its memslot before the guest starts. */
#define EARLY_MEMORY (16ull << 20)
#define MEMSLOT_ALIGNMENT (2ull << 20)

#define DESCRIPTION_SIZE 2048

static void complete_memory(void *context);
static void wire(struct loop_source *source, uint32_t events);
static void first_exit(void *context);
static void rest(void *context);
static void vcpu_ended(void *context, unsigned index, enum vcpu_end end, uint64_t code);

/* --- construction --- */

static int open_host(struct machine *machine, struct err *err)
{
    const struct arch_options options = {
        .cpus = machine->config.cpus,
        .withheld = machine->config.cpu_withheld,
        .messages = machine->config.bus == HUSK_BUS_PCI,
    };
    int rc = kvm_open(&machine->kvm, KVM_DEVICE, err);
    unsigned most;

    if (rc)
        return rc;
    most = (unsigned)kvm_capability(&machine->kvm, KVM_CAP_MAX_VCPUS);
    if (options.cpus > most)
        return err_set(err, -ERANGE, "%u vCPUs are more than the %u that this host's KVM gives a "
                       "machine; lower --cpus", options.cpus, most);
    return arch_host_open(&machine->kvm, &options, &machine->host, err);
}

static int open_vm(struct machine *machine, struct err *err)
{
    return arch_vm_open(machine->host, &machine->vm, err);
}

static int create_memory(struct machine *machine, struct err *err)
{
    struct memory_range ranges[MEMORY_REGIONS_MAX];
    unsigned count = arch_memory_map(machine->config.memory, ranges);

    if (machine->config.share_count > 0) /* somebody else serves the guest's rings */
        return memory_create_shared(&machine->memory, ranges, count, err);
    return memory_create(&machine->memory, ranges, count, err);
}

static int open_loops(struct machine *machine, struct err *err)
{
    int rc = loop_open(&machine->loop, err);

    while (rc == 0 && machine->queue_loop_count < machine->config.iothreads) {
        rc = loop_open(&machine->queue_loops[machine->queue_loop_count], err);
        if (rc == 0)
            machine->queue_loop_count++;
    }
    return rc;
}

static int watch_first_exit(struct machine *machine, struct err *err)
{
    machine->first_exit.ready = wire;
    return loop_watch_event(&machine->loop, &machine->first_exit, "for the first exit", err);
}

static int open_console(struct machine *machine, struct err *err)
{
    const struct machine_config *config = &machine->config;
    bool off = config->console == HUSK_CONSOLE_OFF;
    int rc = console_open(&machine->console, &machine->loop, off ? -1 : config->console_in_fd,
                          off ? -1 : config->console_out_fd, err);

    if (rc == 0)
        console_tell_waits(&machine->console, &(struct console_waits){
            machine_begin_rest, machine_end_rest, machine});
    return rc;
}

static int create_devices(struct machine *machine, struct err *err)
{
    int rc = board_create(machine, &machine->board, err);

    return rc ?: virtio_bus_create(machine, err);
}

/* Gives what follows the early memory its memslots. */
static int add_rest_of_memory(struct machine *machine, struct err *err)
{
    uint64_t done = machine->memory_early;
    int rc = 0;

    for (unsigned i = 0; i < machine->memory.count && rc == 0; i++) {
        const struct memory_region *region = &machine->memory.regions[i];

        if (done < region->size)
            rc = vm_add_memslot(&machine->vm, gpa_add(region->base, done), region->size - done,
                                region->host + done, err);
        done = 0;
    }
    return rc;
}

/* Gives the start of memory, up to memory_used at least, its memslot; the rest can often wait. */
static int add_early_memory(struct machine *machine, struct err *err)
{
    const struct memory_region *first = &machine->memory.regions[0];
    uint64_t early = machine->memory_used;
    int rc;

    if (early < EARLY_MEMORY)
        early = EARLY_MEMORY;
    early = (early + MEMSLOT_ALIGNMENT - 1) & ~(MEMSLOT_ALIGNMENT - 1);
    machine->world.memory_deferred = early < memory_size(&machine->memory) &&
                                     arch_memory_deferred(&machine->vm, true) == 0;
    if (early > first->size || !machine->world.memory_deferred)
        early = first->size;
    machine->memory_early = early;
    rc = vm_add_memslot(&machine->vm, first->base, early, first->host, err);
    if (rc == 0 && !machine->world.memory_deferred)
        rc = add_rest_of_memory(machine, err);
    return rc;
}

static int connect_board(struct machine *machine, struct err *err)
{
    return board_connect(machine, machine->board, err);
}

static int create_vcpus(struct machine *machine, struct err *err)
{
    int rc = arch_vcpus_create(machine->host, &machine->vm, &machine->world, machine->vcpus, err);

    if (rc)
        return rc;
    machine->vcpu_count = machine->config.cpus;
    return arch_vcpu_enter(&machine->vcpus[0], &machine->memory, &machine->entry, err);
}

/* Every step, in the order of memory_early's rule above, and whose fault its failure is. */
static const struct {
    int (*step)(struct machine *machine, struct err *err);
    enum err_blame blame;
} construction[] = {
    {open_host, ERR_BLAME_HOST},
    {open_vm, ERR_BLAME_HOST},
    {create_memory, ERR_BLAME_HOST},
    {open_loops, ERR_BLAME_HOST},
    {watch_first_exit, ERR_BLAME_HOST},
    {open_console, ERR_BLAME_INPUT},
    {create_devices, ERR_BLAME_INPUT},
    {board_load, ERR_BLAME_INPUT},
    {add_early_memory, ERR_BLAME_HOST},
    {create_vcpus, ERR_BLAME_HOST},
    {connect_board, ERR_BLAME_HOST},
    {virtio_bus_await, ERR_BLAME_INPUT},
};

static int build(struct machine *machine, struct err *err)
{
    for (unsigned i = 0; i < sizeof construction / sizeof construction[0]; i++) {
        int rc = construction[i].step(machine, err);

        if (rc) {
            bool limit = rc == -EMFILE || rc == -ENFILE; /* of descriptors; any step opens some */

            err->blame = limit ? ERR_BLAME_HOST : construction[i].blame;
            return rc;
        }
    }
    return 0;
}

/* An object that machine_destroy() can take apart, however far its construction comes. */
static struct machine *allocate(const struct log *log)
{
    struct machine *machine = calloc(1, sizeof *machine);

    if (!machine)
        return NULL;
    machine->kvm.fd = machine->vm.fd = -1;
    machine->loop.epoll_fd = machine->loop.wake.fd = -1;
    machine->console = (struct console)CONSOLE_CLOSED;
    if (log)
        machine->log = *log;
    machine->world = (struct vcpu_world){
        .pio = &machine->pio,
        .mmio = &machine->mmio,
        .memory = &machine->memory,
        .timing = &machine->timing,
        .complete_memory = complete_memory,
        .first_exit = first_exit,
        .interrupted = rest,
        .ended = vcpu_ended,
        .context = machine,
    };
    machine->first_exit.fd = machine->resize.fd = -1;
    pthread_mutex_init(&machine->lock, NULL);
    pthread_mutex_init(&machine->memory_lock, NULL);
    pthread_mutex_init(&machine->pause_lock, NULL);
    pthread_cond_init(&machine->moved, NULL);
    machine->grace = (struct timer)TIMER_CLOSED;
    machine->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return machine;
}

int machine_create(struct machine_config *config, const struct log *log,
                   struct machine **out, struct err *err)
{
    struct machine *machine = allocate(log);
    int rc;

    if (!machine) {
        machine_config_free(config);
        return err_set(err, -ENOMEM, "out of memory");
    }
    machine->config = *config;
    *config = (struct machine_config){0};
    timing_mark(&machine->timing, TIMING_CREATE);
    if (machine->ended_fd < 0)
        rc = err_sys(err, -errno, "cannot make an eventfd");
    else
        rc = build(machine, err);
    if (rc) {
        machine_destroy(machine);
        return rc;
    }
    timing_mark(&machine->timing, TIMING_CREATED);
    *out = machine;
    return 0;
}

/* --- life --- */

/* Tells who waits, once no vCPU runs any more. Under the lock. */
static void announce_end(struct machine *machine)
{
    if (machine->vcpus_running > 0)
        return;
    timing_mark(&machine->timing, TIMING_STOPPED);
    eventfd_write(machine->ended_fd, 1);
}

/* The first end counts: from then on every vCPU leaves the guest, or none enters it. */
static void end_with(struct machine *machine, enum husk_end end, const struct err *failure)
{
    pthread_mutex_lock(&machine->lock);
    if (machine->end == HUSK_RUNNING) {
        machine->end = end;
        if (failure)
            machine->failure = *failure;
        for (unsigned i = 0; i < machine->vcpu_count; i++)
            vcpu_kick(&machine->vcpus[i]);
        pthread_cond_broadcast(&machine->moved);
        console_abort(&machine->console);
        announce_end(machine);
    }
    pthread_mutex_unlock(&machine->lock);
}

/*
 * The virtio devices are wired on the I/O thread, once the guest has made its first exit: done
 * earlier, it would hold up KVM_RUN on KVM's own locks. A kick or an interrupt that comes before
 * its connection is not lost: the kick lands in the device's registers, and KVM looks at an
 * eventfd when it is connected.
 */
static void wire(struct loop_source *source, uint32_t events)
{
    struct machine *machine =
        (struct machine *)((char *)source - offsetof(struct machine, first_exit));
    struct err err = {.blame = ERR_BLAME_HOST};

    (void)events;
    loop_watch(&machine->loop, source, 0);
    if (virtio_bus_connect(machine, &err))
        end_with(machine, HUSK_FAILURE, &err);
}

static void first_exit(void *context)
{
    struct machine *machine = context;

    eventfd_write(machine->first_exit.fd, 1);
}

/* The vCPU's part of a pause. */
static void rest(void *context)
{
    machine_begin_rest(context);
    machine_end_rest(context);
}

/*
 * The guest has touched memory that has no memslot yet. The vCPU that comes first makes all of
 * them; others wait here for the lock. If KVM refuses, the machine has ended.
 */
static void complete_memory(void *context)
{
    struct machine *machine = context;
    struct err err = {.blame = ERR_BLAME_HOST};

    pthread_mutex_lock(&machine->memory_lock);
    if (!machine->memory_complete) {
        if (add_rest_of_memory(machine, &err))
            end_with(machine, HUSK_FAILURE, &err);
        arch_memory_deferred(&machine->vm, false);
        machine->memory_complete = true;
    }
    pthread_mutex_unlock(&machine->memory_lock);
}

/* From here on calls for the loops wait for their threads. */
static void announce_loops(struct machine *machine)
{
    loop_announce(&machine->loop);
    for (unsigned i = 0; i < machine->queue_loop_count; i++)
        loop_announce(&machine->queue_loops[i]);
}

static int start_loops(struct machine *machine, struct err *err)
{
    int rc = loop_start(&machine->loop, err);

    for (unsigned i = 0; i < machine->queue_loop_count; i++) {
        int queue_rc = loop_start(&machine->queue_loops[i], rc ? NULL : err);

        rc = rc ?: queue_rc;
    }
    return rc;
}

/* The machine's own loop first, for it may still wait for the others. */
static void stop_loops(struct machine *machine)
{
    loop_stop(&machine->loop);
    for (unsigned i = 0; i < machine->queue_loop_count; i++)
        loop_stop(&machine->queue_loops[i]);
}

static int start_vcpus(struct machine *machine, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&machine->lock);
    if (machine->end != HUSK_RUNNING)
        rc = err_set(err, -ESHUTDOWN, "the machine was stopped before it was started");
    for (unsigned i = 0; i < machine->vcpu_count && rc == 0; i++) {
        rc = vcpu_start(&machine->vcpus[i], err);
        if (rc == 0)
            machine->vcpus_running++;
    }
    pthread_mutex_unlock(&machine->lock);
    return rc;
}

int machine_start(struct machine *machine, struct err *err)
{
    int rc, loop_rc;

    if (machine->started)
        return err_set(err, -EALREADY, "the machine was started before; create another one");
    machine->started = true;
    announce_loops(machine); /* the vCPUs first, for they take longer */
    rc = start_vcpus(machine, err);
    loop_rc = start_loops(machine, rc ? NULL : err);
    rc = rc ?: loop_rc;
    if (rc) /* a machine that runs in part, or not at all, has ended */
        end_with(machine, HUSK_FAILURE, err);
    return rc;
}

void machine_stop(struct machine *machine, enum husk_end end)
{
    end_with(machine, end, NULL);
}

void machine_fail(struct machine *machine, const struct err *err)
{
    end_with(machine, HUSK_FAILURE, err);
}

static void power_event(void *context, enum power_event event)
{
    static const enum husk_end ends[] = {
        [POWER_EVENT_OFF] = HUSK_POWER_OFF,
        [POWER_EVENT_RESET] = HUSK_RESET,
        [POWER_EVENT_PANIC] = HUSK_PANIC,
    };

    machine_stop(context, ends[event]);
}

struct power_sink machine_power_sink(struct machine *machine)
{
    return (struct power_sink){.event = power_event, .context = machine};
}

static enum husk_end explain(const struct machine *machine, enum vcpu_end end, uint64_t code,
                             unsigned index, struct err *err)
{
    switch (end) {
    case VCPU_STOPPED:
        return HUSK_REQUEST;
    case VCPU_POWER_OFF:
        return HUSK_POWER_OFF;
    case VCPU_RESET:
        return board_reset_is_panic(machine->board, code) ? HUSK_PANIC : HUSK_RESET;
    case VCPU_CRASHED:
        return HUSK_PANIC;
    case VCPU_TRIPLE_FAULT:
        return HUSK_TRIPLE_FAULT;
    case VCPU_INTERNAL_ERROR:
        err_set(err, -EIO,
                "this host's KVM cannot run an instruction of the guest (vCPU %u, suberror %llu); "
                "'husk doctor' tells whether it runs unmodified kernels",
                index, (unsigned long long)code);
        break;
    case VCPU_FAIL_ENTRY:
        err_set(err, -EIO,
                "the processor refuses the state of vCPU %u (reason 0x%llx); 'husk doctor' tells "
                "what this host can do",
                index, (unsigned long long)code);
        break;
    case VCPU_RUN_FAILED:
        err_sys(err, -(int)code, "KVM cannot run vCPU %u", index);
        break;
    case VCPU_UNEXPECTED:
        err_set(err, -EIO, "vCPU %u left the guest for a reason that Husk does not know (%llu)",
                index, (unsigned long long)code);
        break;
    }
    return HUSK_FAILURE;
}

static void describe(struct machine *machine, unsigned index)
{
    char text[DESCRIPTION_SIZE];

    arch_vcpu_describe(&machine->vcpus[index], &machine->memory, text, sizeof text);
    for (char *line = text, *end; line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        log_line(&machine->log, LOG_LEVEL_ERROR, "%s", line);
    }
}

static void vcpu_ended(void *context, unsigned index, enum vcpu_end end, uint64_t code)
{
    struct machine *machine = context;
    struct err err = {.blame = ERR_BLAME_SELF};
    enum husk_end reason = explain(machine, end, code, index, &err);

    if (reason == HUSK_FAILURE || reason == HUSK_TRIPLE_FAULT)
        describe(machine, index);
    end_with(machine, reason, &err);

    pthread_mutex_lock(&machine->lock);
    machine->vcpus_running--;
    announce_end(machine);
    pthread_mutex_unlock(&machine->lock);
}

void machine_resize_console(struct machine *machine, uint16_t columns, uint16_t rows)
{
    atomic_store(&machine->console_size, (uint32_t)columns << 16 | rows);
    if (machine->resize.fd >= 0)
        eventfd_write(machine->resize.fd, 1);
}

enum husk_end machine_wait(struct machine *machine, struct err *failure)
{
    struct pollfd ended = {.fd = machine->ended_fd, .events = POLLIN};
    enum husk_end end;

    while (poll(&ended, 1, -1) < 0)
        ;
    pthread_mutex_lock(&machine->lock);
    end = machine->end;
    if (failure)
        *failure = machine->failure;
    pthread_mutex_unlock(&machine->lock);
    return end;
}

/* --- teardown --- */

void machine_destroy(struct machine *machine)
{
    if (!machine)
        return;
    if (machine->started) {
        machine_stop(machine, HUSK_REQUEST);
        for (unsigned i = 0; i < machine->vcpu_count; i++)
            vcpu_join(&machine->vcpus[i]);
        stop_loops(machine);
    }
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        vcpu_close(&machine->vcpus[i]);
    virtio_bus_destroy(machine);
    board_destroy(machine->board);
    console_close(&machine->console);
    timer_close(&machine->grace);
    while (machine->queue_loop_count > 0)
        loop_close(&machine->queue_loops[--machine->queue_loop_count]);
    loop_close(&machine->loop);
    vm_close(&machine->vm);
    memory_destroy(&machine->memory);
    arch_host_close(machine->host);
    kvm_close(&machine->kvm);
    if (machine->first_exit.fd >= 0)
        close(machine->first_exit.fd);
    if (machine->ended_fd >= 0)
        close(machine->ended_fd);
    pthread_cond_destroy(&machine->moved);
    pthread_mutex_destroy(&machine->pause_lock);
    pthread_mutex_destroy(&machine->memory_lock);
    pthread_mutex_destroy(&machine->lock);
    machine_config_free(&machine->config);
    free(machine);
}
