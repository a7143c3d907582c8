/* SPDX-License-Identifier: Apache-2.0 */
/* Files into a sandbox and out of it, whose agent is the test. */
#include "support/agent_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

struct tree_entry {
    uint32_t kind, mode;
    uint64_t size;
    int64_t seconds;
    uint32_t nanoseconds, name_size;
};

static void gives_a_file(struct guest *guest)
{
    const struct tree_entry entry = {.kind = 1, .mode = 04755, .size = 4, .name_size = 4};

    take_job(guest);
    frame_send(guest->control, AGENT_DONE, NULL);
    frame_send_bytes(guest->control, &entry, sizeof entry);
    frame_send_bytes(guest->control, "namedata", 8);
    await_end(guest->control);
}

static void gets_a_file(void **state)
{
    struct husk_err err = {0};
    struct stat status;
    struct guest guest;
    char path[100];

    (void)state;
    for (int within = 0; within < 2; within++) {
        start(&guest, gives_a_file);
        snprintf(path, sizeof path, "%s/mine", guest.scratch.folder);
        if (within) {
            assert_int_equal(husk_sandbox_get(&guest.sandbox, "/a", path, 5000, &err), 0);
            assert_int_equal(stat(path, &status), 0);
            assert_int_equal(status.st_mode, S_IFREG | 0755);
            assert_int_equal(status.st_size, 4);
        } else {
            assert_failure(husk_sandbox_get(&guest.sandbox, "/a", path, 4099, &err), -EFBIG, &err,
                           "more than 4099 bytes");
        }
        end(&guest);
        assert_int_equal(guest.type, AGENT_GET);
        assert_string_equal(guest.argument, "/a");
    }
}

/* The guest calls it "name"; what it is called here is not the guest's to say. */
static void a_file_is_called_as_it_was_asked_for(void **state)
{
    struct husk_err err = {0};
    struct guest guest;
    char path[100];

    (void)state;
    start(&guest, gives_a_file);
    assert_int_equal(husk_sandbox_get(&guest.sandbox, "/srv/a/", guest.scratch.folder, 0, &err), 0);
    snprintf(path, sizeof path, "%s/a", guest.scratch.folder);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/name", guest.scratch.folder);
    assert_int_equal(access(path, F_OK), -1);
    end(&guest);
}

static void fails_with_2_to_the_32(struct guest *guest)
{
    take_job(guest);
    send_failed(guest->control, "0", "4294967296", "none\x1b of it");
    await_end(guest->control);
}

static void fails_with_a_negative(struct guest *guest)
{
    take_job(guest);
    send_failed(guest->control, "0", "4294967295", "none of it");
    await_end(guest->control);
}

static void fails_with_0(struct guest *guest)
{
    take_job(guest);
    send_failed(guest->control, "0", "0", "none of it");
    await_end(guest->control);
}

/* Whatever the number is: it is no success, and nothing is taken for a tree. */
static void a_failure_is_one(void **state)
{
    static void (*const lives[])(struct guest *guest) = {fails_with_2_to_the_32,
                                                         fails_with_a_negative, fails_with_0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct husk_err err = {0};
        struct guest guest;

        start(&guest, lives[i]);
        assert_failure(husk_sandbox_get(&guest.sandbox, "/a", "/tmp", 0, &err), -EIO, &err, "none");
        end(&guest);
        start(&guest, lives[i]);
        assert_failure(husk_sandbox_put(&guest.sandbox, "/proc/version", "/a", &err), -EIO, &err, "none");
        end(&guest);
        assert_int_equal(guest.type, AGENT_PUT);
    }
}

/* As root, /dev/null would be a file afterwards. */
static void what_is_no_file_is_not_copied(void **state)
{
    struct husk_err err = {0};
    struct guest guest;

    (void)state;
    start(&guest, breaks_off_the_job);
    assert_failure(husk_sandbox_get(&guest.sandbox, "/a", "/dev/null", 0, &err), -EEXIST, &err,
                   "neither a file nor a folder");
    assert_failure(husk_sandbox_get(&guest.sandbox, "/a", "/proc/self/exe", 0, &err), -EEXIST, &err,
                   "give what it points to");
    assert_failure(husk_sandbox_put(&guest.sandbox, "/dev/null", "/a", &err), -EOPNOTSUPP, &err,
                   "cannot copy \"null\"");
    end(&guest);
}

static void copies_may_break_off(void **state)
{
    struct husk_err err = {0};
    struct guest guest;

    (void)state;
    start(&guest, breaks_off_the_job);
    assert_failure(husk_sandbox_get(&guest.sandbox, "/a", "/tmp", 0, &err), -ESHUTDOWN, &err, "ended");
    end(&guest);
    short_deadlines = true;
    start(&guest, is_silent);
    assert_failure(husk_sandbox_get(&guest.sandbox, "/a", "/tmp", 0, &err), -ETIMEDOUT, &err,
                   "does not answer");
    end(&guest);
    assert_failure(husk_sandbox_put(&guest.sandbox, "/nonexistent", "/a", &err), -ENOENT, &err,
                   "/nonexistent");
    assert_failure(husk_sandbox_put(&guest.sandbox, "", "/a", &err), -EINVAL, &err, "empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_a_file),
        cmocka_unit_test(a_file_is_called_as_it_was_asked_for),
        cmocka_unit_test(a_failure_is_one),
        cmocka_unit_test(what_is_no_file_is_not_copied),
        cmocka_unit_test(copies_may_break_off),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
