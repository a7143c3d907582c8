/* SPDX-License-Identifier: Apache-2.0 */
/* husk doctor: the findings of husk_doctor() as a list for people, or as JSON. */
#include "commands.h"
#include "status.h"

#include "husk.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: husk doctor [--json]\n"
    "\n"
    "Finds out whether this host can run Husk: looks at /dev/kvm and what KVM offers, then runs\n"
    "small pieces of code in virtual machines. Every 'no' says what to do about it.\n"
    "\n"
    "  --json      print the findings as JSON\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 this host runs Linux in Husk, 1 the findings could not be printed, 2 bad\n"
    "usage, 3 it does not run Linux (no KVM, or one that unmodified kernels do not run on).\n";

struct findings {
    bool json;
    unsigned count;
    char group[64];  /* of the last one */
    char advice[256]; /* given last; not given again for the next 'no' */
};

static const char *const results[] = {
    [HUSK_CHECK_YES] = "yes",
    [HUSK_CHECK_NO] = "no",
    [HUSK_CHECK_OPTIONAL] = "optional",
};

static const struct {
    const char *key;
    const char *text;
} verdicts[] = {
    [HUSK_VERDICT_LINUX] = {"linux", "yes: this host runs Linux in Husk"},
    [HUSK_VERDICT_NO_LINUX] = {"no-linux", "no: unmodified Linux kernels do not run here. Machines "
                                           "do, but this KVM cannot execute\n    what kernels "
                                           "do; see each 'no' above"},
    [HUSK_VERDICT_NO_KVM] = {"no-kvm", "no: machines do not run here; see the last 'no' above"},
};

/* --- for people --- */

static void print_advice(struct findings *findings, const char *advice)
{
    if (!*advice || strcmp(advice, findings->advice) == 0)
        return;
    printf("            -> %s\n", advice);
    snprintf(findings->advice, sizeof findings->advice, "%s", advice);
}

static void print_text(void *context, const struct husk_check *check)
{
    struct findings *findings = context;

    if (strcmp(check->group, findings->group) != 0)
        printf("%s%s\n", findings->count ? "\n" : "", check->group);
    snprintf(findings->group, sizeof findings->group, "%s", check->group);
    findings->count++;
    printf("  %-8s  %s%s%s\n", results[check->result], check->name, *check->detail ? ": " : "",
           check->detail);
    print_advice(findings, check->advice);
    fflush(stdout);
}

/* --- for machines --- */

static void print_string(const char *key, const char *value)
{
    printf("\"%s\": \"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            printf("\\%c", *value);
        else if ((unsigned char)*value < ' ')
            printf("\\u%04x", (unsigned)*value);
        else
            putchar(*value);
    }
    putchar('"');
}

static void print_json(void *context, const struct husk_check *check)
{
    struct findings *findings = context;

    printf("%s\n    {", findings->count++ ? "," : "{\"checks\": [");
    print_string("group", check->group);
    printf(", ");
    print_string("name", check->name);
    printf(", ");
    print_string("result", results[check->result]);
    printf(", ");
    print_string("detail", check->detail);
    printf(", ");
    print_string("advice", check->advice);
    putchar('}');
}

static bool parse(int argc, char **argv, bool *json, int *status)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;

    *status = STATUS_USAGE;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            *status = 0;
            return false;
        }
        if (option != 'j') {
            fprintf(stderr, "husk: 'husk doctor --help' lists the options\n");
            return false;
        }
        *json = true;
    }
    if (optind < argc)
        fprintf(stderr, "husk: doctor takes no argument \"%s\"; 'husk doctor --help' tells more\n",
                argv[optind]);
    return optind == argc;
}

int doctor_command(int argc, char **argv)
{
    struct findings findings = {0};
    enum husk_verdict verdict;
    int status;

    if (!parse(argc, argv, &findings.json, &status))
        return status;
    verdict = husk_doctor(findings.json ? print_json : print_text, &findings);
    if (findings.json)
        printf("\n  ],\n  \"verdict\": \"%s\"}\n", verdicts[verdict].key);
    else
        printf("\n%s\n", verdicts[verdict].text);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "husk: cannot print the findings: %s\n", strerror(errno));
        return STATUS_FAILURE;
    }
    return verdict == HUSK_VERDICT_LINUX ? 0 : STATUS_HOST;
}
