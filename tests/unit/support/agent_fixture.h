/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox whose guest is a thread of the test: it speaks as the bridge of vsock and as the agent, or
 * as one that lies. The deadlines of sockets are the test's, which is linked with
 * --wrap=setsockopt for that. Of one test alone: it has state and functions.
 */
#ifndef HUSK_TESTS_AGENT_FIXTURE_H
#define HUSK_TESTS_AGENT_FIXTURE_H

#include "sandbox/sandbox.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT 77u
#define DEADLINE_MS 100

/* What takes 20 s is over in a moment. */
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);

static bool short_deadlines;

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    const struct timeval *given = value, soon = {.tv_usec = DEADLINE_MS * 1000};

    if (short_deadlines && level == SOL_SOCKET && name == SO_RCVTIMEO && given->tv_sec > 0)
        value = &soon;
    return __real_setsockopt(fd, level, name, value, size);
}

/* --- the guest --- */

struct guest;

struct guest {
    struct scratch scratch;
    struct husk_sandbox sandbox;
    int listener;
    pthread_t thread;
    void (*live)(struct guest *guest);
    int control; /* what the agent has of the job */
    int streams[AGENT_STREAMS];
    uint32_t type;
    char argument[64];
    int signal; /* that has been asked for */
};

/* What a bridge does with a connection; the guest's end, or -1. */
static inline int accept_as(struct guest *guest, uint32_t port, const char *answer)
{
    char line[32] = "", expected[32];
    int fd = accept4(guest->listener, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 0; i < sizeof line - 1 && !strchr(line, '\n'); i++)
        if (frame_receive_bytes(fd, line + i, 1))
            break;
    snprintf(expected, sizeof expected, "CONNECT %u\n", port);
    assert_string_equal(line, expected);
    frame_send_bytes(fd, answer, strlen(answer));
    return fd;
}

static inline void take_job(struct guest *guest)
{
    struct frame_reader job = {.limit = AGENT_JOB_MAX};
    const char *argument;

    guest->control = accept_as(guest, AGENT_PORT, "OK 1\n");
    if (frame_reader_read(&job, guest->control) == 1) {
        guest->type = job.header.type;
        argument = frame_field(&job, job.header.type == AGENT_EXEC ? "argument" : "path");
        snprintf(guest->argument, sizeof guest->argument, "%s", argument ? argument : "");
    }
    frame_reader_release(&job);
}

static inline void send_number(int fd, uint32_t type, const char *key, uint64_t number)
{
    struct fields fields = {0};

    fields_add_number(&fields, key, number);
    frame_send(fd, type, &fields);
    fields_release(&fields);
}

static inline void send_failed(int fd, const char *status, const char *code, const char *text)
{
    struct fields fields = {0};

    fields_add(&fields, "status", status);
    fields_add(&fields, "code", code);
    fields_add(&fields, "text", text);
    frame_send(fd, AGENT_FAILED, &fields);
    fields_release(&fields);
}

static inline void connect_streams(struct guest *guest, unsigned count)
{
    int fds[AGENT_STREAMS];

    send_number(guest->control, AGENT_LISTENING, "port", PORT);
    for (unsigned i = 0; i < count; i++)
        fds[i] = accept_as(guest, PORT, "OK 2\n");
    for (unsigned i = 0; i < count; i++) {
        struct frame_reader reader = {.limit = AGENT_FRAME_MAX};
        uint64_t number = 0;

        if (frame_reader_read(&reader, fds[i]) == 1 &&
            frame_number(&reader, "number", AGENT_STREAMS - 1, &number))
            guest->streams[number] = fds[i];
        else
            close(fds[i]);
        frame_reader_release(&reader);
    }
}

static inline void take_streams(struct guest *guest, unsigned count)
{
    connect_streams(guest, count);
    frame_send(guest->control, AGENT_STARTED, NULL);
}

static inline void close_all(struct guest *guest)
{
    for (unsigned i = 0; i < AGENT_STREAMS; i++) {
        if (guest->streams[i] >= 0)
            close(guest->streams[i]);
        guest->streams[i] = -1;
    }
    if (guest->control >= 0)
        close(guest->control);
    guest->control = -1;
}

/* Until the host closes. */
static inline void await_end(int fd)
{
    char bytes[256];

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
}

static inline void *live(void *argument)
{
    struct guest *guest = argument;

    guest->live(guest);
    close_all(guest);
    return NULL;
}

static inline void start(struct guest *guest, void (*life)(struct guest *guest))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memset(guest, 0, sizeof *guest);
    scratch_open(&guest->scratch);
    guest->live = life;
    guest->control = -1;
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        guest->streams[i] = -1;
    snprintf(guest->sandbox.socket, sizeof guest->sandbox.socket, "%s/vsock", guest->scratch.folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", guest->sandbox.socket);
    guest->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(guest->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(guest->listener, 8), 0);
    assert_int_equal(pthread_create(&guest->thread, NULL, live, guest), 0);
}

static inline void end(struct guest *guest)
{
    pthread_join(guest->thread, NULL);
    close(guest->listener);
    scratch_close(&guest->scratch);
    short_deadlines = false;
}

/* --- lives --- */

static inline void is_silent(struct guest *guest)
{
    take_job(guest);
    await_end(guest->control);
}

static inline void breaks_off_the_job(struct guest *guest)
{
    take_job(guest);
}

#endif
