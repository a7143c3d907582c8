/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory that the guest sees, live, by virtio-fs: what serves it is virtiofsd, a process beside
 * this one, by vhost-user. Here that process is started and ended; files are its affair alone.
 *
 * Where the host allows it (CAP_SYS_ADMIN) virtiofsd gets a mount namespace of its own, in which the
 * directory is mounted once more, read-only if that is asked for: so the host's kernel enforces it,
 * whatever the guest, or a virtiofsd that it has taken over, tries. virtiofsd itself then makes this
 * its root and gives up what privilege it does not need.
 *
 * virtiofsd ends with its socket, and that ends with this process, however it ends. If it ends
 * first, the share is lost and the machine goes on.
 */
#ifndef HUSK_DEVICES_FS_SHARE_H
#define HUSK_DEVICES_FS_SHARE_H

#include "core/err.h"
#include "core/memory.h"
#include "devices/vhost_user/vhost_user.h"

#include <stdbool.h>

struct share;

struct share_options {
    const char *path;
    bool socket;          /* path is that of a vhost-user socket, on which virtiofsd listens; the
                             rest of this is its owner's affair then */
    bool read_only;
    bool one_file_system; /* not what is mounted below the directory */
    const char *program;  /* NULL: virtiofsd from where distributions have it */
};

/* Whether virtiofsd is there, and what it takes. Errors: as of share_start(), but for the path. */
int share_check(const struct share_options *options, struct err *err);

/*
 * Starts virtiofsd, or connects to it; it is not ready before share_await(). `memory` is shared, and
 * must outlive the share. Errors: -ENOENT, -ENOTDIR the path; -ENOENT no virtiofsd is installed;
 * -EPERM the host does not let us make the share read-only; or what spawning gives.
 */
int share_start(struct share **share, const struct share_options *options,
                const struct guest_memory *memory, struct err *err);

/* Waits until it answers. Errors: as vhost_user_greet(), with what virtiofsd itself has to say. */
int share_await(struct share *share, struct err *err);

/* Lives as long as the share. */
struct vhost_user *share_peer(struct share *share);

/* The peer is lost: ends virtiofsd, so that it touches nothing any more. Its last words, or "". */
const char *share_lose(struct share *share);

/* NULL is harmless. */
void share_close(struct share *share);

#endif
