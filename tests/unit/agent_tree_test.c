/* SPDX-License-Identifier: Apache-2.0 */
/* Trees between folders, and from a peer that may send anything. */
#include "agent/tree.h"
#include "agent/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_ = 1, FOLDER, LINK, END, FAILED };

/* Below the test's own folder: "from" is sent, "to" receives, and "outside" stays as it is. */
struct place {
    char folder[64];
    int from, to, outside;
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int make_folder(int above, const char *name)
{
    int fd;

    assert_int_equal(mkdirat(above, name, 0755), 0);
    fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void write_file(int folder, const char *name, const char *text, mode_t mode)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void assert_file(int folder, const char *name, const char *text)
{
    char bytes[65536] = "";
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, bytes, sizeof bytes - 1), strlen(text));
    assert_string_equal(bytes, text);
    close(fd);
}

static bool is_there(int folder, const char *name)
{
    struct stat status;

    return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    int folder;

    strcpy(place->folder, "/tmp/husk-test-XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->from = make_folder(folder, "from");
    place->to = make_folder(folder, "to");
    place->outside = make_folder(folder, "outside");
    write_file(place->outside, "secret", "untouched", 0644);
    close(folder);
    *state = place;
    return 0;
}

static int close_place(void **state)
{
    struct place *place = *state;

    assert_file(place->outside, "secret", "untouched");
    close(place->from);
    close(place->to);
    close(place->outside);
    nftw(place->folder, remove_one, 64, FTW_DEPTH | FTW_PHYS);
    free(place);
    return 0;
}

/* As on the wire. */
struct entry {
    uint32_t kind, mode;
    uint64_t size;
    int64_t seconds;
    uint32_t nanoseconds, name_size;
};

/* --- there and back --- */

struct sending {
    int stream, folder, rc;
    const char *name;
    struct tree_fault fault;
};

static void *send_tree(void *argument)
{
    struct sending *sending = argument;

    sending->rc = tree_send(sending->stream, sending->folder, sending->name, &sending->fault);
    shutdown(sending->stream, SHUT_WR);
    return NULL;
}

static struct tree_target target_of(const struct place *place)
{
    return (struct tree_target){.folder = place->to, .mode_mask = 0777, .uid = (uid_t)-1,
                                .gid = (gid_t)-1, .limit = UINT64_MAX};
}

static int copy(struct place *place, const char *name, const struct tree_target *target,
                struct tree_fault *fault, int *sent)
{
    struct sending sending = {.folder = place->from, .name = name};
    pthread_t thread;
    int ends[2], rc;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    sending.stream = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, send_tree, &sending), 0);
    rc = tree_receive(ends[1], target, fault);
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    if (sent)
        *sent = sending.rc;
    return rc;
}

static void copies_all_kinds(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 1000000000, .tv_nsec = 12345}};
    struct tree_fault fault;
    struct stat status;
    char link[64] = "";
    int top = make_folder(place->from, "top"), below = make_folder(top, "below"), fd;

    write_file(top, "script", "#!/bin/sh", 04751);
    write_file(below, "empty", "", 0600);
    assert_int_equal(symlinkat("/nowhere/../at all", below, "link"), 0);
    assert_int_equal(mkfifoat(top, "pipe", 0600), 0);
    fd = openat(below, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(fd, "end", 3, 1000000), 3);
    close(fd);
    assert_int_equal(utimensat(top, "script", times, 0), 0);
    assert_int_equal(utimensat(place->from, "top/below", times, 0), 0);
    assert_int_equal(fchmod(below, 0500), 0);
    assert_int_equal(copy(place, "top", &target, &fault, NULL), 0);
    assert_int_equal(fstatat(place->to, "top/script", &status, 0), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0751); /* without its set-user-id */
    assert_int_equal(status.st_mtim.tv_sec, 1000000000);
    assert_int_equal(status.st_mtim.tv_nsec, 12345);
    assert_file(place->to, "top/script", "#!/bin/sh");
    assert_int_equal(fstatat(place->to, "top/below", &status, 0), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0500);
    assert_int_equal(status.st_mtim.tv_sec, 1000000000);
    assert_int_equal(fstatat(place->to, "top/below/large", &status, 0), 0);
    assert_int_equal(status.st_size, 1000003);
    assert_int_equal(fstatat(place->to, "top/below/empty", &status, 0), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(readlinkat(place->to, "top/below/link", link, sizeof link - 1), 18);
    assert_string_equal(link, "/nowhere/../at all");
    assert_false(is_there(place->to, "top/pipe"));
    assert_int_equal(fchmodat(place->to, "top/below", 0700, 0), 0);
    close(below);
    close(top);
}

static void replaces_files_and_merges_folders(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    int from = make_folder(place->from, "top"), to = make_folder(place->to, "top");

    write_file(from, "new", "new", 0644);
    write_file(from, "both", "from", 0644);
    write_file(to, "both", "what was there, and longer", 0644);
    write_file(to, "old", "old", 0644);
    assert_int_equal(copy(place, "top", &target, &fault, NULL), 0);
    assert_file(to, "new", "new");
    assert_file(to, "both", "from");
    assert_file(to, "old", "old");
    target.name = "renamed";
    assert_int_equal(copy(place, "top/new", &target, &fault, NULL), 0);
    assert_file(place->to, "renamed", "new");
    close(from);
    close(to);
}

/* A link that was there is replaced, not written through; as the top, or as a folder, it is refused. */
static void follows_no_link_that_is_there(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    int to;

    write_file(place->from, "file", "new", 0644);
    close(make_folder(place->from, "folder"));
    write_file(place->from, "folder/secret", "bad", 0644);
    write_file(place->from, "folder/file", "new", 0644);
    to = make_folder(place->to, "inner");
    assert_int_equal(symlinkat("../../outside/secret", to, "file"), 0);
    assert_int_equal(symlinkat("../outside/secret", place->to, "file"), 0);
    assert_int_equal(symlinkat("../outside", place->to, "folder"), 0);
    assert_int_equal(copy(place, "file", &target, &fault, NULL), -EEXIST);
    target.name = "inner";
    assert_int_equal(copy(place, "folder", &target, &fault, NULL), 0);
    assert_file(to, "file", "new");
    close(to);
    target.name = NULL;
    assert_int_equal(copy(place, "folder", &target, &fault, NULL), -ENOTDIR);
    assert_string_equal(fault.path, "folder");
}

static void the_top_may_be_a_link(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;

    write_file(place->from, "file", "text", 0644);
    assert_int_equal(symlinkat("file", place->from, "link"), 0);
    assert_int_equal(copy(place, "link", &target, &fault, NULL), 0);
    assert_file(place->to, "link", "text");
}

static void counts_bytes_and_entries(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;

    write_file(place->from, "file", "12345", 0644);
    target.limit = TREE_ENTRY_COST + 5;
    assert_int_equal(copy(place, "file", &target, &fault, NULL), 0);
    target.limit--;
    assert_int_equal(copy(place, "file", &target, &fault, NULL), -EFBIG);
    target.limit = TREE_ENTRY_COST - 1;
    assert_int_equal(copy(place, "file", &target, &fault, NULL), -EFBIG);
}

static void the_sender_tells_what_it_cannot_read(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    int sent = 0, folder = dup(place->from);

    assert_int_equal(copy(place, "missing", &target, &fault, &sent), -ENOENT);
    assert_int_equal(sent, -ENOENT);
    assert_string_equal(fault.path, "missing");
    assert_true(fault.told);
    for (unsigned i = 0; i < TREE_DEPTH_MAX + 2; i++) {
        int next = make_folder(folder, "d");

        close(folder);
        folder = next;
    }
    close(folder);
    assert_int_equal(copy(place, "d", &target, &fault, NULL), -ELOOP);
    assert_int_equal(strncmp(fault.path, "d/d/d", 5), 0);
}

static void a_fault_names_its_path_once(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    int ends[2];
    const struct entry top = {.kind = FOLDER, .mode = 0755, .name_size = 3};
    const struct entry failed = {.kind = FAILED, .size = EACCES, .name_size = 7};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(frame_send_bytes(ends[0], &top, sizeof top), 0);
    assert_int_equal(frame_send_bytes(ends[0], "top", 3), 0);
    assert_int_equal(frame_send_bytes(ends[0], &failed, sizeof failed), 0);
    assert_int_equal(frame_send_bytes(ends[0], "top/bad", 7), 0);
    assert_int_equal(tree_receive(ends[1], &target, &fault), -EACCES);
    assert_string_equal(fault.path, "top/bad");
    close(ends[0]);
    close(ends[1]);
}

/* /proc has files that say they are empty, and /sys some that say they have a page. */
static void sizes_that_are_not_told_are_found_out(void **state)
{
    static const char *const paths[] = {"/proc/version", "/proc/self/mountinfo",
                                        "/sys/kernel/uevent_seqnum"};
    struct tree_target target = target_of(*state);
    struct tree_fault fault;

    target.name = "file";
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char expected[65536] = "";
        int file = open(paths[i], O_RDONLY | O_CLOEXEC);
        ssize_t size = 0, got;

        if (file < 0)
            continue;
        while ((got = read(file, expected + size, sizeof expected - 1 - (size_t)size)) > 0)
            size += got;
        close(file);
        assert_true(size > 0);
        assert_int_equal(copy(*state, paths[i], &target, &fault, NULL), 0);
        assert_file(target.folder, "file", expected);
    }
}

/* Its size has been announced by then. */
static void a_file_that_shrinks_is_filled_with_zeros(void **state)
{
    struct place *place = *state;
    struct sending sending = {.folder = place->from, .name = "file"};
    const size_t size = (size_t)8 << 20, most = sizeof(struct entry) + sizeof "file" - 1 + size;
    size_t received = 0;
    pthread_t thread;
    int ends[2], file = openat(place->from, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *bytes = malloc(most);
    ssize_t got;

    assert_int_equal(ftruncate(file, (off_t)size), 0);
    assert_int_equal(pwrite(file, "x", 1, (off_t)size - 1), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    sending.stream = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, send_tree, &sending), 0);
    received = (size_t)recv(ends[1], bytes, sizeof(struct entry), MSG_WAITALL);
    assert_int_equal(ftruncate(file, 1000), 0); /* the socket has no room for all of it */
    while (received < most && (got = read(ends[1], bytes + received, most - received)) > 0)
        received += (size_t)got;
    assert_int_equal(received, most);
    assert_int_equal(bytes[most - 1], 0);
    pthread_join(thread, NULL);
    assert_int_equal(sending.rc, 0);
    free(bytes);
    close(ends[0]);
    close(ends[1]);
    close(file);
}

/* A device or a pipe is neither sent, where it is what is named, nor replaced. */
static void only_files_and_folders_are_copied(void **state)
{
    struct place *place = *state;
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    struct stat status;
    int from, to;

    assert_int_equal(mkfifoat(place->from, "pipe", 0600), 0);
    assert_int_equal(copy(place, "pipe", &target, &fault, NULL), -EOPNOTSUPP);
    assert_string_equal(fault.path, "pipe");
    write_file(place->from, "file", "text", 0644);
    assert_int_equal(mkfifoat(place->to, "file", 0600), 0);
    assert_int_equal(copy(place, "file", &target, &fault, NULL), -EEXIST);
    from = make_folder(place->from, "top"), to = make_folder(place->to, "top");
    write_file(from, "inner", "text", 0644);
    assert_int_equal(mkfifoat(to, "inner", 0600), 0);
    assert_int_equal(copy(place, "top", &target, &fault, NULL), -EEXIST);
    assert_string_equal(fault.path, "top/inner");
    assert_int_equal(fstatat(to, "inner", &status, 0), 0);
    assert_true(S_ISFIFO(status.st_mode));
    close(from);
    close(to);
}

/* --- a hostile sender --- */

struct script {
    char bytes[8192];
    size_t size;
};

static void add(struct script *script, uint32_t kind, const char *name, size_t name_size,
                const char *contents)
{
    const struct entry entry = {.kind = kind, .mode = 0644, .size = strlen(contents),
                                .name_size = (uint32_t)name_size};

    memcpy(script->bytes + script->size, &entry, sizeof entry);
    memcpy(script->bytes + script->size + sizeof entry, name, name_size);
    memcpy(script->bytes + script->size + sizeof entry + name_size, contents, strlen(contents));
    script->size += sizeof entry + name_size + strlen(contents);
}

static int play(struct place *place, const struct script *script, size_t size)
{
    struct tree_target target = target_of(place);
    struct tree_fault fault;
    int ends[2], rc;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(frame_send_bytes(ends[0], script->bytes, size), 0);
    close(ends[0]);
    rc = tree_receive(ends[1], &target, &fault);
    close(ends[1]);
    return rc;
}

static unsigned count_entries(int folder)
{
    DIR *entries = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    unsigned count = 0;

    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.' || entry->d_name[1] == 'h'; /* ".husk-copy-..." */
    closedir(entries);
    return count;
}

/* Until the new one is whole; and of that nothing is left. */
static void what_is_replaced_stays_if_the_copy_breaks_off(void **state)
{
    struct place *place = *state;
    struct script script = {0};

    add(&script, 1, "file", 4, "new and long");
    write_file(place->to, "file", "old", 0644);
    assert_int_equal(play(place, &script, script.size - 1), -ECONNRESET);
    assert_file(place->to, "file", "old");
    assert_int_equal(count_entries(place->to), 1);
    assert_int_equal(play(place, &script, script.size), 0);
    assert_file(place->to, "file", "new and long");
}

static void bad_names_are_refused(void **state)
{
    static const char long_name[300] = "";
    static const struct {
        const char *name;
        size_t size;
    } names[] = {{"..", 2}, {".", 1}, {"", 0}, {"a/b", 3}, {"../outside/secret", 17}, {"/", 1},
                 {"a\0b", 3}, {"\0", 1}, {long_name, 256}, {long_name, 300}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (uint32_t kind = FILE_; kind <= LINK; kind++) {
            struct script script = {.size = 0};

            if (kind == LINK) /* at the top none is taken, whatever its name */
                add(&script, FOLDER, "top", 3, "");
            add(&script, kind, names[i].name, names[i].size, kind == FOLDER ? "" : "bad");
            assert_int_equal(play(*state, &script, script.size), -EPROTO);
        }
}

/* The file is then beside the link's place, in the folder that was meant. */
static void a_link_is_not_written_through(void **state)
{
    struct place *place = *state;
    struct script file = {.size = 0}, folder = {.size = 0};
    struct stat status;

    add(&file, FOLDER, "top", 3, "");
    add(&file, LINK, "secret", 6, "../../outside/secret");
    add(&file, FILE_, "secret", 6, "bad");
    add(&file, END, "", 0, "");
    assert_int_equal(play(place, &file, file.size), 0);
    assert_file(place->to, "top/secret", "bad");
    assert_int_equal(fchmodat(place->to, "top", 0755, 0), 0);
    add(&folder, FOLDER, "top", 3, "");
    add(&folder, LINK, "way", 3, "../../outside");
    add(&folder, FOLDER, "way", 3, "");
    add(&folder, FILE_, "secret", 6, "bad");
    add(&folder, END, "", 0, "");
    add(&folder, END, "", 0, "");
    assert_int_equal(play(place, &folder, folder.size), -ENOTDIR);
    assert_int_equal(fstatat(place->to, "top/way", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(status.st_mode));
}

/* Senders follow it there; one that does not could lead the next copy elsewhere. */
static void a_link_at_the_top_is_refused(void **state)
{
    struct place *place = *state;
    struct script script = {.size = 0};

    add(&script, LINK, "top", 3, "../outside");
    assert_int_equal(play(place, &script, script.size), -EPROTO);
    assert_int_equal(faccessat(place->to, "top", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void a_folder_that_is_there_stays_as_it_is(void **state)
{
    struct place *place = *state;
    struct script script = {.size = 0};
    struct stat status;

    assert_int_equal(mkdirat(place->to, "top", 0750), 0);
    add(&script, FOLDER, "top", 3, "");
    add(&script, FOLDER, "new", 3, "");
    add(&script, END, "", 0, "");
    add(&script, END, "", 0, "");
    assert_int_equal(play(place, &script, script.size), 0);
    assert_int_equal(fstatat(place->to, "top", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(fstatat(place->to, "top/new", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
}

static void bad_entries_are_refused(void **state)
{
    const struct entry bad[] = {
        {.kind = 0, .name_size = 1}, {.kind = END}, {.kind = 6, .name_size = 1},
        {.kind = LINK, .name_size = 1, .size = 0}, {.kind = LINK, .name_size = 1, .size = 4096},
        {.kind = LINK, .name_size = 1, .size = UINT64_MAX}, {.kind = FILE_, .name_size = UINT32_MAX},
        {.kind = FAILED, .size = 0}, {.kind = FAILED, .size = 4096},
        {.kind = FAILED, .size = (uint64_t)1 << 32}, {.kind = FAILED, .size = 1, .name_size = 256},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct script script = {.size = 0};

        if (bad[i].kind == LINK) /* at the top none is taken, however good */
            add(&script, FOLDER, "top", 3, "");
        memcpy(script.bytes + script.size, &bad[i], sizeof bad[i]);
        script.bytes[script.size + sizeof bad[i]] = 'n';
        script.size += sizeof bad[i] + 1;
        assert_int_equal(play(*state, &script, script.size), -EPROTO);
    }
}

static void too_deep_a_tree_is_refused(void **state)
{
    struct script script = {.size = 0};

    for (unsigned i = 0; i <= TREE_DEPTH_MAX; i++)
        add(&script, FOLDER, "d", 1, "");
    assert_int_equal(play(*state, &script, script.size), -ELOOP);
}

static void a_stream_may_end_anywhere(void **state)
{
    struct script script = {.size = 0};

    add(&script, FOLDER, "top", 3, "");
    add(&script, FILE_, "file", 4, "text");
    add(&script, LINK, "link", 4, "target");
    add(&script, END, "", 0, "");
    for (size_t size = 0; size < script.size; size++)
        assert_int_equal(play(*state, &script, size), -ECONNRESET);
    assert_int_equal(play(*state, &script, script.size), 0);
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)
    const struct CMUnitTest tests[] = {
        IN_PLACE(copies_all_kinds),
        IN_PLACE(replaces_files_and_merges_folders),
        IN_PLACE(follows_no_link_that_is_there),
        IN_PLACE(the_top_may_be_a_link),
        IN_PLACE(counts_bytes_and_entries),
        IN_PLACE(the_sender_tells_what_it_cannot_read),
        IN_PLACE(a_fault_names_its_path_once),
        IN_PLACE(sizes_that_are_not_told_are_found_out),
        IN_PLACE(a_file_that_shrinks_is_filled_with_zeros),
        IN_PLACE(only_files_and_folders_are_copied),
        IN_PLACE(what_is_replaced_stays_if_the_copy_breaks_off),
        IN_PLACE(bad_names_are_refused),
        IN_PLACE(a_link_is_not_written_through),
        IN_PLACE(a_folder_that_is_there_stays_as_it_is),
        IN_PLACE(a_link_at_the_top_is_refused),
        IN_PLACE(bad_entries_are_refused),
        IN_PLACE(too_deep_a_tree_is_refused),
        IN_PLACE(a_stream_may_end_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
