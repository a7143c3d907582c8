/* SPDX-License-Identifier: Apache-2.0 */
#include "core/vcpu.h"

#include "core/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Small and fixed: the thread calls device handlers and nothing deep. */
#define VCPU_STACK_SIZE ((size_t)256 << 10)

/* The kernel's sigset_t (_NSIG bits), which is shorter than libc's. */
#define KERNEL_SIGSET_SIZE 8

static int kick_signal(void)
{
    return SIGRTMIN;
}

/* Everything stays blocked inside KVM_RUN as well, but the kick. */
static int set_signal_mask(int fd)
{
    struct {
        struct kvm_signal_mask header;
        uint8_t bits[KERNEL_SIGSET_SIZE];
    } mask = {.header.len = KERNEL_SIGSET_SIZE};
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, kick_signal());
    memcpy(mask.bits, &blocked, sizeof mask.bits);
    return kvm_ioctl(fd, KVM_SET_SIGNAL_MASK, &mask);
}

int vcpu_open(struct vcpu *vcpu, const struct vm *vm, unsigned index,
              const struct vcpu_world *world, struct err *err)
{
    int rc;

    *vcpu = (struct vcpu){.fd = -1, .index = index, .world = world, .run = MAP_FAILED};
    rc = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, (void *)(uintptr_t)index);
    if (rc < 0)
        return err_sys(err, rc, "KVM cannot create vCPU %u", index);
    vcpu->fd = rc;
    vcpu->run_size = vm->kvm->run_size;
    vcpu->run =
        mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED)
        rc = err_sys(err, -errno, "cannot map the run area of vCPU %u", index);
    else if ((rc = set_signal_mask(vcpu->fd)) < 0)
        err_sys(err, rc, "KVM refuses the signal mask of vCPU %u", index);
    if (rc < 0)
        vcpu_close(vcpu);
    return rc < 0 ? rc : 0;
}

void vcpu_close(struct vcpu *vcpu)
{
    if (vcpu->fd < 0)
        return;
    if (vcpu->run != MAP_FAILED)
        munmap(vcpu->run, vcpu->run_size);
    close(vcpu->fd);
    vcpu->fd = -1;
}

static void count_exit(struct vcpu *vcpu, enum vcpu_exit exit)
{
    counter_add(&vcpu->exits[exit], 1);
}

/* rep ins and rep outs come as `count` items of `size` bytes, one device access each. */
static void port_io(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    count_exit(vcpu, VCPU_EXIT_PIO);
    timing_mark(vcpu->world->timing, TIMING_FIRST_ACCESS);
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        if (run->io.direction == KVM_EXIT_IO_OUT)
            bus_write(vcpu->world->pio, run->io.port, data, run->io.size);
        else
            bus_read(vcpu->world->pio, run->io.port, data, run->io.size);
    }
}

static void memory_io(struct vcpu *vcpu)
{
    const struct vcpu_world *world = vcpu->world;
    struct kvm_run *run = vcpu->run;
    uint64_t address = run->mmio.phys_addr;
    void *host = memory_at(world->memory, gpa(address), run->mmio.len);

    count_exit(vcpu, host ? VCPU_EXIT_MEMORY : VCPU_EXIT_MMIO);
    if (host) {
        world->complete_memory(world->context);
        if (run->mmio.is_write)
            memcpy(host, run->mmio.data, run->mmio.len);
        else
            memcpy(run->mmio.data, host, run->mmio.len);
        return;
    }
    timing_mark(world->timing, TIMING_FIRST_ACCESS);
    if (run->mmio.is_write)
        bus_write(world->mmio, address, run->mmio.data, run->mmio.len);
    else
        bus_read(world->mmio, address, run->mmio.data, run->mmio.len);
}

/* True when what failed is worth another try, because memory was missing until now. */
static bool retry_with_memory(struct vcpu *vcpu)
{
    if (!vcpu->may_retry)
        return false;
    vcpu->may_retry = false;
    count_exit(vcpu, VCPU_EXIT_MEMORY);
    vcpu->world->complete_memory(vcpu->world->context);
    return true;
}

static enum vcpu_end system_event(const struct kvm_run *run, uint64_t *code)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        return VCPU_POWER_OFF;
    case KVM_SYSTEM_EVENT_RESET:
        *code = run->system_event.ndata ? run->system_event.data[0] : 0;
        return VCPU_RESET;
    case KVM_SYSTEM_EVENT_CRASH:
        return VCPU_CRASHED;
    default:
        *code = run->system_event.type;
        return VCPU_UNEXPECTED;
    }
}

/* Serves one exit; true when the vCPU is to go on. */
static bool serve_exit(struct vcpu *vcpu, enum vcpu_end *end, uint64_t *code)
{
    struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        port_io(vcpu);
        return true;
    case KVM_EXIT_MMIO:
        memory_io(vcpu);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        count_exit(vcpu, VCPU_EXIT_OTHER);
        return true;
    case KVM_EXIT_SYSTEM_EVENT:
        *end = system_event(run, code);
        return false;
    case KVM_EXIT_SHUTDOWN:
        *end = VCPU_TRIPLE_FAULT;
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        if (retry_with_memory(vcpu))
            return true;
        *end = VCPU_INTERNAL_ERROR;
        *code = run->internal.suberror;
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        *end = VCPU_FAIL_ENTRY;
        *code = run->fail_entry.hardware_entry_failure_reason;
        return false;
    default:
        *end = VCPU_UNEXPECTED;
        *code = run->exit_reason;
        return false;
    }
}

static void take_back_kick(void)
{
    const struct timespec now = {0};
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, kick_signal());
    while (sigtimedwait(&kick, NULL, &now) >= 0)
        ;
}

/* Other vCPUs make no exit before the boot vCPU has started them. */
static void note_exit(struct vcpu *vcpu)
{
    if (vcpu->index != 0 || vcpu->has_exited)
        return;
    vcpu->has_exited = true;
    if (vcpu->world->first_exit)
        vcpu->world->first_exit(vcpu->world->context);
}

/* arm64 has no exit for an access to a device by an instruction that KVM does not decode. */
static enum vcpu_end failed_run(int failure, uint64_t *code)
{
    if (failure == ENOSYS) {
        *code = KVM_INTERNAL_ERROR_EMULATION;
        return VCPU_INTERNAL_ERROR;
    }
    *code = (uint64_t)failure;
    return VCPU_RUN_FAILED;
}

/*
 * Who kicks states his reason and then sets immediate_exit. So either his reason is there when run()
 * looks next, or he sets immediate_exit after it has been cleared here, and the vCPU comes out again;
 * his reason may have been served by then.
 */
static void be_kicked(struct vcpu *vcpu)
{
    count_exit(vcpu, VCPU_EXIT_SIGNAL);
    take_back_kick();
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* Runs the guest until the vCPU is stopped or cannot go on. */
static enum vcpu_end run(struct vcpu *vcpu, uint64_t *code)
{
    enum vcpu_end end = VCPU_STOPPED;

    vcpu->may_retry = vcpu->world->memory_deferred;
    timing_mark(vcpu->world->timing, TIMING_FIRST_RUN);
    while (!atomic_load_explicit(&vcpu->stop, memory_order_acquire)) {
        if (atomic_load_explicit(&vcpu->interrupt, memory_order_relaxed) &&
            atomic_exchange(&vcpu->interrupt, false)) {
            vcpu->world->interrupted(vcpu->world->context);
        } else if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            note_exit(vcpu);
            if (!serve_exit(vcpu, &end, code))
                return end;
        } else if (errno == EINTR || errno == EAGAIN) {
            be_kicked(vcpu);
        } else {
            int failure = errno;

            if (retry_with_memory(vcpu))
                continue;
            return failed_run(failure, code);
        }
    }
    return VCPU_STOPPED;
}

static void *thread_main(void *argument)
{
    struct vcpu *vcpu = argument;
    uint64_t code = 0;
    enum vcpu_end end;
    char name[16];

    snprintf(name, sizeof name, "vcpu%u", vcpu->index);
    pthread_setname_np(pthread_self(), name);
    end = run(vcpu, &code);
    vcpu->world->ended(vcpu->world->context, vcpu->index, end, code);
    return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct err *err)
{
    int rc = thread_start(&vcpu->thread, VCPU_STACK_SIZE, thread_main, vcpu);

    if (rc)
        return err_sys(err, rc, "cannot start the thread of vCPU %u", vcpu->index);
    vcpu->started = true;
    return 0;
}

static void leave_guest(struct vcpu *vcpu)
{
    if (!vcpu->started)
        return;
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vcpu->thread, kick_signal());
}

void vcpu_kick(struct vcpu *vcpu)
{
    atomic_store_explicit(&vcpu->stop, true, memory_order_release);
    leave_guest(vcpu);
}

void vcpu_interrupt(struct vcpu *vcpu)
{
    atomic_store(&vcpu->interrupt, true);
    leave_guest(vcpu);
}

void vcpu_join(struct vcpu *vcpu)
{
    if (!vcpu->started)
        return;
    pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}
