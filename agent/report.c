/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "agent/vsock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 512
#define LOG_LINE_MAX (TEXT_MAX + 32)

static void send_text(struct report *report, enum agent_frame type, const char *text, int code)
{
    struct fields fields = {0};

    if (report->fd < 0)
        return;
    fields_add(&fields, "text", text);
    if (code)
        fields_add_number(&fields, "code", (uint64_t)code);
    frame_send(report->fd, type, &fields);
    fields_release(&fields);
}

void report_connect(struct report *report)
{
    int fd = vsock_connect(AGENT_REPORT_PORT);

    if (fd < 0)
        report_failure(report, -fd, "cannot reach the host by vsock");
    report->fd = fd;
}

void report_stage(struct report *report, const char *stage)
{
    send_text(report, AGENT_STAGE, stage, 0);
}

void report_ready(struct report *report)
{
    frame_send(report->fd, AGENT_READY, NULL);
    close(report->fd);
    report->fd = -1;
}

/*
 * Nobody but the kernel's log can be told, which the host has the last lines of. One write() is one
 * record of it; a stream of libc's does not accept that it cannot be sought in.
 */
static void write_log(const char *text)
{
    int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    char line[LOG_LINE_MAX];
    int size = snprintf(line, sizeof line, "<2>" AGENT_SAYS "%s\n", text);

    if (write(log < 0 ? STDERR_FILENO : log, line, (size_t)size) < 0)
        return; /* the machine's end says enough */
}

void report_failure(struct report *report, int code, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    int size;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size = (int)strlen(text);
    if (code)
        snprintf(text + size, sizeof text - (size_t)size, ": %s", strerror(code));
    if (report->fd >= 0) {
        char end;

        send_text(report, AGENT_FAILED, text, code);
        shutdown(report->fd, SHUT_WR);
        while (read(report->fd, &end, 1) > 0) /* until the host has it and closes */
            ;
    } else {
        write_log(text);
    }
    reboot(RB_POWER_OFF);
    _exit(1);
}
