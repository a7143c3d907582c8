/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process serves one command: it makes the streams, starts the command in a session of its
 * own, and then moves bytes, passes on signals, and waits, all in one poll loop.
 */
#include "agent/command.h"

#include "agent/account.h"
#include "agent/protocol.h"
#include "agent/pump.h"
#include "agent/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/jobs"
#define PROCESSES_KEPT 64L /* of the kernel's threads, for the agent */

enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

struct command {
    char **arguments;   /* NULL behind the last, as of the environment */
    char **environment;
    const char *folder;
    struct account account;
    bool terminal;
    struct winsize window;
    unsigned streams; /* bits */

    int control;
    int sockets[AGENT_STREAMS]; /* to the host; -1: none */
    int ours[AGENT_STREAMS];    /* the agent's ends of pipes; on a terminal its master */
    int theirs[AGENT_STREAMS];  /* the command's ends */
    struct pump pumps[AGENT_STREAMS];
    struct frame_reader reader;
    pid_t pid;
    int pidfd;
    bool exited;
    int status; /* as waitpid() gives it */
};

/* What a child that cannot execute its program writes to its parent. */
struct exec_failure {
    int status;
    int code; /* errno */
    char what[32];
};

static void refuse(int control, int status, int code, const char *text)
{
    struct fields fields = {0};

    fields_add_number(&fields, "status", (uint64_t)status);
    fields_add_number(&fields, "code", (uint64_t)code);
    fields_add(&fields, "text", text);
    frame_send(control, AGENT_FAILED, &fields);
    fields_release(&fields);
}

/* --- what is asked for --- */

/* The values of a key, and room for `more`, as an array that ends in NULL. */
static char **collect(const struct frame_reader *job, const char *key, size_t more)
{
    size_t count = 0, at = 0;
    const char *text;
    char **array;

    while (field_next(job->payload, job->header.size, key, &at))
        count++;
    array = calloc(count + more + 1, sizeof *array);
    at = count = 0;
    while (array && (text = field_next(job->payload, job->header.size, key, &at)))
        array[count++] = (char *)(uintptr_t)text;
    return array;
}

static bool has_variable(char **environment, const char *name)
{
    size_t size = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return true;
    return false;
}

static void add_default(char **environment, const char *name, const char *value)
{
    char *text = NULL;

    if (has_variable(environment, name) || asprintf(&text, "%s=%s", name, value) < 0)
        return;
    while (*environment)
        environment++;
    *environment = text;
}

/* What a login gives, where the host has not said otherwise. */
static void complete_environment(struct command *command)
{
    add_default(command->environment, "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add_default(command->environment, "HOME", command->account.home);
    if (command->account.name[0])
        add_default(command->environment, "USER", command->account.name);
    if (command->terminal)
        add_default(command->environment, "TERM", "linux");
}

static bool understand(struct command *command, const struct frame_reader *job)
{
    const char *user = frame_field(job, "user");
    uint64_t streams = 0, terminal = 0, columns = 0, rows = 0;

    command->arguments = collect(job, "argument", 0);
    command->environment = collect(job, "environment", 4);
    command->folder = frame_field(job, "folder");
    frame_number(job, "streams", (1u << AGENT_STREAMS) - 1, &streams);
    frame_number(job, "terminal", 1, &terminal);
    frame_number(job, "columns", UINT16_MAX, &columns);
    frame_number(job, "rows", UINT16_MAX, &rows);
    command->streams = (unsigned)streams;
    command->terminal = terminal;
    command->window = (struct winsize){.ws_col = (uint16_t)columns, .ws_row = (uint16_t)rows};
    if (!command->arguments || !command->environment || !command->arguments[0]) {
        refuse(command->control, STATUS_FAILED, EINVAL, "there is no command");
        return false;
    }
    if (account_find(&command->account, user)) {
        refuse(command->control, STATUS_FAILED, ENOENT, "the sandbox has no such user or group");
        return false;
    }
    complete_environment(command);
    return true;
}

/* --- streams --- */

/* The next connection, or that the host has gone meanwhile. */
static int accept_stream(const struct command *command, int listener)
{
    struct pollfd sources[] = {
        {.fd = listener, .events = POLLIN}, {.fd = command->control, .events = POLLIN}};

    while (poll(sources, 2, -1) < 0)
        ;
    return sources[0].revents ? vsock_accept(listener) : -ECONNRESET;
}

/* Waits for the host's connections; it makes them all at once. */
static int accept_streams(struct command *command)
{
    struct fields fields = {0};
    uint32_t port = 0;
    int listener = vsock_listen(&port), rc = listener < 0 ? listener : 0;

    fields_add_number(&fields, "port", port);
    rc = rc ?: frame_send(command->control, AGENT_LISTENING, &fields);
    fields_release(&fields);
    for (unsigned missing = command->streams; missing && rc == 0;) {
        struct frame_reader reader = {.limit = AGENT_FRAME_MAX};
        int fd = accept_stream(command, listener);
        uint64_t number;

        if (fd >= 0 && frame_reader_read(&reader, fd) == 1 && reader.header.type == AGENT_STREAM &&
            frame_number(&reader, "number", AGENT_STREAMS - 1, &number) && missing >> number & 1) {
            command->sockets[number] = fd;
            missing &= ~(1u << number);
        } else {
            rc = -EPROTO;
        }
        frame_reader_release(&reader);
    }
    if (listener >= 0)
        close(listener);
    return rc;
}

static int make_terminal(struct command *command)
{
    int master, slave;

    if (openpty(&master, &slave, NULL, NULL, &command->window) < 0)
        return -errno;
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    if (fchown(slave, command->account.uid, (gid_t)-1) < 0)
        return -errno;
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        command->theirs[i] = slave;
    command->ours[AGENT_STDIN] = command->ours[AGENT_STDOUT] = master;
    command->sockets[AGENT_STDOUT] = command->sockets[AGENT_STDIN];
    return 0;
}

/* A stream that the host does not want is /dev/null. */
static int make_pipe(struct command *command, unsigned stream)
{
    bool in = stream == AGENT_STDIN;
    int ends[2];

    if (command->sockets[stream] < 0) {
        command->theirs[stream] = open("/dev/null", O_RDWR | O_CLOEXEC);
        return command->theirs[stream] < 0 ? -errno : 0;
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    command->theirs[stream] = ends[in ? 0 : 1];
    command->ours[stream] = ends[in ? 1 : 0];
    return fchown(command->theirs[stream], command->account.uid, command->account.gid) < 0 ? -errno
                                                                                         : 0;
}

static int open_pump(struct command *command, unsigned stream)
{
    int ours = command->ours[stream], socket = command->sockets[stream];

    if (ours < 0 || socket < 0)
        return 0;
    fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
    fcntl(ours, F_SETFD, FD_CLOEXEC);
    if (stream == AGENT_STDIN)
        return pump_open(&command->pumps[stream], socket, ours);
    return pump_open(&command->pumps[stream], ours, socket);
}

static int make_streams(struct command *command)
{
    int rc = 0;

    if (command->terminal)
        rc = make_terminal(command);
    for (unsigned i = 0; i < AGENT_STREAMS && rc == 0; i++) {
        if (!command->terminal)
            rc = make_pipe(command, i);
        rc = rc ?: open_pump(command, i);
    }
    return rc;
}

/* --- starting it --- */

static void join_cgroup(void)
{
    int fd = open(CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dprintf(fd, "0\n");
        close(fd);
    }
}

/* The agent is what the kernel must not choose when memory is short; its commands are. */
static void set_oom_score(const char *score)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dprintf(fd, "%s\n", score);
        close(fd);
    }
}

static bool become_user(const struct account *account)
{
    return setgroups((size_t)account->group_count, account->groups) == 0 &&
           setgid(account->gid) == 0 && setuid(account->uid) == 0;
}

static struct exec_failure execute(const struct command *command)
{
    const char *folder = command->folder ? command->folder : command->account.home;
    sigset_t none;

    sigemptyset(&none);
    join_cgroup();
    set_oom_score("0");
    setpriority(PRIO_PROCESS, 0, 0);
    setsid();
    if (command->terminal)
        ioctl(command->theirs[AGENT_STDIN], TIOCSCTTY, 0);
    for (int i = 0; i < AGENT_STREAMS; i++)
        if (dup2(command->theirs[i], i) < 0)
            return (struct exec_failure){STATUS_FAILED, errno, "cannot set up streams"};
    if (!become_user(&command->account))
        return (struct exec_failure){STATUS_FAILED, errno, "cannot become the user"};
    if (chdir(folder) < 0 && (command->folder || chdir("/") < 0))
        return (struct exec_failure){STATUS_FAILED, errno, "cannot enter the folder"};
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = command->environment;
    execvp(command->arguments[0], command->arguments);
    return (struct exec_failure){errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE, errno,
                                 "cannot execute it"};
}

/* Returns whether the command runs; if not, the host is told. */
static bool start(struct command *command)
{
    struct exec_failure failure;
    int ends[2];
    bool failed;

    if (pipe2(ends, O_CLOEXEC) < 0 || (command->pid = fork()) < 0) {
        refuse(command->control, STATUS_FAILED, errno, "cannot make a process");
        return false;
    }
    if (command->pid == 0) {
        failure = execute(command);
        _exit(write(ends[1], &failure, sizeof failure) == sizeof failure ? 0 : 1);
    }
    close(ends[1]);
    failed = read(ends[0], &failure, sizeof failure) == sizeof failure;
    close(ends[0]);
    if (failed) {
        waitpid(command->pid, NULL, 0);
        refuse(command->control, failure.status, failure.code, failure.what);
    }
    return !failed;
}

static void close_theirs(struct command *command)
{
    for (unsigned i = 0; i < (command->terminal ? 1 : AGENT_STREAMS); i++)
        close(command->theirs[i]);
}

/* --- its life --- */

static void serve_frame(struct command *command)
{
    uint64_t number, columns, rows;

    if (command->reader.header.type == AGENT_SIGNAL &&
        frame_number(&command->reader, "number", NSIG - 1, &number)) {
        kill(-command->pid, (int)number);
    } else if (command->reader.header.type == AGENT_WINDOW &&
               frame_number(&command->reader, "columns", UINT16_MAX, &columns) &&
               frame_number(&command->reader, "rows", UINT16_MAX, &rows) && command->terminal) {
        const struct winsize window = {.ws_col = (uint16_t)columns, .ws_row = (uint16_t)rows};

        ioctl(command->ours[AGENT_STDIN], TIOCSWINSZ, &window);
    }
}

/* A host that has gone is a terminal that hangs up. */
static void serve_control(struct command *command)
{
    int rc;

    while ((rc = frame_reader_read(&command->reader, command->control)) == 1)
        serve_frame(command);
    if (rc < 0) {
        kill(-command->pid, SIGHUP);
        kill(-command->pid, SIGCONT);
        close(command->control);
        command->control = -1;
    }
}

/* The target has taken all, or takes no more. */
static void end_pump(struct command *command, unsigned stream)
{
    static const char end_of_file = 4; /* a terminal's, Ctrl-D */
    bool in = stream == AGENT_STDIN;

    pump_close(&command->pumps[stream]);
    if (command->terminal && in) {
        if (write(command->ours[stream], &end_of_file, 1) < 0)
            return;
    } else if (in) {
        close(command->ours[stream]);
        shutdown(command->sockets[stream], SHUT_RD);
    } else {
        shutdown(command->sockets[stream], command->terminal ? SHUT_RDWR : SHUT_WR);
        if (!command->terminal)
            close(command->ours[stream]); /* a command that goes on writing hears of it */
    }
}

static void note_exit(struct command *command)
{
    if (waitpid(command->pid, &command->status, WNOHANG) != command->pid)
        return;
    command->exited = true;
}

static bool is_open(const struct command *command, unsigned stream)
{
    return command->pumps[stream].from >= 0;
}

/* What a command's children hold open is not waited for, only what has been written. */
static bool is_done(struct command *command)
{
    if (!command->exited)
        return false;
    for (unsigned i = AGENT_STDOUT; i < AGENT_STREAMS; i++)
        if (is_open(command, i)) {
            pump_finish(&command->pumps[i]);
            if (!command->pumps[i].source_ended || command->pumps[i].start < command->pumps[i].end)
                return false;
            end_pump(command, i);
        }
    return true;
}

static void live(struct command *command)
{
    enum { CONTROL, EXIT, PUMPS, SOURCES = PUMPS + 2 * AGENT_STREAMS };
    struct pollfd sources[SOURCES];

    while (!is_done(command)) {
        sources[CONTROL] = (struct pollfd){.fd = command->control, .events = POLLIN};
        sources[EXIT] = (struct pollfd){
            .fd = command->exited ? -1 : command->pidfd, .events = POLLIN};
        for (unsigned i = 0; i < AGENT_STREAMS; i++)
            pump_poll(&command->pumps[i], &sources[PUMPS + 2 * i]);
        if (poll(sources, SOURCES, -1) < 0)
            continue;
        if (sources[CONTROL].revents)
            serve_control(command);
        for (unsigned i = 0; i < AGENT_STREAMS; i++)
            if (is_open(command, i) &&
                pump_move(&command->pumps[i], &sources[PUMPS + 2 * i]) != PUMP_RUNS)
                end_pump(command, i);
        if (sources[EXIT].revents)
            note_exit(command);
    }
}

static void tell_exit(const struct command *command)
{
    struct fields fields = {0};

    if (WIFSIGNALED(command->status))
        fields_add_number(&fields, "signal", (uint64_t)WTERMSIG(command->status));
    else
        fields_add_number(&fields, "status", (uint64_t)WEXITSTATUS(command->status));
    frame_send(command->control, AGENT_EXITED, &fields);
    fields_release(&fields);
}

static void run(struct command *command)
{
    int rc = accept_streams(command);

    rc = rc ?: make_streams(command);
    if (rc) {
        refuse(command->control, STATUS_FAILED, -rc, "cannot make the command's streams");
        return;
    }
    if (!start(command))
        return;
    close_theirs(command);
    command->pidfd = (int)syscall(SYS_pidfd_open, command->pid, 0);
    frame_send(command->control, AGENT_STARTED, NULL);
    live(command);
    if (command->control >= 0)
        tell_exit(command);
}

void command_serve(int control, const struct frame_reader *job)
{
    struct command command = {.control = control, .reader = {.limit = AGENT_FRAME_MAX,
                                                           .flags = MSG_DONTWAIT}};

    for (unsigned i = 0; i < AGENT_STREAMS; i++) {
        command.sockets[i] = command.ours[i] = command.theirs[i] = -1;
        command.pumps[i] = (struct pump)PUMP_CLOSED;
    }
    if (understand(&command, job))
        run(&command);
    free(command.arguments);
    free(command.environment);
}

/* --- room for the agent --- */

static void write_number(const char *path, long number)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dprintf(fd, "%ld\n", number);
        close(fd);
    }
}

static long read_number(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        close(fd);
    }
    return strtol(text, NULL, 10);
}

/* A kernel without these controllers does without; then a command can take all that there is. */
void command_prepare(void)
{
    int fd = open("/sys/fs/cgroup/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
    long threads = read_number("/proc/sys/kernel/threads-max");

    if (fd >= 0) {
        dprintf(fd, "+pids\n");
        close(fd);
    }
    mkdir(CGROUP, 0755);
    if (threads > 2 * PROCESSES_KEPT)
        write_number(CGROUP "/pids.max", threads - PROCESSES_KEPT);
    set_oom_score("-1000");
    setpriority(PRIO_PROCESS, 0, -20);
}
