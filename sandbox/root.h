/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's file systems, as devices of its machine and as the agent is told of them. */
#ifndef HUSK_SANDBOX_ROOT_H
#define HUSK_SANDBOX_ROOT_H

#include "agent/frame.h"
#include "husk.h"
#include "sandbox/modules.h"

#include <limits.h>
#include <stdbool.h>

struct root {
    struct husk_share shares[HUSK_SHARES_MAX]; /* the root first, if it is shared, then binds */
    char tags[HUSK_SHARES_MAX][16];
    const char *targets[HUSK_SHARES_MAX]; /* of binds, in the guest; the caller's strings */
    unsigned share_count;
    struct husk_disk disks[2];
    unsigned disk_count;
    char image[PATH_MAX];   /* of the root, if it is one */
    const char *image_type; /* NULL: the root is shared */
    int scratch;            /* descriptor of the disk that is written; -1: none */
    bool scratch_stays;     /* it is a file of the caller's, locked by the descriptor */
    char scratch_path[32];
};

#define ROOT_NONE {.scratch = -1}

/* Opens, packs and makes what `config` asks for; `root` stays until the machine is created. */
int root_prepare(struct root *root, const struct husk_sandbox_config *config,
                 const struct husk_log *log, struct husk_err *err);
void root_release(struct root *root);

/* The descriptor that keeps the layer's file locked, now the caller's; -1: there is none. */
int root_take_layer(struct root *root);

/* What the guest's kernel needs for it. */
int root_add_modules(const struct root *root, struct modules *modules, struct husk_err *err);

/* The machine's devices; the config borrows from `root`. */
void root_add_devices(const struct root *root, struct husk_config *config);

/* The agent's part. */
void root_describe(const struct root *root, struct fields *fields);

#endif
