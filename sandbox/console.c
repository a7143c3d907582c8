/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/console.h"

#include "agent/protocol.h"
#include "core/thread.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)64 * 1024)
#define TAIL_SIZE 4096u
#define LINES_SHOWN 12u

struct console_tail {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    char text[TAIL_SIZE]; /* a ring */
    size_t written;       /* bytes so far */
};

static void keep(struct console_tail *tail, const char *text, size_t size)
{
    pthread_mutex_lock(&tail->lock);
    for (size_t i = 0; i < size; i++)
        if (text[i] != '\r')
            tail->text[tail->written++ % TAIL_SIZE] = text[i];
    pthread_mutex_unlock(&tail->lock);
}

static void *listen_on(void *argument)
{
    struct console_tail *tail = argument;
    char text[1024];
    ssize_t size;

    while ((size = read(tail->fd, text, sizeof text)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            keep(tail, text, (size_t)size);
    return NULL;
}

int console_tail_open(struct console_tail **out, int *fd, struct husk_err *err)
{
    struct console_tail *tail = calloc(1, sizeof *tail);
    int ends[2], rc;

    if (!tail)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make a pipe");
        free(tail);
        return rc;
    }
    tail->fd = ends[0];
    pthread_mutex_init(&tail->lock, NULL);
    rc = thread_start(&tail->thread, STACK_SIZE, listen_on, tail);
    if (rc) {
        close(ends[0]);
        close(ends[1]);
        pthread_mutex_destroy(&tail->lock);
        free(tail);
        return fail_sys(err, HUSK_ERR_HOST, rc, "cannot make a thread");
    }
    *out = tail;
    *fd = ends[1];
    return 0;
}

/* A copy of the ring, as a string of whole lines without control characters. */
static void copy(struct console_tail *tail, char text[TAIL_SIZE + 1])
{
    size_t size, first;

    pthread_mutex_lock(&tail->lock);
    size = tail->written < TAIL_SIZE ? tail->written : TAIL_SIZE;
    first = tail->written - size;
    for (size_t i = 0; i < size; i++) {
        char c = tail->text[(first + i) % TAIL_SIZE];

        text[i] = c == '\n' || (c >= ' ' && c < 0x7f) ? c : ' ';
    }
    pthread_mutex_unlock(&tail->lock);
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' '))
        size--;
    text[size] = '\0';
}

void console_tail_show(struct console_tail *tail, const struct husk_log *log, char line[160])
{
    char text[TAIL_SIZE + 1] = "", *start, *next;
    unsigned lines = 0;

    copy(tail, text);
    start = text + strlen(text);
    while (start > text && lines < LINES_SHOWN)
        if (*--start == '\n')
            lines++;
    if (*start == '\n')
        start++;
    line[0] = '\0';
    for (; start && *start; start = next) {
        next = strchr(start, '\n');
        if (next)
            *next++ = '\0';
        if (!strstr(line, AGENT_SAYS)) /* the reason; what follows it is how the machine ends */
            snprintf(line, 160, "%s", start);
        if (log && log->level >= HUSK_LOG_ERROR) {
            char shown[256];

            snprintf(shown, sizeof shown, "guest: %.240s", start);
            log->line(log->context, HUSK_LOG_ERROR, shown);
        }
    }
}

void console_tail_close(struct console_tail *tail)
{
    if (!tail)
        return;
    pthread_join(tail->thread, NULL);
    close(tail->fd);
    pthread_mutex_destroy(&tail->lock);
    free(tail);
}
