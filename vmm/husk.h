/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libhusk: microVMs on Linux KVM. The only public header.
 *
 *     struct husk_config config;
 *     struct husk_vm *vm;
 *     struct husk_err err;
 *     enum husk_end end;
 *
 *     husk_config_init(&config);
 *     config.kernel = "vmlinuz";
 *     if (husk_vm_create(&config, NULL, &vm, &err)) {
 *         fprintf(stderr, "%s\n", err.message);
 *         return;
 *     }
 *     if (husk_vm_start(vm, &err))
 *         fprintf(stderr, "%s\n", err.message);
 *     end = husk_vm_wait(vm, &err);
 *     husk_vm_destroy(vm);
 *
 * Functions that can fail return 0 or a negative errno and fill a struct husk_err, which may be
 * NULL. The library has no global state, installs no signal handlers, never exits the process and
 * writes to no descriptor that it was not given. Any number of machines can live in a process.
 *
 * Any thread may call anything, several at once, with three exceptions: a struct husk_config is its
 * owner's; husk_vm_start() is called once; and when husk_vm_destroy() is called, nobody else uses
 * the machine any more. A callback must not call a function of its own machine.
 *
 * Its threads block all signals, but KVM unblocks SIGRTMIN while a vCPU runs, which is how one is
 * stopped. So a SIGRTMIN that is sent to the whole process may be taken, and lost, by a vCPU. Helpers
 * are child processes: SIGCHLD must not be ignored, nor all children be waited for, while one starts.
 */
#ifndef HUSK_H
#define HUSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HUSK_API __attribute__((visibility("default")))

#define HUSK_CPUS_MAX 64
#define HUSK_DISKS_MAX 15
#define HUSK_DISK_QUEUES_MAX 16
#define HUSK_IOTHREADS_MAX 16
#define HUSK_NETS_MAX 8
#define HUSK_FORWARDS_MAX 64
#define HUSK_ALLOWS_MAX 64
#define HUSK_NET_QUEUES_MAX 8
#define HUSK_SHARES_MAX 16
#define HUSK_LOGS_MAX 8

/* --- errors and log lines --- */

/* Who has to act. */
enum husk_err_kind {
    HUSK_ERR_INPUT, /* what was asked for: an option, a configuration, an image */
    HUSK_ERR_HOST,  /* the host cannot: no KVM, no permission, no memory */
    HUSK_ERR_SELF,  /* Husk failed */
};

struct husk_err {
    int code; /* negative errno */
    enum husk_err_kind kind;
    char message[512]; /* one line: what, where, what to do */
};

enum husk_log_level {
    HUSK_LOG_ERROR,
    HUSK_LOG_WARNING,
    HUSK_LOG_INFO,
    HUSK_LOG_DEBUG,
};

struct husk_log {
    /* Any thread of the machine calls it, several at once; it must not call back. */
    void (*line)(void *context, enum husk_log_level level, const char *line);
    void *context;
    enum husk_log_level level; /* lines above it are not made */
};

/* "0.1.0" */
HUSK_API const char *husk_version(void);

/* --- configuration --- */

enum husk_console {
    HUSK_CONSOLE_SERIAL, /* 16550 UART, ttyS0 */
    HUSK_CONSOLE_VIRTIO, /* virtio console, hvc0 */
    HUSK_CONSOLE_OFF,
};

/* How drivers and devices keep the queues between them. */
enum husk_rings {
    HUSK_RINGS_SPLIT,
    HUSK_RINGS_PACKED, /* offered; a guest that does not know them has split ones */
};

/* What carries the virtio devices. */
enum husk_bus {
    HUSK_BUS_MMIO, /* virtio-mmio: nothing to probe, the fastest boot */
    HUSK_BUS_PCI,  /* virtio-pci with MSI-X: interrupts without exits, a vector for each queue */
};

/* A limit with bursts; 0: none. Operations are frames of a network, requests of a disk. */
struct husk_rate {
    uint64_t bytes;       /* a second */
    uint64_t bytes_burst; /* at once, after idle time; 0: a tenth of a second's */
    uint64_t operations;  /* a second */
    uint64_t operations_burst;
};

/* Where the host keeps what a guest has written, and what a guest's flush does. */
enum husk_cache {
    HUSK_CACHE_WRITEBACK, /* in its page cache; a flush brings it to the disk */
    HUSK_CACHE_NONE,      /* on the disk (O_DIRECT); a flush empties the disk's own cache */
    HUSK_CACHE_UNSAFE,    /* in its page cache; a flush does nothing, so what the guest takes for
                             durable is lost if the host fails */
};

/* How requests reach the host. */
enum husk_engine {
    HUSK_ENGINE_AUTO,     /* by io_uring where there is one, otherwise SYNC */
    HUSK_ENGINE_IO_URING, /* many at a time */
    HUSK_ENGINE_SYNC,     /* one after the other; a slow disk delays other devices */
};

struct husk_disk {
    const char *path;
    const char *serial; /* up to 20 bytes; NULL: one made from the image's identity */
    bool read_only;
    enum husk_cache cache;
    enum husk_engine engine;
    uint32_t queues; /* 1 to HUSK_DISK_QUEUES_MAX; 0: one for each CPU that has an iothread */
    struct husk_rate rate; /* of all queues together; bytes are those read and written */
};

enum husk_net_kind {
    HUSK_NET_TAP,    /* a tap interface of the host */
    HUSK_NET_STREAM, /* a Unix stream socket, as passt and QEMU's "-netdev stream" speak */
    HUSK_NET_FD,     /* a descriptor of either */
    HUSK_NET_USER,   /* NAT, DHCP and DNS by a child process, husk-net-user; takes no privilege */
};

struct husk_net {
    enum husk_net_kind kind;
    /* The interface, or the socket's path. User mode: the program; if this is NULL, it is looked
     * for beside the running one, in ../libexec/husk of that, and in libhusk's libexec/husk. */
    const char *name;
    int fd;           /* duplicated by husk_vm_create(); a tap's is made non-blocking */
    const char *mac;  /* "02:00:00:00:00:01"; NULL: made from this host and the network's name */
    uint32_t queues;  /* of a tap, in pairs, 1 to HUSK_NET_QUEUES_MAX; 0: 1 */
    uint32_t mtu;     /* told to the guest; 0: the tap's, or 32000 in user mode */
    struct husk_rate receive; /* by the guest, all queues together */
    struct husk_rate send;
    /* User mode: ports of the host that lead to the guest, "tcp|udp:[HOSTADDRESS]:HOSTPORT:
     * [GUESTADDRESS]:GUESTPORT"; without them the addresses are 127.0.0.1 and 10.0.2.15. */
    const char *const *forwards;
    uint32_t forward_count; /* at most HUSK_FORWARDS_MAX */
    bool restricted;        /* user mode: the guest reaches nothing; only forwards lead in */
    bool vhost;             /* a tap's frames are moved by the host's kernel; no limits then */
    uint16_t reserved;      /* 0 */
    /* User mode: what the guest reaches, "[tcp:|udp:]TARGET[:PORT[-PORT]]", where TARGET is an IPv4
     * address, CIDR, NAME, *.NAME, "host" (this host's 127.0.0.1, by port) or "any"; with one or
     * more, nothing else. */
    const char *const *allows;
    uint32_t allow_count; /* at most HUSK_ALLOWS_MAX */
    bool egress_denied;   /* user mode: the guest reaches what `allows` says, though that be nothing */
    uint8_t reserved2[3]; /* 0 */
};

/*
 * Connections between programs of the host and of the guest (virtio-vsock). A program of the host
 * connects to the Unix socket `path`, writes "CONNECT <port>\n", and reads "OK <its port>\n" once the
 * guest has accepted; a guest that connects to port P of CID 2 reaches the Unix socket <path>_P.
 */
struct husk_vsock {
    const char *path; /* at most 96 bytes; made by husk_vm_create(), removed by husk_vm_destroy() */
    uint32_t cid;     /* the guest's, 3 or more; 0: 3 */
};

/*
 * A directory of the host that the guest sees live, by virtio-fs: "mount -t virtiofs TAG /mnt". It is
 * served by virtiofsd, a child process, which QEMU's of Debian 12 is for root alone.
 */
struct husk_share {
    const char *tag;     /* 1 to 36 bytes, unlike that of other shares */
    const char *path;    /* the directory; or a vhost-user socket */
    const char *program; /* virtiofsd; NULL: where distributions have it */
    bool read_only;      /* this host sees to it; takes root */
    bool socket;         /* path is a Unix socket on which a virtiofsd listens that somebody else has
                            started; what it does is his affair, so nothing else is set then */
    bool one_file_system; /* not what is mounted below the directory; takes root */
    uint8_t reserved[5];  /* 0 */
};

/*
 * What a machine is to be. Fields are added at the ends of this struct and of those of its arrays,
 * never in their padding, and 0 means what there was before. Strings and arrays that the caller
 * sets are borrowed until the call that uses them returns; what husk_config_parse_json() and the like
 * allocate is freed by husk_config_release().
 */
struct husk_config {
    /* Of the structs as the caller knows them; husk_config_init() sets them. A loader that makes an
     * array makes it of this library's elements, and says so here. */
    uint32_t size;      /* sizeof(struct husk_config) */
    uint32_t disk_size; /* sizeof(struct husk_disk) */
    uint32_t net_size;  /* sizeof(struct husk_net) */

    uint32_t disk_count;
    const struct husk_disk *disks; /* /dev/vda, /dev/vdb, ... */
    const struct husk_net *nets;   /* eth0, eth1, ... */
    uint32_t net_count;
    uint32_t vsock_size;            /* sizeof(struct husk_vsock) */
    const struct husk_vsock *vsock; /* or NULL */
    void *owned;                    /* private */

    const char *kernel;       /* bzImage or ELF, on aarch64 Image; must be set */
    const char *initrd;       /* or NULL */
    const char *append;       /* added to the default command line, overriding it key by key */
    const char *command_line; /* the whole command line, instead of default and append */
    const char *cpu_without;  /* features to keep from the guest, as "sve,pmu" (aarch64); or NULL */

    uint64_t memory;    /* bytes; default 256 MiB, at least 32 MiB */
    uint32_t cpus;      /* 1 to HUSK_CPUS_MAX; default 1 */
    uint32_t iothreads; /* threads for the queues of disks and networks; 0: one for everything */

    enum husk_console console;
    /* Duplicated by husk_vm_create(), so the caller may close them once that has returned. */
    int console_in_fd;  /* what the guest reads; -1: nothing (default) */
    int console_out_fd; /* where the guest's output goes; -1: nowhere (default) */

    enum husk_rings rings; /* of all devices */
    enum husk_bus bus; /* default HUSK_BUS_MMIO */
    uint32_t reserved2; /* 0 */

    /* The guest tells which of its memory is free, for the host to use (free page reporting), and
     * gives up more when it is asked to: husk_vm_set_balloon(). */
    bool balloon;
    uint8_t reserved3[7]; /* 0 */

    uint32_t share_size; /* sizeof(struct husk_share) */
    uint32_t share_count;
    const struct husk_share *shares; /* they make the guest's memory shared, which costs start time */
};

/* Defaults, in a struct of `size` bytes; for husk_config_init(). */
HUSK_API void husk_config_init_sizes(struct husk_config *config, size_t size, size_t disk_size,
                                     size_t net_size, size_t vsock_size, size_t share_size);

/*
 * Defaults. By the caller's own sizes a newer library writes no more than the caller has, and an
 * older one refuses what it does not know.
 */
static inline void husk_config_init(struct husk_config *config)
{
    husk_config_init_sizes(config, sizeof *config, sizeof(struct husk_disk),
                           sizeof(struct husk_net), sizeof(struct husk_vsock),
                           sizeof(struct husk_share));
}

/* Frees what loaders have allocated for it; the config has its defaults again. */
HUSK_API void husk_config_release(struct husk_config *config);

/*
 * Sets what the JSON object in text[0..size) mentions. `name` is for messages (a file's name).
 * Unknown keys, wrong types and values out of range are errors.
 */
HUSK_API int husk_config_parse_json(struct husk_config *config, const char *text, size_t size,
                                    const char *name, struct husk_err *err);

/*
 * The configuration as JSON that husk_config_parse_json() takes; free() it. NULL: no memory,
 * a string that is not UTF-8, or what husk_config_check() refuses of sizes, counts and arrays.
 */
HUSK_API char *husk_config_to_json(const struct husk_config *config);

/*
 * Appends a disk given as "PATH", and ",ro", ",serial=TEXT", ",cache=none", ",bps=SIZE" and so on; a
 * comma in a path is written twice.
 */
HUSK_API int husk_config_add_disk(struct husk_config *config, const char *option,
                                  struct husk_err *err);

/*
 * Appends a network given as "tap=NAME", "stream=PATH", "fd=N" or "user[=PROGRAM]", and
 * ",queues=N", ",mac=ADDRESS", ",mtu=N", ",rx_bps=SIZE", ",hostfwd=RULE", ",restrict", ",egress=deny",
 * ",allow=RULE" and so on; a comma in a path is written twice.
 */
HUSK_API int husk_config_add_net(struct husk_config *config, const char *option,
                                 struct husk_err *err);

/*
 * Appends a share given as "TAG=PATH[,ro][,one_file_system][,program=PATH]" or "TAG=PATH,socket"; a
 * comma in a path is written twice.
 */
HUSK_API int husk_config_add_share(struct husk_config *config, const char *option,
                                   struct husk_err *err);

/* Sets the vsock given as "PATH[,cid=N]"; a comma in a path is written twice. */
HUSK_API int husk_config_set_vsock(struct husk_config *config, const char *option,
                                   struct husk_err *err);

/* For husk_share_check(), with the caller's sizeof(struct husk_share). */
HUSK_API int husk_share_check_size(const struct husk_share *share, size_t size, struct husk_err *err);

/*
 * Says whether this host can serve a share, of whose path nothing is asked. Errors: -ENOENT there is no
 * virtiofsd; -EPERM it takes root.
 */
static inline int husk_share_check(const struct husk_share *share, struct husk_err *err)
{
    return husk_share_check_size(share, sizeof *share, err);
}

/* Says whether a machine can be made of it, as far as that shows without touching the host. */
HUSK_API int husk_config_check(const struct husk_config *config, struct husk_err *err);

/* "512M", "6G", "65536K", "1T" or plain bytes; binary units. */
HUSK_API int husk_parse_size(const char *text, uint64_t *bytes, struct husk_err *err);

/* --- machines --- */

/* Why a machine no longer runs. */
enum husk_end {
    HUSK_RUNNING,      /* it does */
    HUSK_POWER_OFF,    /* the guest turned itself off */
    HUSK_RESET,        /* the guest asked for a reset */
    HUSK_PANIC,        /* the guest's kernel panicked and said so (pvpanic) */
    HUSK_TRIPLE_FAULT, /* the guest's processor gave up */
    HUSK_REQUEST,      /* husk_vm_stop() */
    HUSK_FAILURE,      /* KVM or Husk cannot run the guest any further */
};

struct husk_vm;

/*
 * Builds a machine; nothing of `config` is kept. `log` is copied and may be NULL. On success *vm
 * is the caller's. On error nothing is left behind.
 */
HUSK_API int husk_vm_create(const struct husk_config *config, const struct husk_log *log,
                            struct husk_vm **vm, struct husk_err *err);

/*
 * Lets the guest run, on threads of the library; returns at once. Once in a machine's life. On
 * error the machine has ended, and husk_vm_wait() says HUSK_FAILURE; or HUSK_REQUEST, where it was
 * stopped before: -ESHUTDOWN.
 */
HUSK_API int husk_vm_start(struct husk_vm *vm, struct husk_err *err);

/* A descriptor that polls readable once the machine has ended. It stays the machine's. */
HUSK_API int husk_vm_event_fd(const struct husk_vm *vm);

/* Waits for the end, on any number of threads. `err` is filled for HUSK_FAILURE. */
HUSK_API enum husk_end husk_vm_wait(struct husk_vm *vm, struct husk_err *err);

/* What went wrong with writing the guest's output: 0, or the -errno after which it was dropped. */
HUSK_API int husk_vm_output_error(const struct husk_vm *vm);

/*
 * Ends the machine; returns at once. With a grace the guest's power button is pressed (ACPI), and its
 * power is cut after `grace_ms` ms if it still runs then; HUSK_POWER_OFF tells that it has turned
 * itself off in time. Without (0), and where the guest cannot hear (the machine is paused or not
 * started, the architecture has no button), its power is cut now. The last call counts.
 */
HUSK_API void husk_vm_stop(struct husk_vm *vm, uint32_t grace_ms);

/*
 * Stops time for the guest: when it returns, no processor of it runs, requests in flight are
 * finished, and its memory stays as it is until husk_vm_resume(). The guest's clock goes on, as seen
 * once it is resumed; its watchdogs are told. Input waits on the host. Pausing a machine that is
 * paused does nothing. Errors: -EINVAL not started; -ESHUTDOWN it has ended, or is given grace to.
 */
HUSK_API int husk_vm_pause(struct husk_vm *vm, struct husk_err *err);

/* The end of a pause; does nothing without one. Errors: as husk_vm_pause(). */
HUSK_API int husk_vm_resume(struct husk_vm *vm, struct husk_err *err);

enum husk_state {
    HUSK_STATE_CREATED, /* not started */
    HUSK_STATE_RUNNING,
    HUSK_STATE_PAUSED,
    HUSK_STATE_ENDED, /* husk_vm_wait() returns at once */
};

HUSK_API enum husk_state husk_vm_state(struct husk_vm *vm);

/*
 * Has another callback told of the machine's log, as husk_vm_create() does of the first. `log` is
 * copied. Errors: -ENOSPC there are HUSK_LOGS_MAX; -EINVAL it has no function.
 */
HUSK_API int husk_vm_add_log(struct husk_vm *vm, const struct husk_log *log, struct husk_err *err);

/*
 * Takes away the callback with this function and context; when it returns, no thread is in it. Does
 * nothing if there is none.
 */
HUSK_API void husk_vm_remove_log(struct husk_vm *vm, const struct husk_log *log);

/*
 * Looks at the size of the index-th disk's image again, and tells the guest if it has changed: after
 * "truncate -s +1G", for example. Any thread. Errors: -ENOENT no such disk; -EINVAL a size that no
 * disk can have, and then the guest's disk stays as it was.
 */
HUSK_API int husk_vm_refresh_disk(struct husk_vm *vm, uint32_t index, struct husk_err *err);

/* Tells a virtio console's guest the size of the terminal in characters. Any thread. */
HUSK_API void husk_vm_resize_console(struct husk_vm *vm, uint16_t columns, uint16_t rows);

/*
 * Asks the guest to give up `bytes` of its memory in all (whole pages of 4 KiB count), or, if that is
 * less than before, to take some back. It does so by and by, as far as it can: husk_vm_memory() tells
 * how far it is. A guest that is about to run out of memory takes back what it needs. Any thread, and
 * before the start too. Errors: -ENOENT the machine has no balloon; -ERANGE more than it has.
 */
HUSK_API int husk_vm_set_balloon(struct husk_vm *vm, uint64_t bytes, struct husk_err *err);

/* What a machine's memory costs the host; all in bytes. */
struct husk_memory {
    uint32_t size; /* sizeof(struct husk_memory) of the caller, who sets it */
    uint64_t given;          /* the guest's memory */
    uint64_t resident;       /* of it: in the host's memory now; 0 if the host does not tell */
    uint64_t balloon_target; /* what husk_vm_set_balloon() has asked for; 0 without a balloon */
    uint64_t ballooned;      /* what the guest says that it has given up for that */
    uint64_t discarded;      /* came back to the host since the start, in all; some is in use again */
};

/*
 * Any thread. The host is asked about each page, which takes some 10 ns for a small one that is
 * resident: a few ms for each GiB at most.
 */
HUSK_API void husk_vm_memory(const struct husk_vm *vm, struct husk_memory *memory);

/* When a machine reached the phases of its life: CLOCK_MONOTONIC ns, 0 while it has not. */
struct husk_timing {
    uint32_t size; /* sizeof(struct husk_timing) of the caller, who sets it */
    uint64_t create;     /* husk_vm_create() began */
    uint64_t created;    /* the machine is built */
    uint64_t first_run;  /* the first vCPU enters the guest: its first instruction */
    uint64_t first_access; /* the guest first touches a device */
    uint64_t userspace;  /* the guest wrote 3 to I/O port 0x5f0 */
    uint64_t ended;      /* no vCPU runs any more */
};

HUSK_API void husk_vm_timing(const struct husk_vm *vm, struct husk_timing *timing);

/*
 * What the machine has counted so far, as JSON: each vCPU's exits to this process by cause, and
 * each device's work by queue. Any thread; cheap enough to ask often. free() it. NULL: no memory.
 */
HUSK_API char *husk_vm_stats(const struct husk_vm *vm);

/* Stops the machine if it runs and frees everything. NULL is harmless. */
HUSK_API void husk_vm_destroy(struct husk_vm *vm);

/* --- sandboxes: machines for jobs --- */

/*
 * A sandbox is a machine with a stock kernel, in which an agent runs commands. Its root is only
 * read; what jobs write is in a layer above it, and gone with the machine.
 *
 *     struct husk_sandbox_config config;
 *     struct husk_command command;
 *     struct husk_exit exit;
 *
 *     husk_sandbox_config_init(&config);
 *     husk_command_init(&command);
 *     command.arguments = (const char *const[]){"make", "check", NULL};
 *     command.stdout_fd = 1;
 *     if (husk_sandbox_start(&config, NULL, &sandbox, &err) == 0) {
 *         if (husk_sandbox_exec(sandbox, &command, &process, &err) == 0) {
 *             husk_process_wait(process, -1, &exit, &err);
 *             husk_process_destroy(process);
 *         }
 *         husk_sandbox_destroy(sandbox);
 *     }
 *
 * Each has a folder of its own in $XDG_RUNTIME_DIR/husk (root without that: /run/husk), by which other
 * processes find it (husk ps, husk exec). A lock there dies with its process; what a process that was
 * killed has left is removed when the next sandbox starts, or when they are listed.
 */
struct husk_sandbox;
struct husk_process;

/* A folder of the host in the sandbox, live. */
struct husk_bind {
    const char *host;
    const char *guest; /* absolute */
    bool read_only;    /* enforced by the host */
    uint8_t reserved[7];
};

struct husk_sandbox_config {
    uint32_t size;      /* of the structs as the caller knows them; husk_sandbox_config_init() */
    uint32_t bind_size;
    const char *name;     /* up to 32 letters, digits, '-', '_'; NULL: one is made */
    const char *kernel;   /* as husk_config's; NULL: this host's own, in /boot */
    const char *modules;  /* the folder with the kernel's modules.dep; NULL: looked for beside the
                             kernel, as lib/modules/VERSION, and in /lib/modules */
    const char *agent;    /* husk-agent; NULL: looked for as husk_net's program is */
    const char *root;     /* a folder, or a raw image of a file system; NULL: this host's root */
    const char *hostname; /* NULL: the name */
    const struct husk_bind *binds;
    uint32_t bind_count;
    uint32_t cpus;      /* default 1 */
    uint64_t memory;    /* bytes; default 1 GiB, of which the host gives what is used */
    uint64_t disk_size; /* of the layer that is written, on a disk; 0: it is in the guest's memory */
    const char *layer;  /* a file that keeps that layer, for the next sandbox with this one; made if it
                           is not there, of `disk_size` (0: 4 GiB). Then stop, before destroying */
    const char *const *forwards; /* as husk_net's */
    const char *const *allows;   /* what the sandbox may reach, as husk_net's; else nothing */
    uint32_t forward_count;
    uint32_t allow_count;
    bool network;    /* default: none */
    bool keep;       /* destroying leaves the folder, until husk_sandbox_remove() */
    bool dedicated;  /* this process is for this sandbox, and where that is to end at once, from another
                        one, hears SIGTERM and is killed half a second later */
    uint8_t reserved;
    uint32_t stage_timeout; /* ms that each stage of the start may take; 0: 60000 */
    int cancel_fd; /* where it polls readable, the start is given up: -ECANCELED; -1 (default): none */
    uint32_t reserved2;
    const char *command; /* shown in lists; NULL: nothing */
};

/* Defaults, in structs of these sizes; for husk_sandbox_config_init(). */
HUSK_API void husk_sandbox_config_init_sizes(struct husk_sandbox_config *config, size_t size,
                                             size_t bind_size);

static inline void husk_sandbox_config_init(struct husk_sandbox_config *config)
{
    husk_sandbox_config_init_sizes(config, sizeof *config, sizeof(struct husk_bind));
}

/*
 * Makes a sandbox and waits until commands can run in it; nothing of `config` is kept. Each stage of
 * the start has a deadline, and an error names the stage. `log` is copied and may be NULL. On error
 * nothing is left behind. Errors: as husk_vm_create(); -ETIMEDOUT a deadline; -ENOENT the kernel,
 * its modules, the agent or the root are missing; -EEXIST there is one of that name.
 */
HUSK_API int husk_sandbox_start(const struct husk_sandbox_config *config,
                                const struct husk_log *log, struct husk_sandbox **sandbox,
                                struct husk_err *err);

/*
 * One that another process, or this one, has started: commands and files, but not its machine.
 * Destroying it lets go of it. Errors: -ENOENT there is none of that name, or it has ended.
 */
HUSK_API int husk_sandbox_open(const char *name, struct husk_sandbox **sandbox,
                               struct husk_err *err);

/* Valid as long as the sandbox. The folder may hold files of the caller's. */
HUSK_API const char *husk_sandbox_name(const struct husk_sandbox *sandbox);
HUSK_API const char *husk_sandbox_folder(const struct husk_sandbox *sandbox);

/* Its machine, to wait for, pause or count; NULL if it is another process's. The sandbox's own. */
HUSK_API struct husk_vm *husk_sandbox_vm(const struct husk_sandbox *sandbox);

/*
 * Has the guest write what is in its caches and power off, and waits for that; cuts its power after
 * `grace_ms` ms. Errors: -ETIMEDOUT another process's, which still runs.
 */
HUSK_API int husk_sandbox_stop(struct husk_sandbox *sandbox, uint32_t grace_ms,
                               struct husk_err *err);

/* What lists show of a sandbox with `keep` once it has ended: a shell's status. */
HUSK_API void husk_sandbox_set_status(struct husk_sandbox *sandbox, int status);

/* Ends it at once and frees everything, its processes excepted: destroy those before. */
HUSK_API void husk_sandbox_destroy(struct husk_sandbox *sandbox);

struct husk_command {
    uint32_t size;                  /* of the struct as the caller knows it; husk_command_init() */
    bool terminal;                  /* stdin and stdout are a terminal in the guest, stderr is stdout */
    uint8_t reserved[3];
    const char *const *arguments;   /* NULL behind the last; the first is looked for in PATH */
    const char *const *environment; /* "NAME=VALUE"s, NULL behind the last; added to PATH, HOME, USER */
    const char *folder;             /* where it starts; NULL: the user's home, or / */
    const char *user;               /* USER or USER:GROUP, names or numbers; NULL: root */
    /* Duplicated; -1: /dev/null. Need not be non-blocking. */
    int stdin_fd, stdout_fd, stderr_fd;
    uint16_t columns, rows;         /* of the terminal */
    uint64_t max_output;            /* bytes of both outputs, above which it is killed; 0: any */
};

HUSK_API void husk_command_init_size(struct husk_command *command, size_t size);

static inline void husk_command_init(struct husk_command *command)
{
    husk_command_init_size(command, sizeof *command);
}

/*
 * Runs a command, with a thread that moves its streams. Returns when it was asked for: how it went
 * husk_process_wait() tells. Errors: -ESHUTDOWN the sandbox has ended; -ETIMEDOUT its agent does
 * not answer.
 */
HUSK_API int husk_sandbox_exec(struct husk_sandbox *sandbox, const struct husk_command *command,
                               struct husk_process **process, struct husk_err *err);

struct husk_exit {
    uint32_t size;     /* sizeof(struct husk_exit) of the caller, who sets it */
    int32_t status;    /* as a shell has it: 128+signal; 127 not found, 126 not executable, 125 other */
    int32_t signal;    /* by which it ended; 0: none */
    char message[256]; /* why it did not run, or its output was cut or not written; else "" */
};

/* A descriptor that polls readable once husk_process_wait() returns at once. */
HUSK_API int husk_process_event_fd(const struct husk_process *process);

/*
 * Waits until the command has exited and its output is written. Negative `timeout_ms`: for ever.
 * Errors: -ETIMEDOUT; -ESHUTDOWN the sandbox ended before the command did.
 */
HUSK_API int husk_process_wait(struct husk_process *process, int timeout_ms,
                               struct husk_exit *result, struct husk_err *err);

/* To the command and what it has started, if it still runs. */
HUSK_API void husk_process_signal(struct husk_process *process, int signal);
HUSK_API void husk_process_resize(struct husk_process *process, uint16_t columns, uint16_t rows);

/* A command that still runs hears SIGHUP. NULL is harmless. */
HUSK_API void husk_process_destroy(struct husk_process *process);

/*
 * Copies a file, or a folder with the files, folders and links in it: into a folder that is there, or as
 * what the target says, which replaces a file once it is whole. What comes out of a sandbox belongs to the
 * caller and has no set-user-id bits; above `limit` bytes (0: any) it is an error. Errors: what the file
 * gives, here or there; -EOPNOTSUPP it is neither file nor folder; -EEXIST nor is what is there.
 */
HUSK_API int husk_sandbox_put(struct husk_sandbox *sandbox, const char *host, const char *guest,
                              struct husk_err *err);
HUSK_API int husk_sandbox_get(struct husk_sandbox *sandbox, const char *guest, const char *host,
                              uint64_t limit, struct husk_err *err);

enum husk_sandbox_state {
    HUSK_SANDBOX_STARTING,
    HUSK_SANDBOX_RUNNING,
    HUSK_SANDBOX_EXITED, /* kept */
    HUSK_SANDBOX_LOST,   /* kept; its process was killed */
};

/* Strings are valid during the call only. */
struct husk_sandbox_info {
    const char *name;
    const char *command; /* "" if none */
    const char *folder;
    enum husk_sandbox_state state;
    int status;       /* once it has exited; -1: it did not say */
    int64_t started;  /* CLOCK_REALTIME, seconds */
    uint64_t memory;  /* bytes that its process has of the host, guest memory included; 0: none */
    int pid;
};

/* Of this user. Removes what was left by processes that were killed. Returns 0 or -errno. */
HUSK_API int husk_sandbox_list(void (*report)(void *context, const struct husk_sandbox_info *info),
                               void *context, struct husk_err *err);

/* Removes the folder of one that has ended. Errors: -ENOENT; -EBUSY it runs. */
HUSK_API int husk_sandbox_remove(const char *name, struct husk_err *err);

/* --- the host --- */

enum husk_check_result {
    HUSK_CHECK_YES,
    HUSK_CHECK_NO,
    HUSK_CHECK_OPTIONAL, /* the host lacks it, and Husk works without */
};

/* One finding about the host. All strings are valid during the call only, and never NULL. */
struct husk_check {
    const char *group; /* checks of a group follow each other: "KVM" */
    const char *name;  /* "permission to open /dev/kvm" */
    enum husk_check_result result;
    const char *detail; /* what was found, or "" */
    const char *advice; /* what to do; "" if there is nothing to do */
};

enum husk_verdict {
    HUSK_VERDICT_LINUX,    /* this host runs Linux in Husk */
    HUSK_VERDICT_NO_LINUX, /* machines work, but KVM cannot run what Linux kernels execute */
    HUSK_VERDICT_NO_KVM,   /* no machine works */
};

/*
 * Finds out whether this host can run Husk, by asking KVM and by running small pieces of guest
 * code, each in a machine of its own and under a deadline; takes less than a second where all is
 * well. `report` is called for every check, in order, on the calling thread. What depends on a
 * check that failed is not checked.
 */
HUSK_API enum husk_verdict husk_doctor(void (*report)(void *context,
                                                      const struct husk_check *check),
                                       void *context);

#ifdef __cplusplus
}
#endif

#endif
