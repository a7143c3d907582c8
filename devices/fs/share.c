/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/fs/share.h"

#include "core/child.h"
#include "core/unix_socket.h"
#include "devices/fs/mounting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_TRIES 100u
#define WORDS_MAX 200u
#define PIPE_SIZE 65536u /* pipe(7) */

struct share {
    struct vhost_user peer;
    struct child child; /* none, if somebody else has started it */
    int said;           /* what the child complains of, a pipe; -1: none */
    char words[WORDS_MAX];
};

/* --- its program --- */

/* In Rust, as newer distributions have it; and QEMU's own, as Debian 12 does. */
static const char *const programs[] = {
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
    "/usr/lib/qemu/virtiofsd",
};

static int find_program(const char **program, struct err *err)
{
    if (*program)
        return access(*program, X_OK) == 0
                   ? 0
                   : err_sys(err, -errno, "cannot run \"%s\"", *program);
    for (unsigned i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (access(programs[i], X_OK) == 0) {
            *program = programs[i];
            return 0;
        }
    return err_set(err, -ENOENT, "there is no virtiofsd; install virtiofsd (on Debian 12 "
                   "qemu-system-common), or say where it is by program=PATH");
}

/* --- its socket --- */

static int try_connect(int listener, int connected)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(sa_family_t);

    address.sun_family = AF_UNIX;
    if (bind(listener, (const struct sockaddr *)&address, size) < 0 || listen(listener, 0) < 0)
        return -errno;
    size = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        connect(connected, (const struct sockaddr *)&address, size) < 0)
        return -errno;
    return 0;
}

static void close_pair(int ends[2])
{
    for (unsigned i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    ends[0] = ends[1] = -1;
}

/*
 * virtiofsd wants a socket that listens. The kernel gives it an abstract name, so that no file can
 * be left behind; and as no more than one connection can wait on it, and ours does, nobody else's is
 * accepted. Should somebody have been quicker, who can only have guessed the name, there is another.
 */
static int open_socket(int ends[2], struct err *err)
{
    int rc = -EAGAIN;

    for (unsigned i = 0; i < CONNECT_TRIES && rc == -EAGAIN; i++) {
        close_pair(ends);
        ends[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ends[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = ends[0] < 0 || ends[1] < 0 ? -errno : try_connect(ends[1], ends[0]);
    }
    return rc ? err_sys(err, rc, "cannot make a socket for virtiofsd") : 0;
}

/* What nobody reads must not hold it up, so that a full pipe refuses what is written. */
static int open_pipe(int ends[2], struct err *err)
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0)
        return 0;
    ends[0] = ends[1] = -1;
    return err_sys(err, -errno, "cannot make a pipe");
}

/* --- starting it --- */

static int check_directory(const char *path, struct err *err)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return err_sys(err, -errno, "cannot be shared");
    if (!S_ISDIR(status.st_mode))
        return err_set(err, -ENOTDIR, "is no directory; give one, or add \"socket\" for a socket");
    return 0;
}

struct spawning {
    struct share *share;
    const struct share_options *options;
    const char *program;
    int listener;
    int complaints;
    struct err *err;
};

/* Both virtiofsd know these options, the one in Rust for the sake of the older. */
static int spawn(void *context, const char *source, bool mounted)
{
    struct spawning *spawning = context;
    const int descriptors[] = {-1, -1, spawning->complaints, spawning->listener};
    char options[PATH_MAX + 128];
    const char *arguments[] = {"virtiofsd", "-f", "--fd=3", "-o", options, NULL};

    snprintf(options, sizeof options, "source=%s,sandbox=%s,cache=auto,xattr%s", source,
             mounted ? "chroot" : "namespace",
             spawning->options->one_file_system ? "" : ",announce_submounts");
    return child_start(&spawning->share->child,
                       &(struct child_command){spawning->program, arguments, descriptors, 4},
                       spawning->err);
}

static int start_child(struct share *share, const struct share_options *options, int listener,
                       int complaints, struct err *err)
{
    struct spawning spawning = {share, options, options->program, listener, complaints, err};
    const struct mounting mounting = {
        .path = options->path,
        .read_only = options->read_only,
        .one_file_system = options->one_file_system,
        .then = spawn,
        .context = &spawning,
    };
    int rc = find_program(&spawning.program, err);

    return rc ?: mounting_do(&mounting, err);
}

static int start_virtiofsd(struct share *share, const struct share_options *options,
                           const struct guest_memory *memory, struct err *err)
{
    int ends[2] = {-1, -1}, complaints[2] = {-1, -1};
    int rc = check_directory(options->path, err);

    rc = rc ?: open_socket(ends, err);
    rc = rc ?: open_pipe(complaints, err);
    rc = rc ?: start_child(share, options, ends[1], complaints[1], err);
    if (rc == 0) {
        vhost_user_open(&share->peer, ends[0], memory);
        share->said = complaints[0];
        ends[0] = complaints[0] = -1;
    }
    close_pair(ends);
    close_pair(complaints);
    return rc;
}

static int connect_to_socket(struct share *share, const char *path,
                             const struct guest_memory *memory, struct err *err)
{
    int fd = unix_connect(path, err);

    if (fd < 0)
        return fd;
    vhost_user_open(&share->peer, fd, memory);
    return 0;
}

/* What mounting takes. */
static bool is_administrator(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}

int share_check(const struct share_options *options, struct err *err)
{
    const char *program = options->program;

    if (options->socket)
        return 0;
    if ((options->read_only || options->one_file_system) && !is_administrator())
        return err_set(err, -EPERM, "to share a directory read-only takes root");
    return find_program(&program, err);
}

int share_start(struct share **out, const struct share_options *options,
                const struct guest_memory *memory, struct err *err)
{
    struct share *share = calloc(1, sizeof *share);
    int rc;

    if (!share)
        return err_set(err, -ENOMEM, "out of memory");
    share->peer = (struct vhost_user)VHOST_USER_CLOSED;
    share->child = (struct child)CHILD_NONE;
    share->said = -1;
    rc = options->socket ? connect_to_socket(share, options->path, memory, err)
                         : start_virtiofsd(share, options, memory, err);
    if (rc)
        share_close(share);
    else
        *out = share;
    return rc;
}

/* --- its end --- */

/* The last line that it wrote; of one that has left a writer behind, as far as a pipe holds it. */
static void hear_words(struct share *share)
{
    char bytes[4096];
    unsigned reads = PIPE_SIZE / sizeof bytes;
    ssize_t got;

    while (reads-- > 0 && share->said >= 0 && (got = read(share->said, bytes, sizeof bytes - 1)) > 0) {
        char *line;

        bytes[got] = '\0';
        while (got > 0 && bytes[got - 1] == '\n')
            bytes[--got] = '\0';
        line = strrchr(bytes, '\n');
        snprintf(share->words, sizeof share->words, "%.*s", (int)WORDS_MAX - 1,
                 line ? line + 1 : bytes);
    }
}

const char *share_lose(struct share *share)
{
    child_end(&share->child);
    hear_words(share);
    return share->words;
}

int share_await(struct share *share, struct err *err)
{
    int rc = vhost_user_greet(&share->peer, err);

    if (rc == 0)
        return 0;
    share_lose(share);
    err_set(err, rc, "virtiofsd is of no use: %s%s%s; see that it can run here, or use another",
            share->peer.fault ?: "it does not know virtio 1", share->words[0] ? ", saying: " : "",
            share->words);
    return rc;
}

struct vhost_user *share_peer(struct share *share)
{
    return &share->peer;
}

void share_close(struct share *share)
{
    if (!share)
        return;
    vhost_user_close(&share->peer);
    child_end(&share->child);
    if (share->said >= 0)
        close(share->said);
    free(share);
}
