/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of `husk sandbox` and `husk exec`, parsed. */
#ifndef HUSK_TOOLS_SANDBOX_OPTIONS_H
#define HUSK_TOOLS_SANDBOX_OPTIONS_H

#include "husk.h"

#include <stdbool.h>
#include <stdint.h>

#define SANDBOX_LIST_MAX 256 /* of each option that can be repeated */

struct sandbox_outcome {
    const char *guest;
    const char *host;
};

struct sandbox_options {
    struct husk_sandbox_config config; /* borrows from what follows */
    struct husk_command command;
    struct husk_bind binds[SANDBOX_LIST_MAX];
    struct sandbox_outcome outcomes[SANDBOX_LIST_MAX]; /* --out */
    unsigned outcome_count;
    const char *environment[SANDBOX_LIST_MAX + 1];
    unsigned environment_count;
    const char *forwards[HUSK_FORWARDS_MAX];
    const char *allows[SANDBOX_LIST_MAX];
    char command_line[256]; /* shown in lists */
    char *owned[4 * SANDBOX_LIST_MAX]; /* sandbox_options_release() */
    unsigned owned_count;
    int64_t timeout_ms; /* -1: none */
    bool detach;
    bool verbose;
    bool timing;
    const char *name; /* of exec: the sandbox */
};

enum sandbox_options_result { SANDBOX_RUN, SANDBOX_DONE /* --help */, SANDBOX_BAD /* said why */ };

/* argv[0] is "sandbox" or "exec". */
enum sandbox_options_result sandbox_options_parse(struct sandbox_options *options, int argc,
                                                  char **argv);
void sandbox_options_release(struct sandbox_options *options);

#endif
