/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/cache.h"

#include "sandbox/fail.h"
#include "sandbox/find.h"
#include "sandbox/run.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "root-"
#define SUFFIX ".img"
#define NEXT_SUFFIX ".new"
#define LOCK_SUFFIX ".lock"
#define KEPT 8
#define IN_USE_SECONDS 3600
#define LOOKED_MS 200

int cached_name(struct cached *cached, uint64_t digest, struct husk_err *err)
{
    char folder[PATH_MAX];
    int rc = find_cache(folder, err);

    cached->lock = -1;
    if (rc)
        return rc;
    snprintf(cached->path, sizeof cached->path, "%.3900s/" PREFIX "%016" PRIx64 SUFFIX, folder, digest);
    snprintf(cached->next, sizeof cached->next, "%s" NEXT_SUFFIX, cached->path);
    snprintf(cached->lock_path, sizeof cached->lock_path, "%s" LOCK_SUFFIX, cached->path);
    return 0;
}

bool cached_use(const struct cached *cached)
{
    if (access(cached->path, R_OK) != 0)
        return false;
    return utimensat(AT_FDCWD, cached->path, NULL, 0) == 0 || errno != ENOENT; /* evicted just now */
}

/* --- locks --- */

/* A lock's file goes with its image, so that what was opened may be another by the time it is locked. */
static bool is_current(int lock)
{
    struct stat status;

    return fstat(lock, &status) == 0 && status.st_nlink > 0;
}

/* A descriptor; -EWOULDBLOCK: somebody else has it. */
static int try_lock(const char *path)
{
    int lock, code;

    for (;;) {
        lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock < 0)
            return -errno;
        if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
            code = errno;
            close(lock);
            return code == EINTR ? -EWOULDBLOCK : -code;
        }
        if (is_current(lock))
            return lock;
        close(lock);
    }
}

static void tell_of_wait(const struct husk_log *log, const char *folder)
{
    char line[256];

    if (!log || log->level < HUSK_LOG_WARNING)
        return;
    snprintf(line, sizeof line, "waiting for another sandbox that packs %.120s", folder);
    log->line(log->context, HUSK_LOG_WARNING, line);
}

static int await_lock(struct cached *cached, const char *folder, const struct husk_log *log,
                      int cancel_fd, struct husk_err *err)
{
    bool said = false;

    while ((cached->lock = try_lock(cached->lock_path)) == -EWOULDBLOCK) {
        if (!said)
            tell_of_wait(log, folder);
        said = true;
        if (is_canceled(cancel_fd, LOOKED_MS))
            return fail(err, HUSK_ERR_INPUT, -ECANCELED, "given up while packing \"%s\"", folder);
    }
    if (cached->lock >= 0)
        return 0;
    return fail_sys(err, HUSK_ERR_HOST, cached->lock, "cannot lock \"%s\"", cached->lock_path);
}

/* --- what goes --- */

static time_t last_use(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? status.st_mtime : 0;
}

/* An image or what is half-made of it, with its lock, unless somebody is making or has just used it. */
static void discard(const char *path, size_t image_length, time_t used)
{
    char lock_path[PATH_MAX + 8];
    int lock;

    snprintf(lock_path, sizeof lock_path, "%.*s" LOCK_SUFFIX, (int)image_length, path);
    lock = try_lock(lock_path);
    if (lock < 0)
        return;
    if (last_use(path) == used) {
        unlink(path);
        unlink(lock_path);
    }
    close(lock);
}

/* The files whose names end so. */
static size_t find_all(const struct cached *cached, const char *suffix, glob_t *found)
{
    char pattern[PATH_MAX + 16];
    int folder_length = (int)(strrchr(cached->path, '/') - cached->path);

    *found = (glob_t){0};
    snprintf(pattern, sizeof pattern, "%.*s/" PREFIX "*%s", folder_length, cached->path, suffix);
    return glob(pattern, GLOB_NOSORT, NULL, found) == 0 ? found->gl_pathc : 0;
}

static void clear_half_made(const struct cached *cached)
{
    glob_t found;
    size_t count = find_all(cached, SUFFIX NEXT_SUFFIX, &found);

    for (size_t i = 0; i < count; i++)
        discard(found.gl_pathv[i], strlen(found.gl_pathv[i]) - strlen(NEXT_SUFFIX),
                last_use(found.gl_pathv[i]));
    globfree(&found);
}

struct image {
    const char *path;
    time_t used;
};

static int by_last_use(const void *left, const void *right)
{
    time_t a = ((const struct image *)left)->used, b = ((const struct image *)right)->used;

    return a < b ? 1 : a > b ? -1 : 0;
}

static void evict(const struct cached *cached)
{
    time_t now = time(NULL);
    glob_t found;
    size_t count = find_all(cached, SUFFIX, &found);
    struct image *images = calloc(count + 1, sizeof *images);

    for (size_t i = 0; i < count && images; i++)
        images[i] = (struct image){found.gl_pathv[i], last_use(found.gl_pathv[i])};
    if (images)
        qsort(images, count, sizeof *images, by_last_use);
    for (size_t i = KEPT; i < count && images; i++)
        if (now - images[i].used > IN_USE_SECONDS)
            discard(images[i].path, strlen(images[i].path), images[i].used);
    free(images);
    globfree(&found);
}

/* --- making one --- */

int cached_lock(struct cached *cached, const char *folder, const struct husk_log *log, int cancel_fd,
                struct husk_err *err)
{
    clear_half_made(cached);
    return await_lock(cached, folder, log, cancel_fd, err);
}

int cached_keep(const struct cached *cached, struct husk_err *err)
{
    if (rename(cached->next, cached->path) < 0)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make \"%s\"", cached->path);
    evict(cached);
    return 0;
}

void cached_unlock(struct cached *cached)
{
    if (cached->lock < 0)
        return;
    unlink(cached->next);
    if (access(cached->path, F_OK) != 0) /* it was not made, and a lock alone would be there for ever */
        unlink(cached->lock_path);
    close(cached->lock);
    cached->lock = -1;
}
