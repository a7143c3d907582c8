/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sandbox_help[] =
    "Usage: husk sandbox [OPTIONS] -- COMMAND [ARGUMENTS]\n"
    "\n"
    "Runs COMMAND in a machine of its own, with a kernel of its own, and gives its output and its\n"
    "exit status as if it ran here. What it writes is gone afterwards.\n"
    "\n"
    "  --root PATH        what the command sees as /, read-only with a layer above it that takes\n"
    "                     what is written: a folder, or an image of a file system (default: this\n"
    "                     host's own root). A folder is shared live where virtiofsd can do that (on\n"
    "                     Debian 12: qemu-system-common, and root), else packed into an image, which\n"
    "                     is cached; but this host's own root cannot be packed\n"
    "  --bind HOST:GUEST[:ro]\n"
    "                     a folder of this host at GUEST, live, by virtiofsd; can be repeated\n"
    "  --out GUEST:HOST   copy GUEST, a file or folder, to HOST when the command has exited, as husk cp\n"
    "                     does; can be repeated\n"
    "  --keep FILE        keep what is written in FILE, and go on with it the next time\n"
    "  --disk-size SIZE   room for what is written, on a disk, 16M at least; otherwise it is in the\n"
    "                     machine's memory (with --keep: on a disk of 4G)\n"
    "  -e, --env NAME=VALUE\n"
    "                     a variable for the command (NAME alone: as it is here); can be repeated.\n"
    "                     Otherwise it has PATH, HOME and USER\n"
    "  -w, --workdir DIR  where the command starts (default: its user's home there, or /)\n"
    "  -u, --user USER[:GROUP]\n"
    "                     whose it is, by name or number (default: root, of the machine)\n"
    "  -t, --tty          give it a terminal\n"
    "  --hostname NAME    the machine's name (default: the sandbox's)\n"
    "  --cpus N           its processors (default 1)\n"
    "  --memory SIZE      its memory, of which this host gives what is used (default 1G)\n"
    "  --timeout TIME     ask the command to end after TIME (30, 90s, 5m, 2h), and end the machine\n"
    "                     2 s later (with --keep or a writable --bind it may take 10 s to write what\n"
    "                     is in its caches); exit status 124\n"
    "  --max-output SIZE  end the command when it has written more than SIZE; exit status 125\n"
    "  --net none         no network (default)\n"
    "  --net user[,allow=RULE]...[,publish=[ADDRESS:]PORT:GUESTPORT]...\n"
    "                     a network that reaches what the rules allow, and nothing else: CIDR, NAME or\n"
    "                     *.NAME, each with :PORT if only that; host:PORT is this host's loopback,\n"
    "                     any is all but this host and clouds' services. publish leads a port of\n"
    "                     this host (127.0.0.1; TCP, or UDP with udp: in front) to the sandbox\n"
    "  --kernel FILE      the machine's kernel (default: the one that this host runs)\n"
    "  --modules DIR      that kernel's modules (default: found beside it or in /lib/modules)\n"
    "  --name NAME        the sandbox's name for 'husk exec' and others: up to 32 letters, digits, - and\n"
    "                     _ (default: a random one)\n"
    "  -d, --detach       print the name and return when the machine runs, in which COMMAND is\n"
    "                     started (without one nothing is yet); see husk ps, exec, cp, logs, stop, rm\n"
    "  --start-timeout TIME\n"
    "                     for each stage of the start (default 60s)\n"
    "  --timing           print when each phase of the machine's start was reached (not with --detach)\n"
    "  --verbose          name the stages of the start\n"
    "  -h, --help         this text\n"
    "\n"
    "Ctrl-C and SIGTERM reach the command; a second one ends the machine. (With --tty, Ctrl-C is a\n"
    "byte for that terminal.) Standard input is the command's, and is read to its end.\n"
    "\n"
    "Exit status: the command's; 128+N if signal N ended it; 124 timeout, 125 Husk failed,\n"
    "126 COMMAND cannot be executed, 127 there is none.\n"
    "\n"
    "Examples:\n"
    "  husk sandbox -- uname -a\n"
    "  husk sandbox --bind $PWD:/src:ro -w /src --out /tmp/report.xml:. -- ./test -o /tmp/report.xml\n"
    "  husk sandbox --bind $PWD:/src -w /src --net user,allow=example.org:443 --timeout 5m -- make\n"
    "  husk sandbox --detach --name web --net user,publish=8080:80 -- nginx -g 'daemon off;'\n";

static const char exec_help[] =
    "Usage: husk exec [OPTIONS] NAME [--] COMMAND [ARGUMENTS]\n"
    "\n"
    "Runs one more command in a sandbox that runs, as 'husk sandbox' ran the first.\n"
    "\n"
    "  -e, --env NAME=VALUE   a variable for the command (NAME alone: as it is here)\n"
    "  -w, --workdir DIR      where the command starts\n"
    "  -u, --user USER[:GROUP]\n"
    "                         whose it is (default: root, of the machine)\n"
    "  -t, --tty              give it a terminal\n"
    "  --timeout TIME         ask the command to end after TIME, and kill it 2 s later; exit status 124\n"
    "  --max-output SIZE      end the command when it has written more than SIZE\n"
    "  -h, --help             this text\n"
    "\n"
    "A second Ctrl-C or SIGTERM kills the command. Standard input is the command's, and is read to its\n"
    "end: give </dev/null where something else is to read it.\n"
    "\n"
    "Exit status: as of husk sandbox.\n";

enum { OPTION_ROOT = 256, OPTION_BIND, OPTION_OUT, OPTION_KEEP, OPTION_DISK_SIZE, OPTION_HOSTNAME,
       OPTION_CPUS, OPTION_MEMORY, OPTION_TIMEOUT, OPTION_MAX_OUTPUT, OPTION_NET, OPTION_KERNEL,
       OPTION_MODULES, OPTION_NAME, OPTION_START_TIMEOUT, OPTION_TIMING, OPTION_VERBOSE };

#define JOB_OPTIONS                                             \
    {"env", required_argument, NULL, 'e'},                      \
    {"workdir", required_argument, NULL, 'w'},                  \
    {"user", required_argument, NULL, 'u'},                     \
    {"tty", no_argument, NULL, 't'},                            \
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},       \
    {"max-output", required_argument, NULL, OPTION_MAX_OUTPUT}, \
    {"help", no_argument, NULL, 'h'}

static const struct option exec_options[] = {JOB_OPTIONS, {0}};

static const struct option sandbox_options[] = {
    JOB_OPTIONS,
    {"root", required_argument, NULL, OPTION_ROOT},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"out", required_argument, NULL, OPTION_OUT},
    {"keep", required_argument, NULL, OPTION_KEEP},
    {"disk-size", required_argument, NULL, OPTION_DISK_SIZE},
    {"hostname", required_argument, NULL, OPTION_HOSTNAME},
    {"cpus", required_argument, NULL, OPTION_CPUS},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"net", required_argument, NULL, OPTION_NET},
    {"kernel", required_argument, NULL, OPTION_KERNEL},
    {"modules", required_argument, NULL, OPTION_MODULES},
    {"name", required_argument, NULL, OPTION_NAME},
    {"detach", no_argument, NULL, 'd'},
    {"start-timeout", required_argument, NULL, OPTION_START_TIMEOUT},
    {"timing", no_argument, NULL, OPTION_TIMING},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {0},
};

/* --- values --- */

static bool complain(const char *option, const char *text, const char *what)
{
    fprintf(stderr, "husk: %s %s: %s\n", option, text, what);
    return false;
}

/* A copy that lives as long as the options; NULL, after a message. */
static char *own(struct sandbox_options *options, char *text)
{
    if (text && options->owned_count < sizeof options->owned / sizeof options->owned[0])
        return options->owned[options->owned_count++] = text;
    fprintf(stderr, "husk: too many options, or no memory for them\n");
    free(text);
    return NULL;
}

static bool set_size(uint64_t *size, const char *option, const char *text)
{
    struct husk_err err;

    return husk_parse_size(text, size, &err) == 0 || complain(option, text, err.message);
}

/* Seconds, or with a unit behind. */
static bool parse_time(int64_t *ms, const char *option, const char *text)
{
    static const char units[] = "smh";
    static const double factors[] = {1, 1, 60, 3600};
    const char *unit = "";
    double value;
    char *end;

    errno = 0;
    value = strtod(text, &end);
    if (*end && end != text)
        unit = strchr(units, *end++);
    if (errno || end == text || !unit || *end || !isfinite(value) || value < 0 || value > 1e9)
        return complain(option, text, "give a time, as 30, 1.5, 90s, 5m or 2h");
    value *= *unit ? factors[unit - units + 1] : 1;
    *ms = (int64_t)(value * 1000);
    return true;
}

static bool set_cpus(uint32_t *cpus, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end || *text == '-' || value < 1 || value > HUSK_CPUS_MAX)
        return complain("--cpus", text, "give a number from 1 to 64");
    *cpus = (uint32_t)value;
    return true;
}

/* NAME alone takes this process's value; none is no error, as of docker and podman. */
static bool add_variable(struct sandbox_options *options, const char *text)
{
    char *made = NULL;

    if (options->environment_count == SANDBOX_LIST_MAX)
        return complain("--env", text, "is one too many");
    if (!strchr(text, '=')) {
        const char *value = getenv(text);

        if (!value)
            return true;
        if (asprintf(&made, "%s=%s", text, value) < 0)
            made = NULL;
        text = own(options, made);
    }
    if (text)
        options->environment[options->environment_count++] = text;
    return text != NULL;
}

/* "A:B" as two strings of the options' own. */
static bool split(struct sandbox_options *options, const char *text, const char **first,
                  char **second)
{
    char *copy = own(options, strdup(text)), *colon = copy ? strchr(copy, ':') : NULL;

    if (!colon || colon == copy || !colon[1])
        return false;
    *colon = '\0';
    *first = copy;
    *second = colon + 1;
    return true;
}

static bool add_bind(struct sandbox_options *options, const char *text)
{
    struct husk_bind *bind = &options->binds[options->config.bind_count];
    char *guest, *mode;

    if (options->config.bind_count == SANDBOX_LIST_MAX)
        return complain("--bind", text, "is one too many");
    if (!split(options, text, &bind->host, &guest) || *guest != '/')
        return complain("--bind", text, "give HOST:GUEST or HOST:GUEST:ro; GUEST begins with /");
    mode = strchr(guest, ':');
    if (mode) {
        *mode++ = '\0';
        if (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
            return complain("--bind", text, "what follows GUEST can be :ro or :rw");
        bind->read_only = strcmp(mode, "ro") == 0;
    }
    bind->guest = guest;
    options->config.bind_count++;
    return true;
}

static bool add_outcome(struct sandbox_options *options, const char *text)
{
    struct sandbox_outcome *outcome = &options->outcomes[options->outcome_count];
    char *host;

    if (options->outcome_count == SANDBOX_LIST_MAX)
        return complain("--out", text, "is one too many");
    if (!split(options, text, &outcome->guest, &host))
        return complain("--out", text, "give GUEST:HOST");
    outcome->host = host;
    options->outcome_count++;
    return true;
}

/* "[ADDRESS:]PORT:GUESTPORT" as a forward's rule; "tcp:..." and "udp:..." are such already. */
static bool add_publish(struct sandbox_options *options, char *text)
{
    char *made = NULL, *last = strrchr(text, ':'), *before;

    if (options->config.forward_count == HUSK_FORWARDS_MAX || !last)
        return complain("--net: publish", text, last ? "is one too many" : "give PORT:GUESTPORT");
    if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0) {
        options->forwards[options->config.forward_count++] = text;
        return true;
    }
    *last = '\0';
    before = strrchr(text, ':');
    if (before)
        *before++ = '\0';
    if (asprintf(&made, "tcp:%s:%s::%s", before ? text : "", before ? before : text, last + 1) < 0)
        made = NULL;
    options->forwards[options->config.forward_count] = own(options, made);
    return options->forwards[options->config.forward_count++] != NULL;
}

static bool set_net(struct sandbox_options *options, const char *text)
{
    char *copy = own(options, strdup(text)), *next;
    bool good = true;

    if (!copy)
        return false;
    strtok_r(copy, ",", &next);
    options->config.network = strcmp(copy, "user") == 0;
    if (!options->config.network && strcmp(copy, "none") != 0)
        return complain("--net", text, "give none or user");
    for (char *part; good && (part = strtok_r(NULL, ",", &next));) {
        if (strncmp(part, "publish=", 8) == 0)
            good = add_publish(options, part + 8);
        else if (strncmp(part, "allow=", 6) == 0 && options->config.allow_count < SANDBOX_LIST_MAX)
            options->allows[options->config.allow_count++] = part + 6;
        else
            good = complain("--net", part, "give allow=RULE or publish=PORT:GUESTPORT");
        if (good && !options->config.network)
            good = complain("--net", text, "none has no rules");
    }
    return good;
}

/* --- options --- */

static bool apply_job(struct sandbox_options *options, int option, const char *value)
{
    switch (option) {
    case 'e':
        return add_variable(options, value);
    case 'w':
        options->command.folder = value;
        return true;
    case 'u':
        options->command.user = value;
        return true;
    case 't':
        options->command.terminal = true;
        return true;
    case OPTION_TIMEOUT:
        return parse_time(&options->timeout_ms, "--timeout", value);
    case OPTION_MAX_OUTPUT:
        return set_size(&options->command.max_output, "--max-output", value);
    default:
        return false; /* getopt_long() has said why */
    }
}

static bool apply(struct sandbox_options *options, int option, const char *value)
{
    struct husk_sandbox_config *config = &options->config;
    int64_t ms;

    switch (option) {
    case OPTION_ROOT:
        config->root = value;
        return true;
    case OPTION_BIND:
        return add_bind(options, value);
    case OPTION_OUT:
        return add_outcome(options, value);
    case OPTION_KEEP:
        config->layer = value;
        return true;
    case OPTION_DISK_SIZE:
        return set_size(&config->disk_size, "--disk-size", value);
    case OPTION_HOSTNAME:
        config->hostname = value;
        return true;
    case OPTION_CPUS:
        return set_cpus(&config->cpus, value);
    case OPTION_MEMORY:
        return set_size(&config->memory, "--memory", value);
    case OPTION_NET:
        return set_net(options, value);
    case OPTION_KERNEL:
        config->kernel = value;
        return true;
    case OPTION_MODULES:
        config->modules = value;
        return true;
    case OPTION_NAME:
        config->name = value;
        return true;
    case 'd':
        options->detach = true;
        return true;
    case OPTION_START_TIMEOUT:
        if (!parse_time(&ms, "--start-timeout", value))
            return false;
        config->stage_timeout = ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
        return true;
    case OPTION_TIMING:
        options->timing = true;
        return true;
    case OPTION_VERBOSE:
        options->verbose = true;
        return true;
    default:
        return apply_job(options, option, value);
    }
}

static void prepare(struct sandbox_options *options)
{
    memset(options, 0, sizeof *options);
    husk_sandbox_config_init(&options->config);
    husk_command_init(&options->command);
    options->config.binds = options->binds;
    options->config.forwards = options->forwards;
    options->config.allows = options->allows;
    options->command.environment = options->environment;
    options->command.stdin_fd = STDIN_FILENO;
    options->command.stdout_fd = STDOUT_FILENO;
    options->command.stderr_fd = STDERR_FILENO;
    options->timeout_ms = -1;
}

static void show_command(struct sandbox_options *options)
{
    char *line = options->command_line;

    for (const char *const *word = options->command.arguments; *word; word++) {
        size_t size = strlen(line);

        snprintf(line + size, sizeof options->command_line - size, "%s%s", size ? " " : "", *word);
    }
    options->config.command = line;
}

static enum sandbox_options_result finish(struct sandbox_options *options, char **words, bool exec)
{
    const char *name = exec ? "exec" : "sandbox";

    if (exec) {
        options->name = *words;
        if (*words)
            words++;
        if (*words && strcmp(*words, "--") == 0)
            words++;
    }
    if (!words[0] && (exec || !options->detach)) {
        fprintf(stderr, "husk: there is no command to run; 'husk %s --help' tells more\n", name);
        return SANDBOX_BAD;
    }
    if (options->command.terminal && options->detach) {
        fprintf(stderr, "husk: --tty and --detach exclude each other; use 'husk exec --tty'\n");
        return SANDBOX_BAD;
    }
    options->command.arguments = (const char *const *)words;
    show_command(options);
    return SANDBOX_RUN;
}

enum sandbox_options_result sandbox_options_parse(struct sandbox_options *options, int argc,
                                                  char **argv)
{
    bool exec = strcmp(argv[0], "exec") == 0;
    int option;

    prepare(options);
    optind = 0;
    while ((option = getopt_long(argc, argv, exec ? "+e:w:u:th" : "+e:w:u:tdh",
                                 exec ? exec_options : sandbox_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(exec ? exec_help : sandbox_help, stdout);
            return SANDBOX_DONE;
        }
        if (!apply(options, option, optarg))
            return SANDBOX_BAD;
    }
    return finish(options, argv + optind, exec);
}

void sandbox_options_release(struct sandbox_options *options)
{
    while (options->owned_count > 0)
        free(options->owned[--options->owned_count]);
}
