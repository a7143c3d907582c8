/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include "status.h"
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Between a timeout's SIGTERM and the end of the machine. */
#define KILL_AFTER_MS 2000

struct run {
    struct job *job;
    struct husk_process *process;
    struct terminal terminal;
    int64_t deadline;   /* CLOCK_MONOTONIC ms; negative: none */
    bool timed_out;
    int killed_by;      /* the second signal; 0: none */
    unsigned signals;   /* that asked it to end */
};

int job_signals(void)
{
    static const int served[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction action;
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
        if (sigaction(served[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, served[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int job_ending_signals(void)
{
    sigset_t ending;

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGQUIT);
    return signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
}

void job_release_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

static void pass_window_size(struct run *run)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        husk_process_resize(run->process, size.ws_col, size.ws_row);
}

/* The first is the command's to deal with; who insists ends the machine. False: end it. */
static bool serve_signal(struct run *run)
{
    struct signalfd_siginfo info;

    if (read(run->job->signal_fd, &info, sizeof info) != sizeof info)
        return true;
    if (info.ssi_signo == SIGWINCH) {
        pass_window_size(run);
        return true;
    }
    if (info.ssi_signo != SIGUSR1 && info.ssi_signo != SIGUSR2 && run->signals++ > 0) {
        run->killed_by = (int)info.ssi_signo;
        return false;
    }
    husk_process_signal(run->process, (int)info.ssi_signo);
    return true;
}

/* False: the command did not end when it was asked to. */
static bool serve_deadline(struct run *run)
{
    if (run->timed_out)
        return false;
    run->timed_out = true;
    run->deadline = now_ms() + KILL_AFTER_MS;
    husk_process_signal(run->process, SIGTERM);
    husk_process_signal(run->process, SIGCONT);
    return true;
}

/* True: the command has exited, or the sandbox is gone; false: give both up. */
static bool await(struct run *run)
{
    struct pollfd sources[] = {
        {.fd = husk_process_event_fd(run->process), .events = POLLIN},
        {.fd = run->job->signal_fd, .events = POLLIN},
    };

    for (;;) {
        int64_t left = run->deadline < 0 ? -1 : run->deadline - now_ms();
        int ready = 0;

        if (run->deadline < 0 || left > 0)
            ready = poll(sources, 2, left > 1000000 ? 1000000 : (int)left);
        if (ready < 0)
            continue;
        if (sources[0].revents && ready > 0)
            return true;
        if (sources[1].revents && ready > 0 && !serve_signal(run))
            return false;
        if (run->deadline >= 0 && now_ms() >= run->deadline && !serve_deadline(run))
            return false;
    }
}

static int judge(struct run *run, bool ended)
{
    struct husk_exit result = {.size = sizeof result};
    struct husk_err err = {0};

    if (run->killed_by)
        return STATUS_SIGNAL + run->killed_by;
    if (run->timed_out) {
        fprintf(stderr, "husk: the command did not end in time\n");
        return STATUS_TIMEOUT;
    }
    if (!ended || husk_process_wait(run->process, 0, &result, &err)) {
        fprintf(stderr, "husk: %s\n", err.message);
        return STATUS_SANDBOX;
    }
    if (result.message[0])
        fprintf(stderr, "husk: %s: %s\n", run->job->command.arguments[0], result.message);
    return result.status;
}

int job_run(struct job *job)
{
    struct run run = {.job = job, .terminal = {.fd = -1}, .deadline = -1};
    struct husk_err err = {0};
    struct winsize size;
    bool ended;
    int status;

    if (job->command.terminal) {
        terminal_open(&run.terminal, STDIN_FILENO);
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
            job->command.columns = size.ws_col;
            job->command.rows = size.ws_row;
        }
    }
    if (husk_sandbox_exec(job->sandbox, &job->command, &run.process, &err)) {
        fprintf(stderr, "husk: %s\n", err.message);
        terminal_close(&run.terminal);
        return STATUS_SANDBOX;
    }
    if (job->timeout_ms >= 0)
        run.deadline = now_ms() + job->timeout_ms;
    terminal_enter(&run.terminal);
    ended = await(&run);
    job->given_up = !ended;
    if (!ended) /* the sandbox may go on, but not with it */
        husk_process_signal(run.process, SIGKILL);
    terminal_leave(&run.terminal);
    status = judge(&run, ended);
    husk_process_destroy(run.process);
    terminal_close(&run.terminal);
    return status;
}
