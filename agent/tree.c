/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tree.h"

#include "agent/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_SIZE ((size_t)256 * 1024)

enum tree_kind { TREE_FILE = 1, TREE_FOLDER, TREE_LINK, TREE_END, TREE_FAILED };

/* On the wire. */
struct tree_entry {
    uint32_t kind;
    uint32_t mode;
    uint64_t size; /* of contents or target; FAILED: errno */
    int64_t seconds; /* of the last modification */
    uint32_t nanoseconds;
    uint32_t name_size;
};

struct walk {
    int stream;
    char *block; /* BLOCK_SIZE bytes */
    const struct tree_target *target;
    uint64_t limit;
    struct tree_fault *fault;
    unsigned depth;
    bool inside; /* an entry, or what belongs to it, is on the stream in part */
};

/* Notes where it happened; the innermost name is noted first, and folders come in front. */
static int blame(struct walk *walk, const char *name, int rc)
{
    char below[sizeof walk->fault->path];

    if (walk->fault->told) /* from the top on */
        return rc;
    memcpy(below, walk->fault->path, sizeof below);
    snprintf(walk->fault->path, sizeof walk->fault->path, "%.120s%s%.120s", name,
             below[0] ? "/" : "", below);
    return rc;
}

/* --- sending --- */

static int send_any(struct walk *walk, int folder, const char *name, int flags);

static int send_entry(struct walk *walk, const struct tree_entry *entry, const char *name)
{
    int rc;

    walk->inside = true;
    rc = frame_send_bytes(walk->stream, entry, sizeof *entry);
    return rc ?: frame_send_bytes(walk->stream, name, entry->name_size);
}

/* A file that shrinks meanwhile is filled with zeros, for its size was announced. */
static int send_contents(struct walk *walk, int file, uint64_t size)
{
    int rc = 0;

    while (size > 0 && rc == 0) {
        size_t wanted = size < BLOCK_SIZE ? (size_t)size : BLOCK_SIZE;
        ssize_t got = read(file, walk->block, wanted);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0) {
            memset(walk->block, 0, wanted);
            got = (ssize_t)wanted;
        }
        rc = frame_send_bytes(walk->stream, walk->block, (size_t)got);
        size -= (size_t)got;
    }
    return rc;
}

static int send_children(struct walk *walk, int fd)
{
    const struct tree_entry end = {.kind = TREE_END};
    DIR *folder = fdopendir(fd);
    struct dirent *child;
    int rc = 0;

    if (!folder) {
        rc = -errno;
        close(fd);
        return rc;
    }
    walk->depth++;
    while (rc == 0 && (errno = 0, child = readdir(folder)))
        if (strcmp(child->d_name, ".") != 0 && strcmp(child->d_name, "..") != 0)
            rc = send_any(walk, dirfd(folder), child->d_name, O_NOFOLLOW);
    if (rc == 0)
        rc = -errno;
    walk->depth--;
    closedir(folder);
    return rc ?: send_entry(walk, &end, "");
}

static int send_link(struct walk *walk, int folder, const char *name, struct tree_entry *entry)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(folder, name, target, sizeof target);
    int rc;

    if (size < 0)
        return -errno;
    entry->kind = TREE_LINK;
    entry->size = (uint64_t)size;
    rc = send_entry(walk, entry, name);
    return rc ?: frame_send_bytes(walk->stream, target, (size_t)size);
}

/* Up to a block, or as much as there is. */
static ssize_t read_block(struct walk *walk, int file)
{
    size_t size = 0;
    ssize_t got;

    while (size < BLOCK_SIZE && (got = read(file, walk->block + size, BLOCK_SIZE - size)) != 0) {
        if (got > 0)
            size += (size_t)got;
        else if (errno != EINTR)
            return -errno;
    }
    return (ssize_t)size;
}

/*
 * A small file is read before it is announced, for its size is not always told: files of /proc have
 * none, those of /sys a whole page.
 */
static int send_file(struct walk *walk, int file, const char *name, struct tree_entry *entry)
{
    ssize_t size;
    int rc;

    entry->kind = TREE_FILE;
    if (entry->size >= BLOCK_SIZE) {
        rc = send_entry(walk, entry, name);
        return rc ?: send_contents(walk, file, entry->size);
    }
    size = read_block(walk, file);
    if (size < 0)
        return (int)size;
    if (size == (ssize_t)BLOCK_SIZE) /* it grows, or its size is not told */
        return -EFBIG;
    entry->size = (uint64_t)size;
    rc = send_entry(walk, entry, name);
    return rc ?: frame_send_bytes(walk->stream, walk->block, (size_t)size);
}

static int send_folder(struct walk *walk, int fd, const char *name, struct tree_entry *entry)
{
    int rc;

    entry->kind = TREE_FOLDER;
    entry->size = 0;
    rc = send_entry(walk, entry, name);
    if (rc) {
        close(fd);
        return rc;
    }
    walk->inside = false;
    return send_children(walk, fd);
}

/* Opened before it is announced, so that what cannot be read breaks nothing but itself. */
static int send_opened(struct walk *walk, int folder, const char *name, struct tree_entry *entry,
                       int flags)
{
    bool is_folder = S_ISDIR(entry->mode);
    /* Not to wait for the writer of a FIFO that was put in a file's place since it was looked at. */
    int fd = openat(folder, name,
                    O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags | (is_folder ? O_DIRECTORY : 0));
    int rc;

    if (fd < 0)
        return -errno;
    if (is_folder)
        return send_folder(walk, fd, name, entry);
    rc = send_file(walk, fd, name, entry);
    close(fd);
    return rc;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int send_any(struct walk *walk, int folder, const char *name, int flags)
{
    struct tree_entry entry = {0};
    struct stat status;
    int rc = 0;

    if (walk->depth > TREE_DEPTH_MAX)
        return blame(walk, name, -ELOOP);
    if (fstatat(folder, name, &status, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
        return blame(walk, name, -errno);
    entry = (struct tree_entry){
        .mode = status.st_mode,
        .size = (uint64_t)status.st_size,
        .seconds = status.st_mtim.tv_sec,
        .nanoseconds = (uint32_t)status.st_mtim.tv_nsec,
        .name_size = (uint32_t)strlen(name),
    };
    if (S_ISLNK(status.st_mode))
        rc = send_link(walk, folder, name, &entry);
    else if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))
        rc = send_opened(walk, folder, name, &entry, flags);
    else if (walk->depth == 0) /* who names it wants it; in a folder it is left out */
        rc = -EOPNOTSUPP;
    if (rc == 0)
        walk->inside = false;
    return rc ? blame(walk, name, rc) : 0;
}

/* Where an entry may stand, why there is none can stand too; elsewhere the stream just ends. */
static void send_fault(struct walk *walk, int rc)
{
    const struct tree_entry entry = {
        .kind = TREE_FAILED,
        .size = (uint64_t)-rc,
        .name_size = (uint32_t)strlen(walk->fault->path),
    };

    if (!walk->inside)
        send_entry(walk, &entry, walk->fault->path);
}

/* The top is sent from inside its folder, so that its name is one component. */
int tree_send(int stream, int folder, const char *name, struct tree_fault *fault)
{
    struct walk walk = {.stream = stream, .fault = fault, .block = malloc(BLOCK_SIZE)};
    const char *leaf = last_component(name);
    char above[PATH_MAX];
    int top, rc;

    *fault = (struct tree_fault){0};
    snprintf(above, sizeof above, "%.*s", (int)(leaf - name), name);
    top = openat(folder, above[0] ? above : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!walk.block)
        rc = -ENOMEM;
    else if (top < 0)
        rc = -errno;
    else
        rc = send_any(&walk, top, leaf[0] ? leaf : ".", 0);
    if (rc)
        send_fault(&walk, rc);
    if (top >= 0)
        close(top);
    free(walk.block);
    return rc;
}

/* --- receiving --- */

static int receive_any(struct walk *walk, int folder, const struct tree_entry *entry,
                       const char *given);

static int receive_entry(struct walk *walk, struct tree_entry *entry)
{
    return frame_receive_bytes(walk->stream, entry, sizeof *entry);
}

/* The sender tells why it ends. */
static int receive_fault(struct walk *walk, const struct tree_entry *entry)
{
    char path[sizeof walk->fault->path] = "";
    int rc;

    if (entry->name_size >= sizeof path || entry->size == 0 || entry->size > 4095)
        return -EPROTO;
    rc = frame_receive_bytes(walk->stream, path, entry->name_size);
    if (rc)
        return rc;
    path[entry->name_size] = '\0';
    memcpy(walk->fault->path, path, sizeof path);
    walk->fault->told = true;
    return -(int)entry->size;
}

/* One component that stays where it is put. */
static bool name_is_good(const char *name, size_t size)
{
    return size > 0 && strlen(name) == size && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int receive_name(struct walk *walk, const struct tree_entry *entry, const char *given,
                        char name[NAME_MAX + 1])
{
    int rc;

    if (entry->name_size > NAME_MAX)
        return -EPROTO;
    rc = frame_receive_bytes(walk->stream, name, entry->name_size);
    if (rc)
        return rc;
    name[entry->name_size] = '\0';
    if (given)
        return (size_t)snprintf(name, NAME_MAX + 1, "%s", given) <= NAME_MAX ? 0 : -ENAMETOOLONG;
    return name_is_good(name, entry->name_size) ? 0 : -EPROTO;
}

static int charge(struct walk *walk, uint64_t size)
{
    if (size > walk->limit)
        return -EFBIG;
    walk->limit -= size;
    return 0;
}

static int write_all(int file, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(file, bytes, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

static int receive_contents(struct walk *walk, int file, uint64_t size)
{
    int rc = 0;

    while (size > 0 && rc == 0) {
        size_t part = size < BLOCK_SIZE ? (size_t)size : BLOCK_SIZE;

        rc = frame_receive_bytes(walk->stream, walk->block, part);
        rc = rc ?: write_all(file, walk->block, part);
        size -= part;
    }
    return rc;
}

/* Owner first: changing it takes away set-user-id bits. */
static int set_attributes(const struct walk *walk, int fd, const struct tree_entry *entry)
{
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = entry->seconds, .tv_nsec = entry->nanoseconds % 1000000000},
    };

    if (walk->target->uid != (uid_t)-1 && fchown(fd, walk->target->uid, walk->target->gid) < 0)
        return -errno;
    if (fchmod(fd, entry->mode & walk->target->mode_mask) < 0 || futimens(fd, times) < 0)
        return -errno;
    return 0;
}

/* A device, pipe or socket is not replaced; nor, where it is named by who asks for the copy, a link. */
static int check_target(const struct walk *walk, int folder, const char *name)
{
    struct stat status;

    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISREG(status.st_mode) || (S_ISLNK(status.st_mode) && walk->depth > 0))
        return 0;
    return S_ISDIR(status.st_mode) ? -EISDIR : -EEXIST;
}

/* In the target's folder, into which others may copy at the same time. */
static int temporary_name(char name[32])
{
    uint64_t number;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -errno;
    snprintf(name, 32, ".husk-copy-%016" PRIx64, number);
    return 0;
}

/* Gives what is whole (0) its name, and what had that before is gone; what is not, is gone itself. */
static int replace(int folder, const char *temporary, const char *name, int rc)
{
    if (rc == 0 && renameat(folder, temporary, folder, name) < 0)
        rc = -errno;
    if (rc)
        unlinkat(folder, temporary, 0);
    return rc;
}

static int fill(struct walk *walk, int folder, const char *temporary, const struct tree_entry *entry)
{
    int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    rc = receive_contents(walk, fd, entry->size);
    rc = rc ?: set_attributes(walk, fd, entry);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int receive_file(struct walk *walk, int folder, const char *name,
                        const struct tree_entry *entry)
{
    char temporary[32];
    int rc = charge(walk, entry->size);

    rc = rc ?: check_target(walk, folder, name);
    rc = rc ?: temporary_name(temporary);
    return rc ?: replace(folder, temporary, name, fill(walk, folder, temporary, entry));
}

static int make_link(const struct walk *walk, int folder, const char *temporary, const char *target)
{
    if (symlinkat(target, folder, temporary) < 0)
        return -errno;
    if (walk->target->uid != (uid_t)-1 &&
        fchownat(folder, temporary, walk->target->uid, walk->target->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int receive_link(struct walk *walk, int folder, const char *name,
                        const struct tree_entry *entry)
{
    char target[PATH_MAX], temporary[32];
    int rc;

    if (entry->size == 0 || entry->size >= sizeof target)
        return -EPROTO;
    rc = frame_receive_bytes(walk->stream, target, (size_t)entry->size);
    target[entry->size] = '\0';
    rc = rc ?: check_target(walk, folder, name);
    rc = rc ?: temporary_name(temporary);
    return rc ?: replace(folder, temporary, name, make_link(walk, folder, temporary, target));
}

static int receive_children(struct walk *walk, int folder)
{
    struct tree_entry entry;
    int rc = 0;

    if (walk->depth == TREE_DEPTH_MAX)
        return -ELOOP;
    walk->depth++;
    while (rc == 0) {
        rc = receive_entry(walk, &entry);
        if (rc == 0 && entry.kind == TREE_END)
            break;
        rc = rc ?: receive_any(walk, folder, &entry, NULL);
    }
    walk->depth--;
    return rc;
}

static int receive_folder(struct walk *walk, int folder, const char *name,
                          const struct tree_entry *entry)
{
    bool is_new = mkdirat(folder, name, 0700) == 0;
    int fd, rc;

    if (!is_new && errno != EEXIST)
        return -errno;
    fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = receive_children(walk, fd);
    if (is_new) /* what is there already stays as it is */
        rc = rc ?: set_attributes(walk, fd, entry);
    close(fd);
    return rc;
}

static int receive_any(struct walk *walk, int folder, const struct tree_entry *entry,
                       const char *given)
{
    char name[NAME_MAX + 1] = "";
    int rc;

    if (entry->kind == TREE_FAILED)
        return receive_fault(walk, entry);
    rc = charge(walk, TREE_ENTRY_COST);
    rc = rc ?: receive_name(walk, entry, given, name);
    if (rc)
        return rc;
    if (entry->kind == TREE_FILE)
        rc = receive_file(walk, folder, name, entry);
    else if (entry->kind == TREE_LINK)
        rc = receive_link(walk, folder, name, entry);
    else if (entry->kind == TREE_FOLDER)
        rc = receive_folder(walk, folder, name, entry);
    else
        rc = -EPROTO;
    return rc ? blame(walk, name, rc) : 0;
}

int tree_receive(int stream, const struct tree_target *target, struct tree_fault *fault)
{
    struct walk walk = {.stream = stream, .fault = fault, .block = malloc(BLOCK_SIZE),
                        .target = target, .limit = target->limit};
    struct tree_entry entry;
    int rc;

    *fault = (struct tree_fault){0};
    if (!walk.block)
        return -ENOMEM;
    rc = receive_entry(&walk, &entry);
    if (rc == 0 && entry.kind == TREE_LINK)
        rc = -EPROTO; /* senders follow one at the top; here it would lead the next copy elsewhere */
    rc = rc ?: receive_any(&walk, target->folder, &entry, target->name);
    free(walk.block);
    return rc;
}
