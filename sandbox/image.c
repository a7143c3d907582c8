/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/image.h"

#include "sandbox/cache.h"
#include "sandbox/fail.h"
#include "sandbox/find.h"
#include "sandbox/run.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define SCRATCH_MIN (16 * MIB)
#define LAYER_DEFAULT (4096 * MIB)
#define SURVEY_CHECKED 1024u /* files between looks at whether it is given up */

/* --- what is in an image --- */

int image_type(const char *path, const char **type, struct husk_err *err)
{
    static const struct {
        const char *type;
        off_t offset;
        const char *magic;
        size_t size;
    } types[] = {
        {"squashfs", 0, "hsqs", 4},
        {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4},
        {"xfs", 0, "XFSB", 4},
        {"btrfs", 65600, "_BHRfS_M", 8},
        {"ext4", 1080, "\x53\xef", 2}, /* two bytes, which an image of another kind may have there */
    };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait */
    char magic[8];

    if (fd < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot open the root \"%s\"", path);
    *type = NULL;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && !*type; i++)
        if (pread(fd, magic, types[i].size, types[i].offset) == (ssize_t)types[i].size &&
            memcmp(magic, types[i].magic, types[i].size) == 0)
            *type = types[i].type;
    close(fd);
    if (*type)
        return 0;
    return fail(err, HUSK_ERR_INPUT, -EINVAL, "the root \"%s\" is neither a folder nor an image of ext4, "
                "squashfs, erofs, xfs or btrfs without partitions", path);
}

/* --- a folder, packed --- */

/* What a walk through the folder has found. */
struct survey {
    uint64_t digest; /* FNV-1a of all names, sizes and times */
    uint64_t bytes;
    uint64_t files;
};

static void digest(struct survey *survey, const void *bytes, size_t size)
{
    for (const unsigned char *at = bytes; size-- > 0; at++)
        survey->digest = (survey->digest ^ *at) * UINT64_C(0x100000001b3);
}

static void look(struct survey *survey, const FTSENT *entry)
{
    const struct stat *status = entry->fts_statp;

    digest(survey, entry->fts_path, entry->fts_pathlen);
    digest(survey, &status->st_mode, sizeof status->st_mode);
    digest(survey, &status->st_ino, sizeof status->st_ino);
    digest(survey, &status->st_ctim, sizeof status->st_ctim);
    if (S_ISREG(status->st_mode))
        survey->bytes += (uint64_t)status->st_blocks * 512;
    survey->files++;
}

/* mkfs.ext4 -d goes into what is mounted in a folder: /proc, /sys, other disks. */
static bool is_mounted_in(const FTSENT *entry, dev_t device)
{
    return entry->fts_info == FTS_D && entry->fts_statp->st_dev != device;
}

static int explain_survey(int rc, const char *folder, struct husk_err *err)
{
    if (rc == -ECANCELED)
        return fail(err, HUSK_ERR_INPUT, rc, "given up while reading \"%s\"", folder);
    if (rc == -EXDEV)
        return fail(err, HUSK_ERR_INPUT, rc, "the root \"%s\" has other file systems mounted in it and "
                    "cannot be packed; install virtiofsd and be root, or give another by --root", folder);
    if (rc == -EACCES)
        return fail(err, HUSK_ERR_INPUT, rc, "not all of the folder \"%s\" can be read; be root, or give "
                    "another root by --root", folder);
    return fail_sys(err, HUSK_ERR_INPUT, rc, "cannot read the folder \"%s\"", folder);
}

static int survey_folder(struct survey *found, const char *folder, int cancel_fd,
                         struct husk_err *err)
{
    char *folders[] = {(char *)folder, NULL};
    FTS *walk = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *entry;
    dev_t device = 0;
    int rc = walk ? 0 : -errno;

    *found = (struct survey){.digest = UINT64_C(0xcbf29ce484222325)};
    while (rc == 0 && (errno = 0, entry = fts_read(walk))) {
        if (entry->fts_level == FTS_ROOTLEVEL)
            device = entry->fts_statp->st_dev;
        if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            rc = -entry->fts_errno;
        else if (found->files % SURVEY_CHECKED == 0 && is_canceled(cancel_fd, 0))
            rc = -ECANCELED;
        else if (is_mounted_in(entry, device))
            rc = -EXDEV;
        else if (entry->fts_info != FTS_DP)
            look(found, entry);
    }
    if (rc == 0)
        rc = -errno;
    if (walk)
        fts_close(walk);
    return rc ? explain_survey(rc, folder, err) : 0;
}

static void tell(const struct husk_log *log, const char *folder, const struct survey *found,
                 const char *image)
{
    struct stat status = {0};
    char line[256];

    if (!log || log->level < HUSK_LOG_WARNING)
        return;
    stat(image, &status);
    snprintf(line, sizeof line, "packing %.120s into an image: %" PRIu64 " of %" PRIu64 " MiB", folder,
             (uint64_t)status.st_blocks * 512 / MIB, found->bytes / MIB);
    log->line(log->context, HUSK_LOG_WARNING, line);
}

/* Room for the files, for what a file system keeps about them, and a little. */
static int make_image(const char *folder, const struct survey *found, const struct cached *cached,
                      const struct husk_log *log, int cancel_fd, struct husk_err *err)
{
    const char *image = cached->next;
    const char *arguments[] = {"mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E",
                               "lazy_itable_init=0,root_owner=0:0", "-N", NULL, "-d", folder,
                               image, NULL};
    char program[PATH_MAX], inodes[24];
    struct run run;
    uint64_t size = found->bytes + found->bytes / 8 + found->files * 512 + 16 * MIB;
    int rc = find_tool(program, "mkfs.ext4", "e2fsprogs", err);
    int fd;

    if (rc)
        return rc;
    unlink(image); /* never into the file of one that was killed, whose mkfs may still write */
    fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make \"%s\"", image);
    if (fd >= 0)
        close(fd);
    snprintf(inodes, sizeof inodes, "%" PRIu64, found->files + 64);
    arguments[10] = inodes;
    rc = rc ?: run_start(&run, program, arguments, cached->lock, err); /* held as long as mkfs runs */
    if (rc)
        return rc;
    do {
        tell(log, folder, found, image);
        if (is_canceled(cancel_fd, 0))
            rc = fail(err, HUSK_ERR_INPUT, -ECANCELED, "given up while packing \"%s\"", folder);
        else
            rc = run_wait(&run, 1000, err);
    } while (rc == 0);
    if (rc < 0)
        run_abort(&run);
    return rc < 0 ? rc : 0;
}

int image_pack(const char *folder, const struct husk_log *log, int cancel_fd, char path[PATH_MAX],
               struct husk_err *err)
{
    struct cached cached;
    struct survey found;
    int rc = survey_folder(&found, folder, cancel_fd, err);

    rc = rc ?: cached_name(&cached, found.digest, err);
    if (rc)
        return rc;
    snprintf(path, PATH_MAX, "%s", cached.path);
    if (cached_use(&cached))
        return 0;
    rc = cached_lock(&cached, folder, log, cancel_fd, err);
    if (rc == 0 && !cached_use(&cached)) {
        rc = make_image(folder, &found, &cached, log, cancel_fd, err);
        rc = rc ?: cached_keep(&cached, err);
    }
    cached_unlock(&cached);
    return rc;
}

/* --- a scratch disk --- */

static int run_mkfs(const char *program, const char *const *arguments, int fd,
                    const struct image_patience *patience, struct husk_err *err)
{
    struct run run;
    int rc = run_start(&run, program, arguments, fd, err);

    return rc ?: run_finish(&run, patience->cancel_fd, patience->timeout, err);
}

static int make_empty(int fd, uint64_t size, const char *features,
                      const struct image_patience *patience, struct husk_err *err)
{
    const char *const arguments[] = {
        "mkfs.ext4", "-q", "-F", "-m", "0", "-O", features, "-E", "lazy_itable_init=1,nodiscard",
        "/proc/self/fd/3", NULL};
    struct husk_err why = {0};
    char program[PATH_MAX];
    int rc;

    if (size < SCRATCH_MIN)
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "a disk size of %" PRIu64 " bytes is too small; give "
                    "at least 16M", size);
    rc = find_tool(program, "mkfs.ext4", "e2fsprogs", err);
    if (rc == 0 && ftruncate(fd, (off_t)size) < 0)
        rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make a disk of %" PRIu64 " bytes", size);
    if (rc)
        return rc;
    rc = run_mkfs(program, arguments, fd, patience, &why);
    return rc ? fail(err, why.kind, rc, "cannot make an empty file system: %s", why.message) : 0;
}

/* On a disk, not in memory: /var/tmp, by the file system hierarchy. Not all of them know O_TMPFILE. */
static int open_nameless(void)
{
    char path[] = "/var/tmp/husk.XXXXXX";
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int image_scratch(uint64_t size, const struct image_patience *patience, struct husk_err *err)
{
    int fd = open_nameless(), rc;

    if (fd < 0)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make a disk in /var/tmp");
    rc = make_empty(fd, size, "^has_journal", patience, err);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* What could not be made is empty again: with a size it would be taken for one that was used before. */
static int make_layer(int fd, uint64_t size, const struct image_patience *patience,
                      struct husk_err *err)
{
    int rc = make_empty(fd, size, "has_journal", patience, err);

    if (rc && ftruncate(fd, 0) < 0)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot empty the file of a layer");
    return rc;
}

int image_layer(const char *path, uint64_t size, const struct image_patience *patience,
                struct husk_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    struct stat status;
    int rc = 0;

    if (fd < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot open the layer \"%s\"", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = fail(err, HUSK_ERR_INPUT, -EBUSY, "the layer \"%s\" is used by another sandbox", path);
    else if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        rc = fail(err, HUSK_ERR_INPUT, -EINVAL, "the layer \"%s\" is no file", path);
    else if (status.st_size == 0)
        rc = make_layer(fd, size ? size : LAYER_DEFAULT, patience, err);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}
