/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine is to be, checked once and copied whole: what the rest of the VMM works from.
 * The public struct husk_config (husk.h) is read by config*.c only.
 */
#ifndef HUSK_VMM_CONFIG_H
#define HUSK_VMM_CONFIG_H

#include "core/err.h"
#include "devices/net/egress.h"
#include "devices/net/forward.h"
#include "vmm/husk.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_MEMORY_MIN (32ull << 20)
#define CONFIG_MEMORY_MAX (1ull << 40)
#define CONFIG_MEMORY_STEP 4096ull
#define CONFIG_MAC_SIZE 6u
#define CONFIG_SERIAL_MAX 20u /* bytes; VIRTIO_BLK_T_GET_ID in virtio 1.2, 5.2.6 */

struct machine_disk {
    const char *path;
    const char *serial; /* or NULL */
    bool read_only;
    enum husk_cache cache;
    enum husk_engine engine;
    unsigned queues;
    struct husk_rate rate;
};

struct machine_net {
    enum husk_net_kind kind;
    const char *name; /* or NULL */
    int fd;
    uint8_t mac[CONFIG_MAC_SIZE];
    unsigned queues;
    uint16_t mtu; /* 0: the network's */
    struct husk_rate receive;
    struct husk_rate send;
    struct net_forward forwards[HUSK_FORWARDS_MAX];
    unsigned forward_count;
    bool restricted;
    bool vhost;
    bool egress_denied;
    unsigned allow_count;
    const char *allows[HUSK_ALLOWS_MAX];
};

struct machine_share {
    const char *tag;
    const char *path;
    const char *program; /* or NULL */
    bool read_only;
    bool socket;
    bool one_file_system;
};

struct machine_vsock {
    const char *path; /* NULL: there is none */
    uint32_t cid;
};

_Static_assert(HUSK_FORWARDS_MAX == NET_FORWARDS_MAX, "what is promised is kept");
_Static_assert(HUSK_ALLOWS_MAX == NET_EGRESS_MAX, "what is promised is kept");

/* All strings are owned by it; optional ones are NULL when not given. */
struct machine_config {
    const char *kernel;
    const char *initrd;
    const char *append;
    const char *command_line;
    uint32_t cpus;
    uint32_t cpu_withheld; /* bits of arch_features() */
    uint32_t iothreads;
    uint64_t memory; /* bytes, a multiple of CONFIG_MEMORY_STEP */
    struct machine_disk disks[HUSK_DISKS_MAX];
    uint32_t disk_count;
    struct machine_net nets[HUSK_NETS_MAX];
    uint32_t net_count;
    struct machine_vsock vsock;
    bool balloon;
    struct machine_share shares[HUSK_SHARES_MAX];
    uint32_t share_count;
    enum husk_rings rings;
    enum husk_bus bus;
    enum husk_console console;
    int console_in_fd;
    int console_out_fd;
};

/*
 * Checks `public_config`, also against this host, and copies it to *config, to be given to
 * machine_config_free(). On error *config is empty. Errors: -EINVAL, -ERANGE (the message names
 * the key), -ENOMEM.
 */
int config_validate(const struct husk_config *public_config, struct machine_config *config,
                    struct err *err);

/* Harmless on an empty (zeroed) or freed one. */
void machine_config_free(struct machine_config *config);

#endif
