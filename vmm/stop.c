/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a machine with its guest's consent: by the power button, and by force after a while. */
#include "vmm/board.h"
#include "vmm/machine.h"

#define NS_PER_MS UINT64_C(1000000)

static void grace_over(void *context)
{
    machine_stop(context, HUSK_REQUEST);
}

/* A guest that can hear of it has the grace, and is not paused any more. */
static bool begin_power_off(struct machine *machine)
{
    bool hears;

    pthread_mutex_lock(&machine->lock);
    hears = machine->vcpus_running > 0 && !machine->paused;
    machine->powering_off |= hears;
    pthread_mutex_unlock(&machine->lock);
    return hears;
}

/*
 * The timer is made when it is first wanted, for most machines never want it; and by the thread that
 * asks, which so does not wait for a loop that a slow disk holds up. The cut then comes late as well,
 * but who asks may ask for it at once.
 */
static bool give_grace(struct machine *machine, uint64_t until)
{
    struct timer *timer = &machine->grace;
    bool given;

    pthread_mutex_lock(&machine->lock);
    given = timer->source.fd >= 0 || timer_open(timer, &machine->loop, grace_over, machine, NULL) == 0;
    if (given)
        timer_arm(timer, until);
    pthread_mutex_unlock(&machine->lock);
    return given;
}

static bool press_power_button(const struct machine *machine)
{
    struct err err = {0};
    int rc = board_press_power_button(machine, &err);

    if (rc)
        log_line(&machine->log, LOG_LEVEL_WARNING, "%s; its power is cut", err.message);
    return rc == 0;
}

void machine_power_off(struct machine *machine, uint32_t grace_ms)
{
    if (grace_ms > 0 && begin_power_off(machine) &&
        give_grace(machine, timing_now() + grace_ms * NS_PER_MS) && press_power_button(machine))
        return;
    machine_stop(machine, HUSK_REQUEST);
}
