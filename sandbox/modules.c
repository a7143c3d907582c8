/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/modules.h"

#include "sandbox/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX (16u << 20)
#define VERSION_MAX 128

/* Linux, Documentation/arch/x86/boot.rst: the header's magic, and where the version's text is. */
#define BZIMAGE_MAGIC_OFFSET 0x202
#define BZIMAGE_VERSION_OFFSET 0x20e
#define BZIMAGE_VERSION_BASE 0x200

/* --- where they are --- */

static bool version_of_bzimage(const char *kernel, char version[VERSION_MAX])
{
    char magic[4], text[VERSION_MAX];
    uint16_t offset = 0;
    int fd = open(kernel, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait */
    ssize_t size = 0;

    if (fd < 0)
        return false;
    if (pread(fd, magic, sizeof magic, BZIMAGE_MAGIC_OFFSET) == sizeof magic &&
        memcmp(magic, "HdrS", sizeof magic) == 0 &&
        pread(fd, &offset, sizeof offset, BZIMAGE_VERSION_OFFSET) == sizeof offset && offset != 0)
        size = pread(fd, text, sizeof text - 1, BZIMAGE_VERSION_BASE + offset);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    snprintf(version, VERSION_MAX, "%.*s", (int)strcspn(text, " "), text);
    return version[0] != '\0' && !strchr(version, '/');
}

/* The only folder in `folder`/lib/modules; distributions name it after the version. */
static bool version_of_only_folder(const char *folder, char version[VERSION_MAX])
{
    char path[PATH_MAX + 16];
    struct dirent *entry;
    unsigned found = 0;
    DIR *all;

    snprintf(path, sizeof path, "%s/lib/modules", folder);
    all = opendir(path);
    while (all && (entry = readdir(all)))
        if (entry->d_name[0] != '.') {
            snprintf(version, VERSION_MAX, "%.*s", VERSION_MAX - 1, entry->d_name);
            found++;
        }
    if (all)
        closedir(all);
    return found == 1;
}

/* "vmlinuz-VERSION", as /boot has it. */
static bool version_of_name(const char *kernel, char version[VERSION_MAX])
{
    const char *name = strrchr(kernel, '/'), *dash = strchr(name ? name : kernel, '-');

    if (!dash)
        return false;
    snprintf(version, VERSION_MAX, "%s", dash + 1);
    return true;
}

static bool is_module_folder(const char *folder)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof path, "%s/modules.dep", folder);
    return access(path, R_OK) == 0;
}

static int find_folder(struct modules *modules, const char *kernel, const char *given,
                       struct husk_err *err)
{
    char real[PATH_MAX] = "", version[VERSION_MAX] = "";
    char *slash;

    if (given) {
        snprintf(modules->folder, sizeof modules->folder, "%s", given);
        if (is_module_folder(given))
            return 0;
        return fail(err, HUSK_ERR_INPUT, -ENOENT, "modules: \"%s\" has no modules.dep; give the folder "
                    "of the kernel's version, as in /lib/modules", given);
    }
    if (!realpath(kernel, real))
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot open the kernel \"%s\"", kernel);
    slash = strrchr(real, '/');
    if (!version_of_bzimage(real, version))
        version_of_name(real, version);
    *slash = '\0';
    if (!version[0])
        version_of_only_folder(real, version);
    snprintf(modules->folder, sizeof modules->folder, "%.3500s/lib/modules/%s", real, version);
    if (version[0] && is_module_folder(modules->folder))
        return 0;
    snprintf(modules->folder, sizeof modules->folder, "/lib/modules/%s", version);
    if (version[0] && is_module_folder(modules->folder))
        return 0;
    return fail(err, HUSK_ERR_INPUT, -ENOENT, "the modules of the kernel \"%s\" (version %s) are neither "
                "in %.200s/lib/modules nor in /lib/modules; say where by --modules", kernel,
                version[0] ? version : "unknown", real);
}

/* --- reading lists --- */

/* A whole file as a string; NULL with errno. */
static char *read_text(const char *folder, const char *leaf)
{
    char path[PATH_MAX + 32];
    struct stat status;
    char *text = NULL;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, leaf);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && status.st_size < LIST_MAX)
        text = malloc((size_t)status.st_size + 1);
    if (text) {
        ssize_t size = read(fd, text, (size_t)status.st_size);

        text[size > 0 ? size : 0] = '\0';
    }
    close(fd);
    return text;
}

int modules_open(struct modules *modules, const char *kernel, const char *given,
                 struct husk_err *err)
{
    int rc;

    *modules = (struct modules){0};
    rc = find_folder(modules, kernel, given, err);
    if (rc)
        return rc;
    modules->dependencies = read_text(modules->folder, "modules.dep");
    modules->built_in = read_text(modules->folder, "modules.builtin");
    if (modules->dependencies)
        return 0;
    modules_close(modules);
    return fail(err, HUSK_ERR_INPUT, -EIO, "cannot read %.300s/modules.dep", modules->folder);
}

void modules_close(struct modules *modules)
{
    for (unsigned i = 0; i < modules->count; i++)
        free(modules->files[i]);
    free(modules->dependencies);
    free(modules->built_in);
    *modules = (struct modules){0};
}

/* --- choosing --- */

/* Whether the path's file is the module's, whose name may have '-' for '_'. */
static bool is_module(const char *path, size_t size, const char *name)
{
    const char *file = memrchr(path, '/', size);
    size_t name_size = strlen(name);

    file = file ? file + 1 : path;
    size -= (size_t)(file - path);
    if (size <= name_size || strncmp(file + name_size, ".ko", 3) != 0)
        return false;
    for (size_t i = 0; i < name_size; i++)
        if (file[i] != name[i] && !(strchr("-_", file[i]) && strchr("-_", name[i])))
            return false;
    return true;
}

/* The line of a list whose first word is the module's file; NULL: none. */
static const char *find_line(const char *list, const char *name)
{
    for (const char *line = list; line && *line;) {
        const char *next = strchr(line, '\n');

        if (is_module(line, strcspn(line, ":\n"), name))
            return line;
        line = next ? next + 1 : NULL;
    }
    return NULL;
}

static int add_file(struct modules *modules, const char *path, size_t size, struct husk_err *err)
{
    char *file;

    for (unsigned i = 0; i < modules->count; i++)
        if (strlen(modules->files[i]) == size && memcmp(modules->files[i], path, size) == 0)
            return 0;
    if (modules->count == MODULES_MAX)
        return fail(err, HUSK_ERR_INPUT, -E2BIG, "the kernel needs more than %u modules; give one with "
                    "more built in", MODULES_MAX);
    file = strndup(path, size);
    if (!file)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    modules->files[modules->count++] = file;
    return 0;
}

/* "FILE: NEEDED NEEDED...", of which the last is to be loaded first. */
static int add_line(struct modules *modules, const char *line, struct husk_err *err)
{
    const char *end = line + strcspn(line, "\n");
    size_t size;
    int rc = 0;

    while (end > line && rc == 0) {
        const char *start = end;

        while (start > line && start[-1] != ' ')
            start--;
        size = (size_t)(end - start);
        if (size > 0 && start[size - 1] == ':')
            size--;
        if (size > 0)
            rc = add_file(modules, start, size, err);
        end = start > line ? start - 1 : line;
    }
    return rc;
}

int modules_add(struct modules *modules, const char *name, bool optional, struct husk_err *err)
{
    const char *line = find_line(modules->dependencies, name);

    if (line)
        return add_line(modules, line, err);
    if (optional || (modules->built_in && find_line(modules->built_in, name)))
        return 0;
    return fail(err, HUSK_ERR_INPUT, -ENOENT, "the kernel of %.200s has no module %s, which a sandbox "
                "needs; give another kernel, such as Debian's linux-image-cloud-amd64",
                modules->folder, name);
}

void modules_begin_late(struct modules *modules)
{
    modules->early = modules->count;
}
