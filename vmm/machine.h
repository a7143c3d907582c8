/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine from creation to teardown. Knows everything below it, and nothing of command lines,
 * terminals or signals.
 *
 * Threads: one per vCPU, which runs the guest and serves its accesses to device registers, and
 * the I/O thread, which runs the loop and on it all devices' queues. The thread that creates a
 * machine takes no part in running it.
 */
#ifndef HUSK_VMM_MACHINE_H
#define HUSK_VMM_MACHINE_H

#include "arch/arch.h"
#include "core/bus.h"
#include "core/err.h"
#include "core/irq.h"
#include "core/kvm.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/timing.h"
#include "core/vcpu.h"
#include "devices/console/console.h"
#include "devices/disk/disk.h"
#include "devices/legacy/power.h"
#include "devices/virtio/mmio.h"
#include "vmm/config.h"
#include "vmm/husk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define MACHINE_VIRTIO_MAX 17

/* A virtio device with its transport and its place on the bus. */
struct machine_virtio {
    struct virtio_device *device;
    struct virtio_mmio transport;
    uint64_t window; /* guest-physical base of its registers */
};

struct board; /* the architecture's fixed devices; vmm/board.h */

struct machine {
    struct machine_config config; /* owned copy */
    struct log log;
    struct timing timing;

    struct kvm kvm;
    struct arch_host *host;
    struct vm vm;
    struct guest_memory memory;
    uint64_t memory_used;  /* bytes from address 0 that hold what the guest reads first */
    struct loop_source first_exit; /* eventfd: the guest runs; virtio can be wired */
    uint64_t memory_early; /* bytes from address 0 that have a memslot before the guest starts */
    struct boot_entry entry;
    struct bus pio;
    struct bus mmio;
    struct loop loop;
    struct console console;
    struct board *board;

    struct disk *disks[MACHINE_VIRTIO_MAX];
    struct machine_virtio virtio[MACHINE_VIRTIO_MAX]; /* in the order of their windows */
    unsigned virtio_count;
    struct virtio_device *virtio_console; /* one of the above, or NULL */
    struct loop_source resize;            /* eventfd: console_size has changed; fd -1: no console */
    _Atomic uint32_t console_size;        /* columns in the upper half, rows in the lower */

    struct vcpu_world world;
    struct vcpu vcpus[ARCH_VCPUS_MAX];
    unsigned vcpu_count; /* opened */

    bool started; /* the owner's */

    pthread_mutex_t memory_lock; /* guards memory_complete, and the making of late memslots */
    bool memory_complete;

    pthread_mutex_t lock; /* guards what follows */
    enum husk_end end;
    struct err failure;   /* HUSK_FAILURE: what happened */
    unsigned vcpus_running;
    int ended_fd; /* eventfd, readable once no vCPU runs any more */
};

/*
 * Builds a machine that is ready to start; `config` and `log` are copied. On success *machine is
 * the caller's, to be given to machine_destroy(). On error everything is undone.
 */
int machine_create(const struct machine_config *config, const struct log *log,
                   struct machine **machine, struct err *err);

/* Lets the guest run. Once in a machine's life; on error the machine has ended (HUSK_FAILURE). */
int machine_start(struct machine *machine, struct err *err);

/* Asks the machine to end; returns at once. Any thread. */
void machine_stop(struct machine *machine, enum husk_end end);

/* Tells a virtio console's guest the terminal's size. Any thread; returns at once. */
void machine_resize_console(struct machine *machine, uint16_t columns, uint16_t rows);

/* Waits for the end and returns why; *failure (may be NULL) is filled for HUSK_FAILURE. */
enum husk_end machine_wait(struct machine *machine, struct err *failure);

/* The sink that devices report power events to. */
struct power_sink machine_power_sink(struct machine *machine);

/* Stops the machine if it runs, and takes it apart in reverse order. NULL is harmless. */
void machine_destroy(struct machine *machine);

#endif
