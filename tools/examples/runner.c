/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk-runner: a job queue in which every job has a machine of its own. A program on libhusk and libc
 * alone, to use and to learn from:
 *
 *     cc runner.c -o husk-runner $(pkg-config --cflags --libs libhusk) -pthread
 *
 * Each worker is a thread that takes the next job, starts a sandbox, runs the job in it, and destroys
 * it. The main thread waits for the workers and for signals, which it makes known by an event
 * descriptor that everything polls: so a sandbox that is starting is given up, and a job is ended.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "husk.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 256
#define ALLOWS_MAX 64
#define NAME_SIZE 65         /* of a job, with the zero */
#define GRACE_MS 2000        /* between a job's SIGTERM and the end of its machine */
#define REPORTED_SIZE 65536L /* of an output's end, in the report */
#define OUTPUT_DEFAULT (UINT64_C(1) << 30)
#define EXIT_USAGE 125 /* ours; of a command: libhusk has ended it, or could not run it */

static const char help[] =
    "Usage: husk-runner [OPTIONS] [JOBS]\n"
    "\n"
    "Runs the jobs that the file JOBS lists (default: standard input), each in a machine of its own\n"
    "with a kernel of its own. A line is a job:\n"
    "\n"
    "  NAME<TAB>COMMAND           a name of letters, digits and . _ -, and a line for sh\n"
    "  NAME@SECONDS<TAB>COMMAND   the same, with a timeout of its own\n"
    "\n"
    "Empty lines and lines that begin with # are skipped. What a job writes outside of its output is\n"
    "gone with its machine. The outputs of a job are in NAME.out and NAME.err.\n"
    "\n"
    "  -j, --jobs N         machines at a time (default 2)\n"
    "  -l, --logs DIR       where the outputs go (default: logs), made if it is not there\n"
    "      --junit FILE     write a report as JUnit XML, with the end of each output\n"
    "  -t, --timeout SECONDS\n"
    "                       for jobs without one of their own (default: none)\n"
    "      --max-output SIZE\n"
    "                       a job that writes more is ended, and broken (default 1G)\n"
    "      --kernel FILE    the machines' kernel (default: the one that this host runs)\n"
    "      --root PATH      what jobs see as /: a folder, or an image of a file system (default: this\n"
    "                       host's own); it is only read\n"
    "      --cpus N         processors of a machine (default 1)\n"
    "      --memory SIZE    memory of a machine (default 1G)\n"
    "      --allow RULE     give the machines a network that reaches RULE: CIDR, NAME or *.NAME, with\n"
    "                       :PORT if only that; can be repeated (default: no network)\n"
    "  -q, --quiet          print the summary only\n"
    "  -h, --help           this text\n"
    "\n"
    "SIGINT, SIGTERM and SIGHUP end the jobs that run, and no more are started.\n"
    "\n"
    "Exit status: 0 all jobs passed, 1 some did not, or the report cannot be written,\n"
    "125 nothing was run.\n"
    "\n"
    "Example:\n"
    "  printf 'kernel\\tuname -r\\nslow@5\\tsleep 60\\n' | husk-runner --junit report.xml\n";

enum state { WAITING, STARTING, RUNNING, PASSED, FAILED, TIMED_OUT, BROKEN, CANCELLED, STATES };

static const char *const state_names[STATES] = {"waiting",   "starting", "running", "passed", "failed",
                                                "timed out", "broken",   "cancelled"};

struct job {
    char name[NAME_SIZE];
    char *command;
    unsigned timeout; /* s; 0: none */
    enum state state;
    int64_t started;   /* CLOCK_MONOTONIC ms; 0: it was not */
    int64_t ended;
    char message[512]; /* why it did not pass; else "" */
};

struct runner {
    struct husk_sandbox_config config; /* of every sandbox */
    const char *allows[ALLOWS_MAX];
    const char *list; /* NULL: standard input */
    const char *logs;
    const char *junit; /* or NULL */
    unsigned workers;
    unsigned timeout;
    uint64_t max_output; /* bytes of a job */
    bool quiet;

    struct job *jobs;
    size_t job_count;
    size_t next;          /* the first that no worker has taken */
    pthread_mutex_t lock; /* of next, and of what is printed */
    int cancel_fd;        /* polls readable once the jobs are to end */
    int done_fd;          /* counts the workers that have ended */
};

static int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

static bool complain(const char *subject, const char *what)
{
    fprintf(stderr, "husk-runner: %s: %s\n", subject, what);
    return false;
}

static bool is_readable(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

/* --- the list --- */

static bool parse_number(const char *text, unsigned limit, unsigned *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || value < 1 || value > limit)
        return false;
    *number = (unsigned)value;
    return true;
}

/* Names are names of files, too. */
static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(text);

    return size > 0 && size < NAME_SIZE && text[0] != '.' && strspn(text, letters) == size;
}

static bool is_taken(const struct runner *runner, const char *name)
{
    for (size_t i = 0; i < runner->job_count; i++)
        if (strcmp(runner->jobs[i].name, name) == 0)
            return true;
    return false;
}

/* What is wrong with the line; NULL: nothing. */
static const char *parse_job(const struct runner *runner, char *line, struct job *job)
{
    char *command = strchr(line, '\t'), *timeout;

    *job = (struct job){.timeout = runner->timeout};
    if (!command || !command[1])
        return "it is not NAME<TAB>COMMAND";
    *command++ = 0;
    timeout = strchr(line, '@');
    if (timeout)
        *timeout++ = 0;
    if (timeout && !parse_number(timeout, 1000000, &job->timeout))
        return "the timeout is not a number of seconds";
    if (!is_name(line))
        return "a name has up to 64 letters, digits and . _ -, and no . at the beginning";
    if (is_taken(runner, line))
        return "there is a job of this name";
    snprintf(job->name, sizeof job->name, "%s", line);
    job->command = strdup(command);
    return job->command ? NULL : "there is no memory";
}

static bool add_line(struct runner *runner, char *line, size_t size, unsigned number)
{
    const char *wrong;
    char subject[32];
    struct job *jobs;

    snprintf(subject, sizeof subject, "line %u", number);
    if (strlen(line) != size)
        return complain(subject, "it has a zero byte, and what is behind that would be lost");
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0 || line[0] == '#')
        return true;
    jobs = reallocarray(runner->jobs, runner->job_count + 1, sizeof *jobs);
    if (!jobs)
        return complain(subject, "there is no memory");
    runner->jobs = jobs;
    wrong = parse_job(runner, line, &jobs[runner->job_count]);
    if (wrong)
        return complain(subject, wrong);
    runner->job_count++;
    return true;
}

static bool read_jobs(struct runner *runner)
{
    FILE *file = runner->list ? fopen(runner->list, "re") : stdin;
    unsigned number = 0;
    bool good = true;
    const char *name = runner->list ? runner->list : "standard input";
    char *line = NULL;
    size_t room = 0;
    ssize_t size;

    if (!file)
        return complain(name, strerror(errno));
    while (good && (size = getline(&line, &room, file)) >= 0)
        good = add_line(runner, line, (size_t)size, ++number);
    if (good && ferror(file))
        good = complain(name, strerror(errno));
    if (good && runner->job_count == 0)
        good = complain(name, "there are no jobs in it");
    free(line);
    if (runner->list)
        fclose(file);
    return good;
}

/* --- a job --- */

/* Each worker changes its own job only. */
static void enter(struct runner *runner, struct job *job, enum state state)
{
    pthread_mutex_lock(&runner->lock);
    job->state = state;
    if (!runner->quiet)
        printf("%-9s  %s%s%s\n", state_names[state], job->name, job->message[0] ? ": " : "",
               job->message);
    fflush(stdout);
    pthread_mutex_unlock(&runner->lock);
}

static enum state explain(struct job *job, enum state state, const char *message)
{
    snprintf(job->message, sizeof job->message, "%s", message);
    return state;
}

static void log_path(const struct runner *runner, const struct job *job, const char *suffix,
                     char path[4096])
{
    snprintf(path, 4096, "%s/%s.%s", runner->logs, job->name, suffix);
}

static int open_log(const struct runner *runner, struct job *job, const char *suffix)
{
    char path[4096];
    int fd;

    log_path(runner, job, suffix, path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        snprintf(job->message, sizeof job->message, "cannot write %.250s: %s", path, strerror(errno));
    return fd;
}

/*
 * Until the job has exited, or has been asked to and does not. Returns what it was ended for: RUNNING
 * if it has ended by itself.
 */
static enum state await(const struct runner *runner, const struct job *job,
                        struct husk_process *process)
{
    int64_t deadline = job->timeout ? now_ms() + job->timeout * INT64_C(1000) : INT64_MAX;
    enum state cause = RUNNING;

    for (;;) {
        struct pollfd sources[] = {
            {.fd = husk_process_event_fd(process), .events = POLLIN},
            {.fd = cause == RUNNING ? runner->cancel_fd : -1, .events = POLLIN},
        };
        int64_t left = deadline - now_ms();

        if (poll(sources, 2, left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left) < 0)
            continue;
        if (sources[0].revents)
            return cause;
        if (!sources[1].revents && now_ms() < deadline)
            continue;
        if (cause != RUNNING)
            return cause;
        cause = sources[1].revents ? CANCELLED : TIMED_OUT;
        deadline = now_ms() + GRACE_MS;
        husk_process_signal(process, SIGTERM);
    }
}

static enum state judge(struct job *job, struct husk_process *process, enum state cause)
{
    struct husk_exit result = {.size = sizeof result};
    struct husk_err err;

    if (cause == CANCELLED)
        return explain(job, CANCELLED, "the runner was asked to end");
    if (cause == TIMED_OUT) {
        snprintf(job->message, sizeof job->message, "it ran for more than %u s", job->timeout);
        return TIMED_OUT;
    }
    if (husk_process_wait(process, 0, &result, &err))
        return explain(job, BROKEN, err.message);
    if (result.status == EXIT_USAGE && result.message[0]) /* it wrote too much, or the like */
        return explain(job, BROKEN, result.message);
    if (result.signal)
        snprintf(job->message, sizeof job->message, "killed by signal %d", result.signal);
    else if (result.status)
        snprintf(job->message, sizeof job->message, "exit status %d%s%.250s", result.status,
                 result.message[0] ? ": " : "", result.message);
    return result.status || result.signal ? FAILED : PASSED;
}

static enum state run_in(struct runner *runner, struct job *job, struct husk_sandbox *sandbox,
                         const int logs[2])
{
    const char *const arguments[] = {"/bin/sh", "-c", job->command, NULL};
    struct husk_process *process;
    struct husk_command command;
    struct husk_err err;
    enum state state;

    husk_command_init(&command);
    command.arguments = arguments;
    command.stdout_fd = logs[0];
    command.stderr_fd = logs[1];
    command.max_output = runner->max_output;
    enter(runner, job, RUNNING);
    if (husk_sandbox_exec(sandbox, &command, &process, &err))
        return explain(job, BROKEN, err.message);
    state = judge(job, process, await(runner, job, process));
    husk_process_destroy(process);
    return state;
}

static enum state run_with_logs(struct runner *runner, struct job *job, const int logs[2])
{
    struct husk_sandbox_config config = runner->config;
    struct husk_sandbox *sandbox;
    struct husk_err err;
    enum state state;

    if (logs[0] < 0 || logs[1] < 0)
        return BROKEN;
    config.command = job->command;
    config.cancel_fd = runner->cancel_fd;
    if (husk_sandbox_start(&config, NULL, &sandbox, &err))
        return explain(job, err.code == -ECANCELED ? CANCELLED : BROKEN, err.message);
    state = run_in(runner, job, sandbox, logs);
    husk_sandbox_destroy(sandbox);
    return state;
}

/* The logs come first, so that none of an earlier run are taken for this one's. */
static void run_job(struct runner *runner, struct job *job)
{
    int logs[] = {open_log(runner, job, "out"), open_log(runner, job, "err")};
    enum state state;

    job->started = now_ms();
    enter(runner, job, STARTING);
    state = run_with_logs(runner, job, logs);
    for (unsigned i = 0; i < 2; i++)
        if (logs[i] >= 0)
            close(logs[i]);
    job->ended = now_ms();
    enter(runner, job, state);
}

/* --- the workers --- */

static struct job *take(struct runner *runner)
{
    struct job *job = NULL;

    pthread_mutex_lock(&runner->lock);
    if (runner->next < runner->job_count && !is_readable(runner->cancel_fd))
        job = &runner->jobs[runner->next++];
    pthread_mutex_unlock(&runner->lock);
    return job;
}

static void *work(void *argument)
{
    struct runner *runner = argument;

    for (struct job *job; (job = take(runner));)
        run_job(runner, job);
    eventfd_write(runner->done_fd, 1);
    return NULL;
}

/* Until the workers have ended; a signal has them end soon. */
static void supervise(const struct runner *runner, unsigned workers, int signal_fd)
{
    while (workers > 0) {
        struct pollfd sources[] = {{.fd = runner->done_fd, .events = POLLIN},
                                   {.fd = signal_fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        eventfd_t ended;

        if (poll(sources, 2, -1) < 0)
            continue;
        if (sources[0].revents && eventfd_read(runner->done_fd, &ended) == 0)
            workers -= (unsigned)ended;
        if (sources[1].revents && read(signal_fd, &info, sizeof info) == sizeof info)
            eventfd_write(runner->cancel_fd, 1);
    }
}

/*
 * Threads inherit the mask, so signals reach nobody but the descriptor. Those that are ignored, as by
 * nohup, would reach that all the same, so they are not among them.
 */
static int take_signals(void)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
        if (sigaction(ending[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, ending[i]);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

static bool run_jobs(struct runner *runner)
{
    pthread_t threads[WORKERS_MAX];
    int signal_fd = take_signals();
    unsigned count = 0;

    runner->cancel_fd = eventfd(0, EFD_CLOEXEC);
    runner->done_fd = eventfd(0, EFD_CLOEXEC);
    if (signal_fd < 0 || runner->cancel_fd < 0 || runner->done_fd < 0)
        return complain("descriptors", strerror(errno));
    while (count < runner->workers && count < runner->job_count &&
           pthread_create(&threads[count], NULL, work, runner) == 0)
        count++;
    if (count == 0 && runner->job_count > 0)
        return complain("threads", "none can be made");
    supervise(runner, count, signal_fd);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    return true;
}

/* --- the report --- */

/* The bytes of a character that XML 1.0 can have, or 0. */
static size_t character_size(const unsigned char *text, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by size: no longer than needed */
    size_t size = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    uint32_t code = text[0];

    if (size == 1)
        return code >= 0x20 || code == '\t' || code == '\n' || code == '\r' ? 1 : 0;
    if (code < 0xc0 || code >= 0xf8 || size > left)
        return 0;
    code &= 0x7fu >> size;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
        (code & 0xfffe) == 0xfffe)
        return 0;
    return size;
}

static void write_character(FILE *file, const unsigned char *text, size_t size)
{
    switch (size ? text[0] : 0) {
    case 0: /* what XML cannot have */
        fputs("\xef\xbf\xbd", file);
        break;
    case '&':
        fputs("&amp;", file);
        break;
    case '<':
        fputs("&lt;", file);
        break;
    case '>':
        fputs("&gt;", file);
        break;
    case '"':
        fputs("&quot;", file);
        break;
    case '\r':
        fputs("&#13;", file);
        break;
    default:
        fwrite(text, 1, size, file);
    }
}

static void write_text(FILE *file, const void *bytes, size_t size)
{
    const unsigned char *text = bytes;

    for (size_t at = 0, step; at < size; at += step ? step : 1) {
        step = character_size(text + at, size - at);
        write_character(file, text + at, step);
    }
}

/* The end of an output, which is where errors are. */
static void write_output(FILE *file, const struct runner *runner, const struct job *job,
                         const char *suffix, const char *element)
{
    char path[4096], *text = malloc(REPORTED_SIZE);
    size_t size = 0;
    FILE *log;

    log_path(runner, job, suffix, path);
    log = text && job->started ? fopen(path, "re") : NULL;
    if (log) {
        if (fseek(log, -REPORTED_SIZE, SEEK_END) < 0) /* it is shorter */
            rewind(log);
        size = fread(text, 1, REPORTED_SIZE, log);
        fclose(log);
    }
    fprintf(file, "    <%s>", element);
    write_text(file, text, size);
    fprintf(file, "</%s>\n", element);
    free(text);
}

static const char *verdict_element(enum state state)
{
    switch (state) {
    case PASSED:
        return NULL;
    case FAILED:
    case TIMED_OUT:
        return "failure";
    case BROKEN:
        return "error";
    default:
        return "skipped";
    }
}

static void write_job(FILE *file, const struct runner *runner, const struct job *job)
{
    const char *element = verdict_element(job->state);

    fprintf(file, "  <testcase classname=\"husk-runner\" name=\"%s\" time=\"%.3f\">\n", job->name,
            (double)(job->ended - job->started) / 1000);
    if (element) {
        fprintf(file, "    <%s message=\"", element);
        write_text(file, job->message, strlen(job->message));
        fputs("\"/>\n", file);
    }
    write_output(file, runner, job, "out", "system-out");
    write_output(file, runner, job, "err", "system-err");
    fputs("  </testcase>\n", file);
}

static size_t count_jobs(const struct runner *runner, const char *element)
{
    size_t count = 0;

    for (size_t i = 0; i < runner->job_count; i++) {
        const char *own = verdict_element(runner->jobs[i].state);

        count += own && strcmp(own, element) == 0;
    }
    return count;
}

static bool write_junit(const struct runner *runner)
{
    FILE *file = fopen(runner->junit, "we");
    bool bad;

    if (!file)
        return complain(runner->junit, strerror(errno));
    fprintf(file, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"husk-runner\" "
            "tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n", runner->job_count,
            count_jobs(runner, "failure"), count_jobs(runner, "error"), count_jobs(runner, "skipped"));
    for (size_t i = 0; i < runner->job_count; i++)
        write_job(file, runner, &runner->jobs[i]);
    fputs("</testsuite>\n", file);
    bad = ferror(file) != 0;
    if (fclose(file) || bad)
        return complain(runner->junit, "it cannot be written completely");
    return true;
}

static bool summarize(const struct runner *runner)
{
    size_t failed = count_jobs(runner, "failure"), broken = count_jobs(runner, "error");
    size_t skipped = count_jobs(runner, "skipped");
    size_t passed = runner->job_count - failed - broken - skipped;

    printf("%zu passed, %zu failed, %zu broken, %zu cancelled\n", passed, failed, broken, skipped);
    return passed == runner->job_count;
}

/* --- options --- */

enum { OPTION_JUNIT = 256, OPTION_KERNEL, OPTION_ROOT, OPTION_CPUS, OPTION_MEMORY, OPTION_ALLOW,
       OPTION_MAX_OUTPUT };

static const struct option options[] = {
    {"jobs", required_argument, NULL, 'j'},
    {"logs", required_argument, NULL, 'l'},
    {"junit", required_argument, NULL, OPTION_JUNIT},
    {"timeout", required_argument, NULL, 't'},
    {"kernel", required_argument, NULL, OPTION_KERNEL},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"cpus", required_argument, NULL, OPTION_CPUS},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"allow", required_argument, NULL, OPTION_ALLOW},
    {"max-output", required_argument, NULL, OPTION_MAX_OUTPUT},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool set_number(unsigned *number, const char *text, unsigned limit, const char *option)
{
    return parse_number(text, limit, number) || complain(option, "give a whole number, 1 or more");
}

static bool add_allow(struct runner *runner, const char *rule)
{
    if (runner->config.allow_count == ALLOWS_MAX)
        return complain("--allow", "there are too many");
    runner->allows[runner->config.allow_count++] = rule;
    runner->config.network = true;
    return true;
}

static bool set_size(uint64_t *size, const char *text, const char *option)
{
    struct husk_err err;

    return husk_parse_size(text, size, &err) == 0 || complain(option, err.message);
}

static bool apply(struct runner *runner, int option, const char *value)
{
    switch (option) {
    case 'j':
        return set_number(&runner->workers, value, WORKERS_MAX, "--jobs");
    case 'l':
        runner->logs = value;
        return true;
    case OPTION_JUNIT:
        runner->junit = value;
        return true;
    case 't':
        return set_number(&runner->timeout, value, 1000000, "--timeout");
    case OPTION_KERNEL:
        runner->config.kernel = value;
        return true;
    case OPTION_ROOT:
        runner->config.root = value;
        return true;
    case OPTION_CPUS:
        return set_number(&runner->config.cpus, value, HUSK_CPUS_MAX, "--cpus");
    case OPTION_MEMORY:
        return set_size(&runner->config.memory, value, "--memory");
    case OPTION_MAX_OUTPUT:
        return set_size(&runner->max_output, value, "--max-output");
    case OPTION_ALLOW:
        return add_allow(runner, value);
    case 'q':
        runner->quiet = true;
        return true;
    default:
        return false; /* getopt_long() has said why */
    }
}

/* Negative: go on; otherwise the exit status. */
static int parse_options(struct runner *runner, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "j:l:t:qh", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!apply(runner, option, optarg))
            return EXIT_USAGE;
    }
    if (argc - optind > 1) {
        complain(argv[optind + 1], "there is one list of jobs; 'husk-runner --help' tells more");
        return EXIT_USAGE;
    }
    runner->list = argv[optind];
    return -1;
}

static bool prepare_logs(const struct runner *runner)
{
    if (mkdir(runner->logs, 0777) == 0 || errno == EEXIST)
        return true;
    return complain(runner->logs, strerror(errno));
}

int main(int argc, char **argv)
{
    struct runner runner = {.logs = "logs", .workers = 2,
                            .max_output = OUTPUT_DEFAULT, .lock = PTHREAD_MUTEX_INITIALIZER};
    int status;
    bool good;

    signal(SIGCHLD, SIG_DFL); /* libhusk waits for its children; who started us may ignore them */
    husk_sandbox_config_init(&runner.config);
    runner.config.allows = runner.allows;
    status = parse_options(&runner, argc, argv);
    if (status >= 0)
        return status;
    status = EXIT_USAGE;
    if (read_jobs(&runner) && prepare_logs(&runner) && run_jobs(&runner)) {
        good = summarize(&runner);
        if (runner.junit)
            good = write_junit(&runner) && good;
        status = good ? 0 : 1;
    }
    for (size_t i = 0; i < runner.job_count; i++)
        free(runner.jobs[i].command);
    free(runner.jobs);
    return status;
}
