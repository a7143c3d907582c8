/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing a machine: first the vCPUs, then the devices, so that what the one waits for the other
 * still does.
 *
 * A vCPU rests outside the guest. One that waits for a slow reader of its output rests already, or a
 * pause would last for as long as that; it finds out when it goes on. A loop that is held serves
 * calls, so what is asked of a paused machine's devices is answered, but it takes nothing from the
 * host and gives nothing to the guest.
 */
#include "vmm/machine.h"

#include <errno.h>

enum husk_state machine_state(struct machine *machine)
{
    enum husk_state state = HUSK_STATE_RUNNING;

    pthread_mutex_lock(&machine->lock);
    if (machine->vcpus_running == 0)
        state = machine->end == HUSK_RUNNING ? HUSK_STATE_CREATED : HUSK_STATE_ENDED;
    else if (machine->paused)
        state = HUSK_STATE_PAUSED;
    pthread_mutex_unlock(&machine->lock);
    return state;
}

/* --- vCPUs --- */

void machine_begin_rest(void *context)
{
    struct machine *machine = context;

    pthread_mutex_lock(&machine->lock);
    machine->vcpus_resting++;
    pthread_cond_broadcast(&machine->moved);
    pthread_mutex_unlock(&machine->lock);
}

void machine_end_rest(void *context)
{
    struct machine *machine = context;

    pthread_mutex_lock(&machine->lock);
    while (machine->paused && machine->end == HUSK_RUNNING)
        pthread_cond_wait(&machine->moved, &machine->lock);
    machine->vcpus_resting--;
    pthread_mutex_unlock(&machine->lock);
}

/* Under the lock. */
static int check_running(const struct machine *machine, struct err *err)
{
    if (machine->end != HUSK_RUNNING)
        return err_set(err, -ESHUTDOWN, "the machine has ended");
    if (machine->powering_off)
        return err_set(err, -ESHUTDOWN, "the machine is being stopped");
    if (machine->vcpus_running == 0)
        return err_set(err, -EINVAL, "the machine has not been started; start it first");
    return 0;
}

static int rest_vcpus(struct machine *machine, struct err *err)
{
    int rc;

    pthread_mutex_lock(&machine->lock);
    rc = check_running(machine, err);
    if (rc == 0) {
        machine->paused = true;
        for (unsigned i = 0; i < machine->vcpu_count; i++)
            vcpu_interrupt(&machine->vcpus[i]);
        while (machine->end == HUSK_RUNNING && machine->vcpus_resting < machine->vcpus_running)
            pthread_cond_wait(&machine->moved, &machine->lock);
        rc = check_running(machine, err);
    }
    if (rc)
        machine->paused = false;
    pthread_mutex_unlock(&machine->lock);
    return rc;
}

static void move_vcpus(struct machine *machine)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        arch_vcpu_resume(&machine->vcpus[i]);
    pthread_mutex_lock(&machine->lock);
    machine->paused = false;
    pthread_cond_broadcast(&machine->moved);
    pthread_mutex_unlock(&machine->lock);
}

/* --- devices --- */

static void hold_loops(struct machine *machine, bool held)
{
    loop_hold(&machine->loop, held);
    for (unsigned i = 0; i < machine->queue_loop_count; i++)
        loop_hold(&machine->queue_loops[i], held);
}

static void suspend_devices(void *argument)
{
    struct machine *machine = argument;

    for (unsigned i = 0; i < machine->virtio_count; i++)
        virtio_device_suspend(machine->virtio[i].device);
}

static void resume_devices(void *argument)
{
    struct machine *machine = argument;

    for (unsigned i = 0; i < machine->virtio_count; i++)
        virtio_device_resume(machine->virtio[i].device);
}

/* --- both --- */

static bool is_paused(struct machine *machine)
{
    return machine_state(machine) == HUSK_STATE_PAUSED;
}

int machine_pause(struct machine *machine, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&machine->pause_lock);
    if (!is_paused(machine)) {
        rc = rest_vcpus(machine, err);
        if (rc == 0) {
            hold_loops(machine, true);
            loop_call(&machine->loop, suspend_devices, machine);
        }
    }
    pthread_mutex_unlock(&machine->pause_lock);
    return rc;
}

int machine_resume(struct machine *machine, struct err *err)
{
    int rc;

    pthread_mutex_lock(&machine->pause_lock);
    pthread_mutex_lock(&machine->lock);
    rc = check_running(machine, err);
    pthread_mutex_unlock(&machine->lock);
    if (rc == 0 && is_paused(machine)) {
        loop_call(&machine->loop, resume_devices, machine);
        hold_loops(machine, false);
        move_vcpus(machine);
    }
    pthread_mutex_unlock(&machine->pause_lock);
    return rc;
}
