/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where sandboxes are: a folder each, in one that belongs to the user.
 *
 *     BASE/.lock        held while folders are made or removed
 *     BASE/NAME/lock    held by the sandbox's process as long as it lives; the kernel lets go of it
 *     BASE/NAME/info    what lists show: fields, as in agent/frame.h
 *     BASE/NAME/vsock   the socket to its guest
 *
 * BASE is $XDG_RUNTIME_DIR/husk; without that /run/husk for root and /tmp/husk-UID for others. A
 * folder that nobody holds is removed by whoever makes or lists sandboxes next; one that is to be
 * kept only loses its sockets.
 */
#ifndef HUSK_SANDBOX_PLACE_H
#define HUSK_SANDBOX_PLACE_H

#include "husk.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define PLACE_NAME_MAX 32
#define PLACE_FOLDER_MAX 160

struct place {
    char name[PLACE_NAME_MAX + 1];
    char folder[PLACE_FOLDER_MAX];
    int lock; /* descriptor; -1: it is another process's */
};

#define PLACE_CLOSED {.lock = -1}

/* What is in `info`. */
struct place_info {
    int pid;
    int64_t started; /* CLOCK_REALTIME, seconds */
    bool ready;      /* commands can run */
    bool keep;
    bool dedicated;
    bool exited;
    int status;      /* -1: none */
    char command[256];
};

/* Makes one that is ours. `name` NULL: a name that is free. Errors: -EEXIST, -EINVAL (the name). */
int place_create(struct place *place, const char *name, struct husk_err *err);

/* Lets go of it; removes the folder, or with `keep` the sockets. Harmless on PLACE_CLOSED. */
void place_close(struct place *place, bool keep);

/* Somebody's. Errors: -ENOENT. */
int place_find(struct place *place, const char *name, struct husk_err *err);

/* Whether its process lives. */
bool place_is_held(const struct place *place);

int place_write_info(const struct place *place, const struct place_info *info,
                     struct husk_err *err);
int place_read_info(const struct place *place, struct place_info *info);

/* A path in the folder. Shorter than a socket's address may be. */
void place_path(const struct place *place, const char *leaf, char path[PLACE_FOLDER_MAX + 32]);

/*
 * Removes what dead processes have left, then calls `each` for all that there is. Errors: what the
 * folder gives.
 */
int place_each(void (*each)(void *context, const struct place *place), void *context,
               struct husk_err *err);

/* Removes one that has ended. Errors: -ENOENT, -EBUSY. */
int place_remove(const char *name, struct husk_err *err);

#endif
