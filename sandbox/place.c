/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/place.h"

#include "agent/frame.h"
#include "sandbox/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFO_MAX 4096

/* --- the folder of all --- */

struct base {
    char path[PLACE_FOLDER_MAX - PLACE_NAME_MAX - 2];
    int lock; /* while it is ours */
};

static int choose_base(char *path, size_t size, struct husk_err *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length;

    if (runtime && runtime[0] == '/')
        length = snprintf(path, size, "%s/husk", runtime);
    else if (geteuid() == 0)
        length = snprintf(path, size, "/run/husk");
    else
        length = snprintf(path, size, "/tmp/husk-%u", geteuid());
    /* "vsock_1024" must fit into the address of a socket, behind the name. */
    if ((size_t)length < size && length < 96 - PLACE_NAME_MAX - (int)sizeof "/vsock")
        return 0;
    return fail(err, HUSK_ERR_INPUT, -ENAMETOOLONG,
                "XDG_RUNTIME_DIR is \"%.200s\", too long for sockets; give it a shorter path",
                runtime ? runtime : "");
}

/* In /tmp somebody else may have been there first. */
static int check_owner(const char *path, struct husk_err *err)
{
    struct stat status;

    if (lstat(path, &status) < 0)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot use the folder %s", path);
    if (S_ISDIR(status.st_mode) && status.st_uid == geteuid() && !(status.st_mode & 022))
        return 0;
    return fail(err, HUSK_ERR_HOST, -EPERM, "%s is not a folder of this user alone; remove it, or set "
                "XDG_RUNTIME_DIR", path);
}

static int lock_base(struct base *base, struct husk_err *err)
{
    char lock[sizeof base->path + 8];
    int rc = choose_base(base->path, sizeof base->path, err);

    if (rc)
        return rc;
    if (mkdir(base->path, 0700) < 0 && errno != EEXIST)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make the folder %s", base->path);
    rc = check_owner(base->path, err);
    if (rc)
        return rc;
    snprintf(lock, sizeof lock, "%s/.lock", base->path);
    base->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (base->lock >= 0 && flock(base->lock, LOCK_EX) == 0)
        return 0;
    rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot lock %s", lock);
    if (base->lock >= 0)
        close(base->lock);
    return rc;
}

static void unlock_base(struct base *base)
{
    close(base->lock);
}

/* --- one folder --- */

void place_path(const struct place *place, const char *leaf, char path[PLACE_FOLDER_MAX + 32])
{
    snprintf(path, PLACE_FOLDER_MAX + 32, "%s/%.30s", place->folder, leaf);
}

static bool name_is_good(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return size > 0 && size <= PLACE_NAME_MAX && name[size] == '\0';
}

static void set_name(struct place *place, const struct base *base, const char *name)
{
    snprintf(place->name, sizeof place->name, "%.*s", PLACE_NAME_MAX, name);
    snprintf(place->folder, sizeof place->folder, "%s/%s", base->path, place->name);
}

/*
 * The lock's descriptor if no owner holds it; -EWOULDBLOCK if one does; or why not. Who looks shares it,
 * so that two who look at once do not take each other for owners; it is an owner's alone when it is
 * made (O_CREAT), for which who looks is waited for, a moment only.
 */
static int take_lock(const struct place *place, int flags)
{
    char path[PLACE_FOLDER_MAX + 32];
    int fd, rc;

    place_path(place, "lock", path);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, flags & O_CREAT ? LOCK_EX : LOCK_SH | LOCK_NB) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

bool place_is_held(const struct place *place)
{
    int lock = place->lock < 0 ? take_lock(place, 0) : -EWOULDBLOCK;

    if (lock >= 0)
        close(lock);
    return lock == -EWOULDBLOCK;
}

/* All files, or the sockets alone. There are no folders in it. */
static void clear(const struct place *place, bool sockets_only)
{
    DIR *folder = opendir(place->folder);
    struct dirent *entry;

    if (!folder)
        return;
    while ((entry = readdir(folder))) {
        struct stat status;

        if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            !S_ISDIR(status.st_mode) && (!sockets_only || S_ISSOCK(status.st_mode)))
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
}

static int discard(const struct place *place)
{
    clear(place, false);
    return rmdir(place->folder) < 0 && errno != ENOENT ? -errno : 0;
}

/* Whether take_lock() has found that nobody lives there; a lack of descriptors says nothing. */
static bool is_left(int lock)
{
    return lock >= 0 || lock == -ENOENT || lock == -ELOOP;
}

/* What a dead process has left. Under the base's lock. */
static void sweep_one(const struct place *place)
{
    struct place_info info = {0};
    int lock = take_lock(place, 0);

    if (!is_left(lock))
        return;
    if (place_read_info(place, &info) == 0 && info.keep)
        clear(place, true);
    else
        discard(place);
    if (lock >= 0)
        close(lock);
}

/* Calls `each` for every folder. Under the base's lock. */
static int walk(const struct base *base, void (*each)(void *context, const struct place *place),
                void *context, struct husk_err *err)
{
    DIR *folder = opendir(base->path);
    struct dirent *entry;

    if (!folder)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot read %s", base->path);
    while ((entry = readdir(folder))) {
        struct place place = PLACE_CLOSED;

        if (!name_is_good(entry->d_name))
            continue;
        set_name(&place, base, entry->d_name);
        each(context, &place);
    }
    closedir(folder);
    return 0;
}

static void sweep(void *context, const struct place *place)
{
    (void)context;
    sweep_one(place);
}

static void make_name(char name[PLACE_NAME_MAX + 1])
{
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
    unsigned char random[8];

    if (getrandom(random, sizeof random, 0) != sizeof random)
        memset(random, getpid() & 0xff, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        name[i] = letters[random[i] % (sizeof letters - 1)];
    name[sizeof random] = '\0';
}

static int make_folder(struct place *place, const struct base *base, const char *wanted,
                       struct husk_err *err)
{
    char made[PLACE_NAME_MAX + 1];
    int rc = -EEXIST;

    for (int tries = 0; tries < 8 && rc == -EEXIST; tries++) {
        if (!wanted)
            make_name(made);
        set_name(place, base, wanted ? wanted : made);
        rc = mkdir(place->folder, 0700) < 0 ? -errno : 0;
        if (wanted && rc == -EEXIST)
            return fail(err, HUSK_ERR_INPUT, rc, "there is a sandbox \"%s\" already; 'husk ps' shows "
                        "it, 'husk rm %s' removes it if it has ended", wanted, wanted);
    }
    return rc ? fail_sys(err, HUSK_ERR_HOST, rc, "cannot make the folder %s", place->folder) : 0;
}

int place_create(struct place *place, const char *name, struct husk_err *err)
{
    struct base base;
    int rc;

    *place = (struct place)PLACE_CLOSED;
    if (name && !name_is_good(name))
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "\"%.64s\" is no name for a sandbox; take up to %d "
                    "letters, digits, '-' and '_'", name, PLACE_NAME_MAX);
    rc = lock_base(&base, err);
    if (rc)
        return rc;
    walk(&base, sweep, NULL, NULL);
    rc = make_folder(place, &base, name, err);
    if (rc == 0) {
        place->lock = take_lock(place, O_CREAT);
        if (place->lock < 0) {
            rc = fail_sys(err, HUSK_ERR_HOST, place->lock, "cannot lock %s", place->folder);
            discard(place);
        }
    }
    unlock_base(&base);
    return rc;
}

/* The base is locked, so that nobody sees a folder that is half removed. */
void place_close(struct place *place, bool keep)
{
    struct base base;

    if (place->lock < 0)
        return;
    if (lock_base(&base, NULL) == 0) {
        if (keep)
            clear(place, true);
        else
            discard(place);
        close(place->lock);
        unlock_base(&base);
    } else {
        close(place->lock);
    }
    place->lock = -1;
}

int place_find(struct place *place, const char *name, struct husk_err *err)
{
    struct base base;
    struct stat status;
    int rc;

    *place = (struct place)PLACE_CLOSED;
    rc = choose_base(base.path, sizeof base.path, err);
    if (rc)
        return rc;
    if (name_is_good(name)) {
        set_name(place, &base, name);
        if (stat(place->folder, &status) == 0)
            return 0;
    }
    return fail(err, HUSK_ERR_INPUT, -ENOENT, "there is no sandbox \"%.64s\"; 'husk ps' lists them",
                name);
}

struct visit {
    void (*each)(void *context, const struct place *place);
    void *context;
};

static void visit_one(void *context, const struct place *place)
{
    const struct visit *visit = context;

    if (access(place->folder, F_OK) == 0)
        visit->each(visit->context, place);
}

int place_each(void (*each)(void *context, const struct place *place), void *context,
               struct husk_err *err)
{
    struct visit visit = {each, context};
    struct base base;
    int rc = lock_base(&base, err);

    if (rc)
        return rc;
    rc = walk(&base, sweep, NULL, err);
    unlock_base(&base); /* `each` may take its time, and call us */
    return rc ?: walk(&base, visit_one, &visit, err);
}

int place_remove(const char *name, struct husk_err *err)
{
    struct place place;
    struct base base;
    int lock, rc = place_find(&place, name, err);

    rc = rc ?: lock_base(&base, err);
    if (rc)
        return rc;
    lock = take_lock(&place, 0);
    if (lock == -EWOULDBLOCK)
        rc = fail(err, HUSK_ERR_INPUT, -EBUSY, "the sandbox \"%s\" runs; 'husk stop %s' ends it", name,
                  name);
    else if (!is_left(lock))
        rc = fail_sys(err, HUSK_ERR_HOST, lock, "cannot lock %s", place.folder);
    else if ((rc = discard(&place)) < 0)
        rc = fail_sys(err, HUSK_ERR_HOST, rc, "cannot remove %s", place.folder);
    if (lock >= 0)
        close(lock);
    unlock_base(&base);
    return rc;
}

/* --- info --- */

int place_write_info(const struct place *place, const struct place_info *info, struct husk_err *err)
{
    char path[PLACE_FOLDER_MAX + 32], next[PLACE_FOLDER_MAX + 32];
    struct fields fields = {0};
    int fd, rc = 0;

    fields_add_number(&fields, "pid", (uint64_t)info->pid);
    fields_add_number(&fields, "started", (uint64_t)info->started);
    fields_add_number(&fields, "ready", info->ready);
    fields_add_number(&fields, "keep", info->keep);
    fields_add_number(&fields, "dedicated", info->dedicated);
    fields_add_number(&fields, "exited", info->exited);
    if (info->status >= 0)
        fields_add_number(&fields, "status", (uint64_t)info->status);
    fields_add(&fields, "command", info->command);
    place_path(place, "info", path);
    place_path(place, "info.next", next);
    fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        errno = ENOSPC; /* unless a call says otherwise: it was written in part */
    if (fd < 0 || fields.failed || write(fd, fields.bytes, fields.size) != (ssize_t)fields.size ||
        rename(next, path) < 0)
        rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    fields_release(&fields);
    return rc;
}

static uint64_t number(const char *bytes, size_t size, const char *key, uint64_t otherwise)
{
    uint64_t value;

    return field_number(bytes, size, key, INT64_MAX, &value) ? value : otherwise;
}

int place_read_info(const struct place *place, struct place_info *info)
{
    char path[PLACE_FOLDER_MAX + 32], bytes[INFO_MAX];
    const char *command;
    ssize_t size;
    int fd;

    place_path(place, "info", path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size = read(fd, bytes, sizeof bytes);
    close(fd);
    if (size <= 0 || bytes[size - 1] != '\0')
        return -EPROTO;
    *info = (struct place_info){
        .pid = (int)number(bytes, (size_t)size, "pid", 0),
        .started = (int64_t)number(bytes, (size_t)size, "started", 0),
        .ready = number(bytes, (size_t)size, "ready", 0),
        .keep = number(bytes, (size_t)size, "keep", 0),
        .dedicated = number(bytes, (size_t)size, "dedicated", 0),
        .exited = number(bytes, (size_t)size, "exited", 0),
        .status = (int)number(bytes, (size_t)size, "status", UINT64_MAX),
    };
    command = field(bytes, (size_t)size, "command");
    snprintf(info->command, sizeof info->command, "%s", command ? command : "");
    return 0;
}
