/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run.h"

#include "sandbox/clock.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LOOKED_MS 100 /* between looks at whether it is given up */

int run_start(struct run *run, const char *program, const char *const *arguments, int inherited,
              struct husk_err *err)
{
    struct err inner = {0};
    int ends[2], rc;

    *run = (struct run){.child = CHILD_NONE, .said = -1};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot run %s", program);
    rc = child_start(&run->child, &(struct child_command){
        .program = program,
        .arguments = arguments,
        .descriptors = (const int[]){-1, ends[1], ends[1], inherited},
        .descriptor_count = inherited < 0 ? 3 : 4,
    }, &inner);
    close(ends[1]);
    run->said = ends[0];
    if (rc == 0)
        return 0;
    close(ends[0]);
    return fail(err, HUSK_ERR_HOST, rc, "%s", inner.message);
}

/* Keeps the last line that is not empty. */
static void hear(struct run *run, const char *text, size_t size)
{
    size_t length = strlen(run->line);

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            length = 0;
        else if (length < sizeof run->line - 1)
            run->line[length++] = text[i];
        if (length > 0)
            run->line[length] = '\0';
    }
}

static int reap(struct run *run, struct husk_err *err)
{
    int status = child_wait(&run->child);

    close(run->said);
    if (status == 0)
        return 1;
    if (status < 0)
        return fail(err, HUSK_ERR_HOST, status, CHILD_LOST);
    return fail(err, HUSK_ERR_HOST, -EIO, "it failed (status %d): %s", status, run->line);
}

int run_wait(struct run *run, int ms, struct husk_err *err)
{
    struct pollfd said = {.fd = run->said, .events = POLLIN};
    char text[512];
    ssize_t size;
    int ready;

    while ((ready = poll(&said, 1, ms)) > 0) {
        size = read(run->said, text, sizeof text);
        if (size <= 0)
            return reap(run, err);
        hear(run, text, (size_t)size);
    }
    return ready < 0 && errno != EINTR ? -errno : 0;
}

bool is_canceled(int cancel_fd, int ms)
{
    struct pollfd source = {.fd = cancel_fd, .events = POLLIN};

    return poll(&source, 1, ms) > 0;
}

int run_finish(struct run *run, int cancel_fd, uint32_t timeout, struct husk_err *err)
{
    int64_t deadline = clock_ms() + timeout;
    int rc;

    do {
        if (is_canceled(cancel_fd, 0))
            rc = fail(err, HUSK_ERR_INPUT, -ECANCELED, "given up");
        else if (clock_ms() >= deadline)
            rc = fail(err, HUSK_ERR_HOST, -ETIMEDOUT, "it took longer than %" PRIu32 " s; give a "
                      "longer --start-timeout", timeout / 1000);
        else
            rc = run_wait(run, LOOKED_MS, err);
    } while (rc == 0);
    if (rc < 0)
        run_abort(run);
    return rc < 0 ? rc : 0;
}

void run_abort(struct run *run)
{
    if (run->child.pidfd < 0)
        return;
    child_end(&run->child);
    close(run->said);
}
