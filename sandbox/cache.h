/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of images that were packed of folders:
 *
 *     root-DIGEST.img        an image; its time is that of its last use
 *     root-DIGEST.img.new    half-made
 *     root-DIGEST.img.lock   locked by who makes it
 *
 * The last eight stay. One more takes the place of the one that was used longest ago, unless that was
 * within the hour: whoever found it may only be about to open it.
 */
#ifndef HUSK_SANDBOX_CACHE_H
#define HUSK_SANDBOX_CACHE_H

#include "husk.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct cached {
    char path[PATH_MAX];
    char next[PATH_MAX + 8];
    char lock_path[PATH_MAX + 8];
    int lock; /* negative: not ours */
};

/* Names the image with this digest. Errors: those of find_cache(). */
int cached_name(struct cached *cached, uint64_t digest, struct husk_err *err);

/* Whether it is there; if so, it counts as used now. */
bool cached_use(const struct cached *cached);

/*
 * Waits until nobody else makes it; that of `folder` is said once. What makers that were killed have
 * left of this or another image is removed. Errors: -ECANCELED `cancel_fd` polls readable.
 */
int cached_lock(struct cached *cached, const char *folder, const struct husk_log *log, int cancel_fd,
                struct husk_err *err);

/* What is at `next` is the image from now on, and those that have not been used for long go. */
int cached_keep(const struct cached *cached, struct husk_err *err);

/* Removes what is still at `next`. */
void cached_unlock(struct cached *cached);

#endif
