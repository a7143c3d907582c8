/* SPDX-License-Identifier: Apache-2.0 */
/* An initramfs, read as Linux reads it. */
#include "sandbox/archive.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct found {
    char name[64];
    uint32_t mode, size;
    char *bytes; /* in the archive */
};

static uint32_t number(const char *header, unsigned index)
{
    char text[9] = "";

    memcpy(text, header + 6 + 8 * (size_t)index, 8);
    assert_int_equal(strspn(text, "0123456789abcdef"), 8);
    return (uint32_t)strtoul(text, NULL, 16);
}

static char *read_all(const struct archive *archive, size_t *size)
{
    struct stat status;
    char *bytes;

    assert_int_equal(fstat(archive->fd, &status), 0);
    *size = (size_t)status.st_size;
    bytes = malloc(*size);
    assert_int_equal(pread(archive->fd, bytes, *size, 0), *size);
    return bytes;
}

/* The next entry; what is between entries is zero, and each begins at a multiple of 4. */
static struct found next(char *bytes, size_t size, size_t *at)
{
    struct found found;
    uint32_t name_size;
    size_t end;

    assert_int_equal(*at % 4, 0);
    assert_true(*at + 110 <= size);
    assert_memory_equal(bytes + *at, "070701", 6);
    found.mode = number(bytes + *at, 1);
    found.size = number(bytes + *at, 6);
    name_size = number(bytes + *at, 11);
    assert_in_range(name_size, 2, sizeof found.name);
    memcpy(found.name, bytes + *at + 110, name_size);
    assert_int_equal(found.name[name_size - 1], '\0');
    for (end = *at + 110 + name_size; end % 4; end++)
        assert_int_equal(bytes[end], 0);
    found.bytes = bytes + end;
    for (end += found.size; end % 4; end++)
        assert_int_equal(bytes[end], 0);
    assert_true(end <= size);
    *at = end;
    return found;
}

static void holds_what_was_added(void **state)
{
    struct scratch scratch;
    struct archive archive;
    struct husk_err err;
    struct found found;
    size_t size, at = 0;
    char *bytes, name[8];

    (void)state;
    scratch_open(&scratch);
    scratch_file(&scratch, "file", 5000001); /* larger than the first room */
    assert_int_equal(archive_open(&archive, &err), 0);
    assert_int_equal(archive_add_folder(&archive, "husk", &err), 0);
    for (unsigned i = 0; i < 8; i++) { /* every remainder of names and sizes */
        snprintf(name, sizeof name, "%.*s", (int)(i % 4) + 1, "abcd");
        assert_int_equal(archive_add_bytes(&archive, name, 0644, "12345678", i, &err), 0);
    }
    assert_int_equal(archive_add_file(&archive, "init", 0755, scratch.path, &err), 0);
    assert_int_equal(archive_finish(&archive, &err), 0);
    bytes = read_all(&archive, &size);
    found = next(bytes, size, &at);
    assert_string_equal(found.name, "husk");
    assert_int_equal(found.mode, S_IFDIR | 0755);
    for (unsigned i = 0; i < 8; i++) {
        found = next(bytes, size, &at);
        assert_int_equal(strlen(found.name), i % 4 + 1);
        assert_int_equal(found.mode, S_IFREG | 0644);
        assert_int_equal(found.size, i);
        assert_memory_equal(found.bytes, "12345678", i);
    }
    found = next(bytes, size, &at);
    assert_string_equal(found.name, "init");
    assert_int_equal(found.mode, S_IFREG | 0755);
    assert_int_equal(found.size, 5000001);
    found = next(bytes, size, &at);
    assert_string_equal(found.name, "TRAILER!!!");
    assert_int_equal(at, size);
    free(bytes);
    archive_close(&archive);
    assert_int_equal(archive.fd, -1);
    scratch_close(&scratch);
}

static void files_that_cannot_be_read_are_errors(void **state)
{
    struct scratch scratch;
    struct archive archive;
    struct husk_err err;

    (void)state;
    scratch_open(&scratch);
    assert_int_equal(archive_open(&archive, &err), 0);
    assert_failure(archive_add_file(&archive, "a", 0644, "/nonexistent", &err), -ENOENT, &err,
                   "/nonexistent");
    assert_failure(archive_add_file(&archive, "a", 0644, scratch.folder, &err), -EINVAL, &err,
                   "no file of at most");
    scratch_file(&scratch, "large", (64u << 20) + 1);
    assert_failure(archive_add_file(&archive, "a", 0644, scratch.path, &err), -EINVAL, &err,
                   "no file of at most");
    archive_close(&archive);
    scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_added),
        cmocka_unit_test(files_that_cannot_be_read_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
