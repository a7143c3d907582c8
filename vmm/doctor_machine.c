/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/doctor.h"

#include "core/bus.h"
#include "core/irq.h"
#include "core/timing.h"
#include "core/vcpu.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A probe takes milliseconds; one that takes this long hangs, even on an emulated host. */
#define DEADLINE_MS 3000

#define NO_RESULT 0u
#define STILL_RUNNING VCPU_STOPPED

struct probe_machine {
    struct vm vm;
    struct guest_memory memory;
    struct bus pio;
    struct bus mmio;
    struct irq_line irq;
    int doorbell_fd; /* ioeventfd */
    struct timing timing;
    struct vcpu_world world;
    struct vcpu vcpu;

    /* Written by the vCPU's thread; read once it has been joined. */
    uint32_t result; /* DOCTOR_*, or NO_RESULT */
    uint32_t echo;
    enum vcpu_end end;
    uint64_t code;
    int over_fd; /* eventfd: there is a result, or the vCPU gave up */
};

/* --- the device --- */

static void read_register(void *device, uint64_t offset, void *data, unsigned size)
{
    const struct probe_machine *machine = device;

    if (offset == DOCTOR_ECHO)
        bus_set_value(data, size, ~machine->echo);
}

static void write_register(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct probe_machine *machine = device;
    uint32_t value = (uint32_t)bus_value(data, size);

    switch (offset) {
    case DOCTOR_RESULT:
        machine->result = value;
        eventfd_write(machine->over_fd, 1);
        break;
    case DOCTOR_ECHO:
        machine->echo = value;
        break;
    case DOCTOR_RAISE:
        irq_raise(&machine->irq);
        break;
    default:
        break;
    }
}

static const struct bus_ops device_ops = {.read = read_register, .write = write_register};

/* --- the machine --- */

static void nothing_to_complete(void *context)
{
    (void)context;
}

static void vcpu_ended(void *context, unsigned index, enum vcpu_end end, uint64_t code)
{
    struct probe_machine *machine = context;

    (void)index;
    machine->end = end;
    machine->code = code;
    eventfd_write(machine->over_fd, 1);
}

static int open_device(struct probe_machine *machine, struct err *err)
{
    int rc = irq_open(&machine->irq, arch_probe_machine.gsi, err);

    machine->over_fd = eventfd(0, EFD_CLOEXEC);
    machine->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == 0 && (machine->over_fd < 0 || machine->doorbell_fd < 0))
        rc = err_sys(err, -errno, "cannot make an eventfd");
    if (rc == 0 && arch_probe_machine.port)
        rc = bus_add(&machine->pio, arch_probe_machine.port, DOCTOR_REGISTERS_SIZE, &device_ops,
                     machine, err);
    return rc ?: bus_add(&machine->mmio, arch_probe_machine.registers, DOCTOR_REGISTERS_SIZE,
                         &device_ops, machine, err);
}

static int open_memory(struct probe_machine *machine, struct err *err)
{
    struct memory_range ranges[MEMORY_REGIONS_MAX];
    unsigned count = arch_memory_map(arch_probe_machine.memory, ranges);
    int rc = memory_create(&machine->memory, ranges, count, err);

    for (unsigned i = 0; i < machine->memory.count && rc == 0; i++) {
        const struct memory_region *region = &machine->memory.regions[i];

        rc = vm_add_memslot(&machine->vm, region->base, region->size, region->host, err);
    }
    return rc;
}

static int open_vm(struct probe_machine *machine, struct arch_host *host, struct err *err)
{
    int rc = arch_vm_open(host, &machine->vm, err);

    if (rc == 0)
        rc = open_memory(machine, err);
    return rc ?: arch_vcpus_create(host, &machine->vm, &machine->world, &machine->vcpu, err);
}

static int connect_device(struct probe_machine *machine, struct err *err)
{
    int rc = vm_connect_irq(&machine->vm, &machine->irq, err);

    return rc ?: vm_add_ioeventfd(&machine->vm, arch_probe_machine.doorbell, 0,
                                  machine->doorbell_fd, err);
}

static int load(struct probe_machine *machine, const struct arch_probe *probe, struct err *err)
{
    struct boot_entry entry;
    int rc = arch_probe_load(probe, &machine->memory, &entry, err);

    return rc ?: arch_vcpu_enter(&machine->vcpu, &machine->memory, &entry, err);
}

static void close_machine(struct probe_machine *machine)
{
    vcpu_close(&machine->vcpu);
    vm_close(&machine->vm);
    memory_destroy(&machine->memory);
    irq_close(&machine->irq);
    if (machine->doorbell_fd >= 0)
        close(machine->doorbell_fd);
    if (machine->over_fd >= 0)
        close(machine->over_fd);
}

static int run(struct probe_machine *machine, struct err *err)
{
    struct pollfd over = {.fd = machine->over_fd, .events = POLLIN};
    uint64_t deadline = timing_now() + DEADLINE_MS * 1000000ull;
    int rc = vcpu_start(&machine->vcpu, err);

    if (rc)
        return rc;
    while (poll(&over, 1, DEADLINE_MS) < 0 && timing_now() < deadline)
        ;
    vcpu_kick(&machine->vcpu);
    vcpu_join(&machine->vcpu);
    return 0;
}

/* --- what came of it --- */

static int explain_end(const struct probe_machine *machine, struct err *err)
{
    switch (machine->end) {
    case VCPU_INTERNAL_ERROR:
        return err_set(err, -EIO, "KVM cannot execute it (KVM_EXIT_INTERNAL_ERROR, suberror %llu)",
                       (unsigned long long)machine->code);
    case VCPU_FAIL_ENTRY:
        return err_set(err, -EIO, "the processor refuses the state (KVM_EXIT_FAIL_ENTRY, 0x%llx)",
                       (unsigned long long)machine->code);
    case VCPU_RUN_FAILED:
        return err_sys(err, -(int)machine->code, "KVM_RUN failed");
    case VCPU_TRIPLE_FAULT:
        return err_set(err, -EIO, "triple fault");
    case STILL_RUNNING:
        return err_set(err, -ETIMEDOUT, "no result within %d seconds", DEADLINE_MS / 1000);
    default:
        return err_set(err, -EIO, "KVM_RUN ended for a reason that Husk does not know (%llu)",
                       (unsigned long long)machine->code);
    }
}

static int explain_result(const struct probe_machine *machine, const struct arch_probe *probe,
                          struct err *err)
{
    eventfd_t rings;

    switch (machine->result) {
    case NO_RESULT:
        return explain_end(machine, err);
    case DOCTOR_PASSED:
        if (probe->rings && eventfd_read(machine->doorbell_fd, &rings) < 0)
            return err_set(err, -EIO, "the guest's write did not signal the eventfd");
        return 0;
    case DOCTOR_ABSENT:
        return err_set(err, -ENOTSUP, "not offered to guests, so not used by them");
    case DOCTOR_FAILED:
        return err_set(err, -EIO, "it had another effect than on a processor");
    default:
        return err_set(err, -EIO, "unexpected exception %u in the guest",
                       machine->result - DOCTOR_EXCEPTION);
    }
}

int doctor_run_probe(struct arch_host *host, const struct arch_probe *probe, struct err *err)
{
    struct probe_machine machine = {
        .vm = {.fd = -1},
        .irq = {.fd = -1},
        .doorbell_fd = -1,
        .over_fd = -1,
        .vcpu = {.fd = -1},
        .end = STILL_RUNNING,
    };
    int rc;

    machine.world = (struct vcpu_world){
        .pio = &machine.pio,
        .mmio = &machine.mmio,
        .memory = &machine.memory,
        .timing = &machine.timing,
        .complete_memory = nothing_to_complete,
        .ended = vcpu_ended,
        .context = &machine,
    };
    rc = open_device(&machine, err);
    if (rc == 0)
        rc = open_vm(&machine, host, err);
    if (rc == 0)
        rc = connect_device(&machine, err);
    if (rc == 0)
        rc = load(&machine, probe, err);
    if (rc == 0)
        rc = run(&machine, err);
    if (rc == 0)
        rc = explain_result(&machine, probe, err);
    close_machine(&machine);
    return rc;
}
