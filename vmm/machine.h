/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine from creation to teardown. Knows everything below it, and nothing of command lines,
 * terminals or signals.
 *
 * Threads: one per vCPU, which runs the guest and serves its accesses to device registers; the
 * I/O thread, which runs the machine's loop and on it all devices; and, if asked for, iothreads,
 * each with a loop of its own, over which the queues of disks and networks are spread then. The
 * thread that creates a machine takes no part in running it.
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
#include "core/timer.h"
#include "core/timing.h"
#include "core/vcpu.h"
#include "devices/console/console.h"
#include "devices/disk/disk.h"
#include "devices/fs/share.h"
#include "devices/legacy/power.h"
#include "devices/net/net.h"
#include "devices/net/user_process.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/vsock/vsock.h"
#include "vmm/config.h"
#include "vmm/husk.h"
#include "vmm/wiring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define MACHINE_VIRTIO_MAX 43

/* A virtio device with its transport, one of two (vmm/transport.h). */
struct machine_virtio {
    struct virtio_device *device;
    union {
        struct virtio_mmio mmio;
        struct virtio_pci pci;
    };
    uint64_t window; /* mmio: guest-physical base of its registers */
};

struct board; /* the architecture's fixed devices; vmm/board.h */

struct machine {
    struct machine_config config; /* owned */
    struct log log;
    struct timing timing;

    struct kvm kvm;
    struct arch_host *host;
    struct vm vm;
    struct guest_memory memory;
    uint64_t memory_used;  /* bytes from the start of RAM that hold what the guest reads first */
    struct loop_source first_exit; /* eventfd: the guest runs; virtio can be wired */
    uint64_t memory_early; /* bytes from the start of RAM that have a memslot before the guest starts */
    struct boot_entry entry;
    struct bus pio;
    struct bus mmio;
    struct loop loop;
    struct loop queue_loops[HUSK_IOTHREADS_MAX];
    unsigned queue_loop_count; /* opened */
    struct console console;
    struct board *board;
    struct wiring wiring; /* of devices on PCI */

    struct disk *disks[HUSK_DISKS_MAX];
    struct virtio_device *disk_devices[HUSK_DISKS_MAX]; /* of those in `virtio` */
    struct net *nets[HUSK_NETS_MAX];
    struct net_user *net_users[HUSK_NETS_MAX]; /* of those in user mode */
    struct vsock *vsock;                       /* or NULL */
    struct share *shares[HUSK_SHARES_MAX];
    struct virtio_device *share_devices[HUSK_SHARES_MAX]; /* of those in `virtio` */
    struct machine_virtio virtio[MACHINE_VIRTIO_MAX]; /* in the order of their places */
    unsigned virtio_count;
    struct virtio_device *virtio_console; /* one of the above, or NULL */
    struct virtio_device *balloon;        /* one of them, or NULL */
    struct loop_source resize;            /* eventfd: console_size has changed; fd -1: no console */
    _Atomic uint32_t console_size;        /* columns in the upper half, rows in the lower */

    struct vcpu_world world;
    struct vcpu vcpus[ARCH_VCPUS_MAX];
    unsigned vcpu_count; /* opened */

    bool started; /* the owner's */

    pthread_mutex_t pause_lock; /* held while a pause or the end of one is made; before `lock` */
    struct timer grace;         /* the loop's: how long the guest has to power off; see stop.c */

    pthread_mutex_t memory_lock; /* guards memory_complete, and the making of late memslots */
    bool memory_complete;

    pthread_mutex_t lock; /* guards what follows */
    enum husk_end end;
    struct err failure;   /* HUSK_FAILURE: what happened */
    unsigned vcpus_running;
    unsigned vcpus_resting; /* of those: outside the guest, and waiting; see pause.c */
    bool paused;
    bool powering_off;      /* the guest has been given grace */
    pthread_cond_t moved;   /* any of these has changed */
    int ended_fd; /* eventfd, readable once no vCPU runs any more */
};

/*
 * Builds a machine that is ready to start. It takes over what `config` owns, on error too, and
 * leaves *config empty; `log` is copied. On success *machine is the caller's, to be given to
 * machine_destroy(). On error everything is undone.
 */
int machine_create(struct machine_config *config, const struct log *log,
                   struct machine **machine, struct err *err);

/* Lets the guest run. Once in a machine's life; on error the machine has ended (HUSK_FAILURE). */
int machine_start(struct machine *machine, struct err *err);

/* Says what the machine does: enum husk_state. Any thread. */
enum husk_state machine_state(struct machine *machine);

/*
 * Takes all vCPUs out of the guest, finishes what devices have in flight, and holds the loops; the
 * guest's memory does not change until machine_resume(). Both may be called again, to no effect.
 * Any thread but the machine's own. Errors: -EINVAL not started, -ESHUTDOWN it has ended.
 */
int machine_pause(struct machine *machine, struct err *err);
int machine_resume(struct machine *machine, struct err *err);

/* For vCPU threads, around what they wait for outside the guest; the second waits out a pause. */
void machine_begin_rest(void *machine);
void machine_end_rest(void *machine);

/*
 * Asks the guest to power off, and ends the machine after `grace_ms` ms, or at once if it is paused
 * or has no power button; the last call counts. Returns at once. Any thread.
 */
void machine_power_off(struct machine *machine, uint32_t grace_ms);

/* Asks the machine to end; returns at once. Any thread. */
void machine_stop(struct machine *machine, enum husk_end end);

/* Ends the machine as failed (HUSK_FAILURE). Any thread. */
void machine_fail(struct machine *machine, const struct err *err);

/* Tells a virtio console's guest the terminal's size. Any thread; returns at once. */
void machine_resize_console(struct machine *machine, uint16_t columns, uint16_t rows);

/* Waits for the end and returns why; *failure (may be NULL) is filled for HUSK_FAILURE. */
enum husk_end machine_wait(struct machine *machine, struct err *failure);

/* The sink that devices report power events to. */
struct power_sink machine_power_sink(struct machine *machine);

/* Stops the machine if it runs, and takes it apart in reverse order. NULL is harmless. */
void machine_destroy(struct machine *machine);

#endif
