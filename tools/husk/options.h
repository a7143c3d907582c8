/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of `husk run`, parsed. */
#ifndef HUSK_TOOLS_OPTIONS_H
#define HUSK_TOOLS_OPTIONS_H

#include "husk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_options {
    struct husk_config config;  /* husk_config_release() */
    char *config_text;          /* the --config file; freed by options_release() */
    bool print_config;
    bool verbose;
    bool timing;
    const char *timing_file;    /* JSON; NULL: none */
    const char *stats_file;     /* JSON; NULL: none */
    uint32_t stop_grace;        /* seconds that a guest has that is to end; 0: none */
    char default_kernel[256];   /* what config.kernel is when the host's kernel is taken */
};

/* What main has to do next. */
enum options_result { OPTIONS_RUN, OPTIONS_DONE /* --help */, OPTIONS_BAD /* said why */ };

enum options_result options_parse(struct run_options *options, int argc, char **argv);
void options_release(struct run_options *options);

#endif
