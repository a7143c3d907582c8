/* SPDX-License-Identifier: Apache-2.0 */
/* Files between a sandbox and its host. */
#include "sandbox/sandbox.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "agent/tree.h"
#include "sandbox/fail.h"
#include "sandbox/link.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* DONE, or the guest's reason. */
static int await_done(int socket, const char *guest, struct husk_err *err)
{
    struct frame_reader reader = {.limit = AGENT_FRAME_MAX};
    int rc = link_read_frame(socket, &reader);
    uint64_t code = EIO;
    const char *text;

    if (rc == 1 && reader.header.type == AGENT_DONE) {
        rc = 0;
    } else if (rc == 1 && reader.header.type == AGENT_FAILED) {
        frame_number(&reader, "code", 4095, &code);
        text = frame_field(&reader, "text");
        rc = fail(err, HUSK_ERR_INPUT, code ? -(int)code : -EIO, "sandbox's \"%.100s\": %.200s", guest,
                  text ? text : "failed");
    } else {
        rc = fail(err, HUSK_ERR_SELF, rc == 0 ? -ETIMEDOUT : -ESHUTDOWN, rc == 0
                  ? "the sandbox's agent does not answer" : "the sandbox ended while files were copied");
    }
    frame_reader_release(&reader);
    return rc;
}

static int ask(const struct husk_sandbox *sandbox, uint32_t type, const char *path,
               struct husk_err *err)
{
    struct fields fields = {0};
    int socket;

    fields_add(&fields, "path", path);
    socket = sandbox_ask(sandbox, type, &fields, err);
    fields_release(&fields);
    return socket;
}

/* "folder/" is the folder, for which tree_send() wants no slash at its end. */
static int trim(char path[PATH_MAX], const char *given, struct husk_err *err)
{
    int size = snprintf(path, PATH_MAX, "%s", given);

    if (size <= 0 || size >= PATH_MAX)
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "the path is empty or too long");
    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
    return 0;
}

int husk_sandbox_put(struct husk_sandbox *sandbox, const char *host, const char *guest,
                     struct husk_err *err)
{
    struct tree_fault fault = {0};
    char path[PATH_MAX];
    int socket, answer, rc = trim(path, host, err);

    if (rc)
        return rc;
    if (access(path, R_OK) < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot read \"%s\"", host);
    socket = ask(sandbox, AGENT_PUT, guest, err);
    if (socket < 0)
        return socket;
    rc = tree_send(socket, AT_FDCWD, path, &fault);
    if (rc && fault.path[0] && rc != -EPIPE && rc != -ECONNRESET)
        rc = fail_sys(err, HUSK_ERR_INPUT, rc, "cannot copy \"%s\"", fault.path);
    else if ((answer = await_done(socket, guest, err)) || rc)
        rc = answer ? answer : rc;
    close(socket);
    return rc;
}

/* Of "folder/name": cuts it in two, and returns the folder. */
static const char *split(char *path, const char **name)
{
    char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if (!slash)
        return ".";
    *slash = '\0';
    return slash == path ? "/" : path;
}

/* Where it goes: a folder, and what it is called there (NULL: as in the guest). */
static int open_target(struct tree_target *target, char *path, struct husk_err *err)
{
    const char *folder = path;
    struct stat status;

    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
            return fail(err, HUSK_ERR_INPUT, -EEXIST, "\"%s\" is neither a file nor a folder; give what "
                        "it points to, or another name", path);
        folder = split(path, &target->name);
    }
    target->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target->folder < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot write into \"%s\"", folder);
    return 0;
}

static int receive(int socket, const struct tree_target *target, const char *guest,
                   struct husk_err *err)
{
    struct tree_fault fault = {0};
    int rc = await_done(socket, guest, err);

    if (rc)
        return rc;
    rc = tree_receive(socket, target, &fault);
    if (rc == -EFBIG && !fault.told)
        return fail(err, HUSK_ERR_INPUT, rc, "the sandbox's \"%s\" is more than %llu bytes, the limit of "
                    "what it may give", guest, (unsigned long long)target->limit);
    if ((rc == -ECONNRESET || rc == -EAGAIN) && !fault.told)
        return fail(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox broke off the copy of \"%s\"", guest);
    return rc ? fail_sys(err, HUSK_ERR_INPUT, rc, "cannot copy \"%s\"",
                         fault.path[0] ? fault.path : guest)
              : 0;
}

/* umask() itself would change it for all threads. */
static mode_t own_umask(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    static const char key[] = "Umask:";
    unsigned long mask = 022;
    char line[256];

    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, key, sizeof key - 1) == 0)
            mask = strtoul(line + sizeof key - 1, NULL, 8);
    if (status)
        fclose(status);
    return (mode_t)mask;
}

/* What a guest's path is called here. What is in "/", "." and "..", without a name, has its own. */
static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *leaf = slash ? slash + 1 : path;

    return leaf[0] && strcmp(leaf, ".") != 0 && strcmp(leaf, "..") != 0 ? leaf : ".";
}

int husk_sandbox_get(struct husk_sandbox *sandbox, const char *guest, const char *host,
                     uint64_t limit, struct husk_err *err)
{
    struct tree_target target = {
        .folder = -1,
        .mode_mask = 0777 & ~own_umask(),
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
        .limit = limit ? limit : UINT64_MAX,
    };
    char from[PATH_MAX], to[PATH_MAX];
    int socket, rc = trim(from, guest, err);

    rc = rc ?: trim(to, host, err);
    rc = rc ?: open_target(&target, to, err);
    if (rc)
        return rc;
    if (!target.name)
        target.name = name_of(from); /* and not as the guest says, which may say ".bashrc" */
    socket = ask(sandbox, AGENT_GET, from, err);
    rc = socket < 0 ? socket : receive(socket, &target, guest, err);
    if (socket >= 0)
        close(socket);
    close(target.folder);
    return rc;
}
