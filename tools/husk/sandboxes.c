/* SPDX-License-Identifier: Apache-2.0 */
/* husk ps, cp, logs, stop, rm: sandboxes that other processes have started. */
#include "commands.h"
#include "status.h"

#include "husk.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GRACE_DEFAULT_S 10
#define FOLLOW_INTERVAL_NS 100000000

static int report(const struct husk_err *err)
{
    fprintf(stderr, "husk: %s\n", err->message);
    return STATUS_FAILURE;
}

/*
 * Options of one letter each, with long names for them. Returns how many words follow (from optind),
 * or -1: help was given, -2: usage.
 */
static int parse(int argc, char **argv, const char *letters, const struct option *options,
                 const char *help, void (*apply)(void *context, int option, const char *value),
                 void *context)
{
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (option == '?') {
            fprintf(stderr, "husk: 'husk %s --help' tells more\n", argv[0]);
            return -2;
        }
        apply(context, option, optarg);
    }
    return argc - optind;
}

static int status_of_parse(int words)
{
    return words == -1 ? 0 : STATUS_USAGE;
}

static int usage(const char *command, const char *what)
{
    fprintf(stderr, "husk: %s; 'husk %s --help' tells more\n", what, command);
    return STATUS_USAGE;
}

/* --- ps --- */

static const char ps_help[] =
    "Usage: husk ps [-q]\n"
    "\n"
    "Lists sandboxes: name, state, age, memory that this host gives it now, and command. What was left\n"
    "by processes that were killed is removed.\n"
    "\n"
    "  -q, --quiet   names only\n"
    "  -h, --help    this text\n";

struct ps {
    bool quiet;
    unsigned shown;
};

static void format_age(char text[24], int64_t seconds)
{
    if (seconds < 120)
        snprintf(text, 24, "%llds", (long long)(seconds < 0 ? 0 : seconds));
    else if (seconds < 7200)
        snprintf(text, 24, "%lldm", (long long)seconds / 60);
    else
        snprintf(text, 24, "%lldh", (long long)seconds / 3600);
}

static void format_state(char text[24], const struct husk_sandbox_info *info)
{
    switch (info->state) {
    case HUSK_SANDBOX_STARTING:
        snprintf(text, 24, "starting");
        break;
    case HUSK_SANDBOX_RUNNING:
        snprintf(text, 24, "running");
        break;
    case HUSK_SANDBOX_EXITED:
        snprintf(text, 24, "exited (%d)", info->status);
        break;
    case HUSK_SANDBOX_LOST:
        snprintf(text, 24, "killed");
        break;
    }
}

static void show(void *context, const struct husk_sandbox_info *info)
{
    struct ps *ps = context;
    char age[24], state[24], memory[24] = "-";

    if (ps->quiet) {
        printf("%s\n", info->name);
        return;
    }
    if (ps->shown++ == 0)
        printf("%-20s %-14s %6s %9s  %s\n", "NAME", "STATE", "AGE", "MEMORY", "COMMAND");
    format_age(age, time(NULL) - info->started);
    format_state(state, info);
    if (info->memory)
        snprintf(memory, sizeof memory, "%lluM", (unsigned long long)(info->memory >> 20));
    printf("%-20s %-14s %6s %9s  %s\n", info->name, state, age, memory, info->command);
}

static void apply_ps(void *context, int option, const char *value)
{
    (void)option;
    (void)value;
    ((struct ps *)context)->quiet = true;
}

int ps_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct husk_err err;
    struct ps ps = {0};
    int words = parse(argc, argv, "qh", options, ps_help, apply_ps, &ps);

    if (words < 0)
        return status_of_parse(words);
    if (words > 0)
        return usage("ps", "ps takes no names");
    if (husk_sandbox_list(show, &ps, &err))
        return report(&err);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "husk: cannot write the list: %s\n", strerror(errno));
    return STATUS_FAILURE;
}

/* --- cp --- */

static const char cp_help[] =
    "Usage: husk cp NAME:PATH PATH\n"
    "       husk cp PATH NAME:PATH\n"
    "\n"
    "Copies a file, or a folder with the files, folders and links in it, out of a sandbox or into one.\n"
    "What comes out belongs to you. Files of the same names are replaced, and folders merged.\n"
    "\n"
    "  -h, --help    this text\n";

/* NAME of "NAME:PATH", whose PATH is returned; NULL: a path of this host. */
static const char *split_name(char *word)
{
    char *colon = strchr(word, ':'), *slash = strchr(word, '/');

    if (!colon || (slash && slash < colon) || colon == word || !colon[1])
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static void apply_nothing(void *context, int option, const char *value)
{
    (void)context;
    (void)option;
    (void)value;
}

int cp_command(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int words = parse(argc, argv, "h", options, cp_help, apply_nothing, NULL), rc;
    const char *from, *to;
    struct husk_sandbox *sandbox;
    struct husk_err err;

    if (words < 0)
        return status_of_parse(words);
    if (words != 2)
        return usage("cp", "cp takes a source and a target");
    from = split_name(argv[optind]);
    to = split_name(argv[optind + 1]);
    if (!from == !to)
        return usage("cp", "one of source and target is NAME:PATH, the other a path of this host");
    rc = husk_sandbox_open(from ? argv[optind] : argv[optind + 1], &sandbox, &err);
    if (rc)
        return report(&err);
    rc = from ? husk_sandbox_get(sandbox, from, argv[optind + 1], 0, &err)
              : husk_sandbox_put(sandbox, argv[optind], to, &err);
    husk_sandbox_destroy(sandbox);
    return rc ? report(&err) : 0;
}

/* --- logs --- */

static const char logs_help[] =
    "Usage: husk logs [-f] NAME\n"
    "\n"
    "Shows what the command of 'husk sandbox --detach' has written to its standard output and\n"
    "standard error, each on its own.\n"
    "\n"
    "  -f, --follow  go on until it has ended\n"
    "  -h, --help    this text\n";

struct logs {
    const char *name;
    bool follow;
    bool found;
    bool ended;
    char folder[256];
};

static void look(void *context, const struct husk_sandbox_info *info)
{
    struct logs *logs = context;

    if (strcmp(info->name, logs->name) != 0)
        return;
    logs->found = true;
    logs->ended = info->state == HUSK_SANDBOX_EXITED || info->state == HUSK_SANDBOX_LOST;
    snprintf(logs->folder, sizeof logs->folder, "%s", info->folder);
}

static int open_log(const struct logs *logs, const char *leaf)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", logs->folder, leaf);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* What there is now, or is new. False: it cannot be read or written. */
static bool pass(int from, int to)
{
    char text[65536];
    ssize_t size;

    if (from < 0)
        return true;
    while ((size = read(from, text, sizeof text)) > 0)
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(to, text + done, (size_t)(size - done));

            if (written < 0)
                return false;
            done += written;
        }
    return size == 0;
}

/* The next piece of each log, which are made when the sandbox has started. False: after a message. */
static bool pass_both(const struct logs *logs, int fds[2])
{
    static const char *const leaves[] = {"stdout", "stderr"};

    for (int i = 0; i < 2; i++) {
        if (fds[i] < 0)
            fds[i] = open_log(logs, leaves[i]);
        if (!pass(fds[i], STDOUT_FILENO + i)) {
            fprintf(stderr, "husk: cannot show the logs: %s\n", strerror(errno));
            return false;
        }
    }
    return true;
}

static int follow_logs(struct logs *logs, int fds[2])
{
    const struct timespec interval = {.tv_nsec = FOLLOW_INTERVAL_NS};
    struct husk_err err;

    for (;;) {
        bool last = !logs->follow || logs->ended;

        if (!pass_both(logs, fds))
            return STATUS_FAILURE;
        if (last)
            return 0;
        nanosleep(&interval, NULL);
        logs->ended = true; /* unless it is still listed as running */
        if (husk_sandbox_list(look, logs, &err))
            return report(&err);
    }
}

static int show_logs(struct logs *logs)
{
    int fds[] = {-1, -1};
    int status = follow_logs(logs, fds);

    if (status == 0 && fds[0] < 0 && fds[1] < 0) {
        fprintf(stderr, "husk: the sandbox \"%s\" has no logs: it was not detached, or did not start%s\n",
                logs->name, logs->ended ? "" : " yet (-f waits)");
        status = STATUS_FAILURE;
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return status;
}

static void apply_logs(void *context, int option, const char *value)
{
    (void)option;
    (void)value;
    ((struct logs *)context)->follow = true;
}

int logs_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"follow", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct husk_err err;
    struct logs logs = {0};
    int words = parse(argc, argv, "fh", options, logs_help, apply_logs, &logs);

    if (words < 0)
        return status_of_parse(words);
    if (words != 1)
        return usage("logs", "logs takes one name");
    logs.name = argv[optind];
    if (husk_sandbox_list(look, &logs, &err))
        return report(&err);
    if (!logs.found) {
        fprintf(stderr, "husk: there is no sandbox \"%s\"; 'husk ps' lists them\n", logs.name);
        return STATUS_FAILURE;
    }
    return show_logs(&logs);
}

/* --- stop and rm --- */

static const char stop_help[] =
    "Usage: husk stop [--grace SECONDS] NAME...\n"
    "\n"
    "Has each sandbox write what is in its caches and power off, and ends it after a grace.\n"
    "\n"
    "  --grace SECONDS   default 10; 0: at once\n"
    "  -h, --help        this text\n";

static const char rm_help[] =
    "Usage: husk rm [-f] NAME...\n"
    "\n"
    "Forgets sandboxes that have ended, with what they wrote (husk logs).\n"
    "\n"
    "  -f, --force   end those that run, at once\n"
    "  -h, --help    this text\n";

static int stop_one(const char *name, uint32_t grace_ms)
{
    struct husk_sandbox *sandbox;
    struct husk_err err;
    int rc;

    if (husk_sandbox_open(name, &sandbox, &err))
        return report(&err);
    rc = husk_sandbox_stop(sandbox, grace_ms, &err);
    husk_sandbox_destroy(sandbox);
    return rc ? report(&err) : 0;
}

static void apply_stop(void *context, int option, const char *value)
{
    unsigned *grace = context;
    char *end;
    unsigned long seconds = strtoul(value, &end, 10);

    (void)option;
    *grace = end == value || *end || *value == '-' || seconds > 86400 ? UINT32_MAX
                                                                      : (unsigned)seconds;
}

int stop_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"grace", required_argument, NULL, 'g'}, {"help", no_argument, NULL, 'h'}, {0}};
    unsigned grace = GRACE_DEFAULT_S;
    int words = parse(argc, argv, "h", options, stop_help, apply_stop, &grace), status = 0;

    if (words < 0)
        return status_of_parse(words);
    if (words == 0)
        return usage("stop", "stop takes names");
    if (grace == UINT32_MAX)
        return usage("stop", "--grace takes a number of seconds up to 86400");
    for (int i = optind; i < argc; i++)
        if (stop_one(argv[i], grace * 1000))
            status = STATUS_FAILURE;
    return status;
}

/* One that was in the foreground is gone with its end. */
static int remove_one(const char *name, bool force)
{
    struct husk_sandbox *sandbox;
    bool stopped = false;
    struct husk_err err;
    int rc = 0;

    if (force && husk_sandbox_open(name, &sandbox, &err) == 0) {
        rc = husk_sandbox_stop(sandbox, 0, &err);
        stopped = rc == 0;
        husk_sandbox_destroy(sandbox);
    }
    rc = rc ?: husk_sandbox_remove(name, &err);
    return rc && !(stopped && rc == -ENOENT) ? report(&err) : 0;
}

static void apply_rm(void *context, int option, const char *value)
{
    (void)option;
    (void)value;
    *(bool *)context = true;
}

int rm_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool force = false;
    int words = parse(argc, argv, "fh", options, rm_help, apply_rm, &force), status = 0;

    if (words < 0)
        return status_of_parse(words);
    if (words == 0)
        return usage("rm", "rm takes names");
    for (int i = optind; i < argc; i++)
        if (remove_one(argv[i], force))
            status = STATUS_FAILURE;
    return status;
}
