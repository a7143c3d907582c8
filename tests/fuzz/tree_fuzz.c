/* SPDX-License-Identifier: Apache-2.0 */
/* A sender of a tree that sends anything: nothing outside the target's folder changes, and no more is
   written than the limit. */
#include "agent/tree.h"
#include "agent/frame.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT (64u * 1024)
#define SENT_MAX (32u * 1024) /* what a socket takes at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t used; /* by nftw(), which gives no context */
static unsigned names;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)type;
    if (where->level > 0 && S_ISREG(status->st_mode))
        used += (uint64_t)status->st_size;
    return remove(path);
}

static int count_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)path;
    (void)status;
    (void)type;
    (void)where;
    names++;
    return 0;
}

static void receive(int folder, const uint8_t *data, size_t size)
{
    const struct tree_target target = {.folder = folder, .mode_mask = 0777, .uid = (uid_t)-1,
                                       .gid = (gid_t)-1, .limit = LIMIT};
    struct tree_fault fault;
    int ends[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        frame_send_bytes(ends[1], data, size < SENT_MAX ? size : SENT_MAX))
        abort();
    close(ends[1]);
    rc = tree_receive(ends[0], &target, &fault);
    if (rc > 0 || !memchr(fault.path, '\0', sizeof fault.path))
        abort();
    close(ends[0]);
}

/* BASE/in is the target; in BASE there is a file that stays as it is, and nothing more. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char base[] = "/tmp/husk-fuzz-XXXXXX", path[64], bytes[8] = "";
    int folder, outside;

    if (!mkdtemp(base))
        abort();
    snprintf(path, sizeof path, "%s/in", base);
    mkdir(path, 0700);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/outside", base);
    outside = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (folder < 0 || outside < 0 || write(outside, "same", 4) != 4)
        abort();
    receive(folder, data, size);
    if (access(path, F_OK) < 0 || pread(outside, bytes, sizeof bytes, 0) != 4 ||
        memcmp(bytes, "same", 4) != 0)
        abort();
    unlink(path);
    close(outside);
    close(folder);
    used = names = 0;
    snprintf(path, sizeof path, "%s/in", base);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    nftw(base, count_one, 16, FTW_PHYS);
    if (used > LIMIT || names != 1)
        abort();
    rmdir(base);
    return 0;
}
