/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of husk(1). Each takes its own arguments, name first, and returns a status. */
#ifndef HUSK_TOOLS_COMMANDS_H
#define HUSK_TOOLS_COMMANDS_H

#include <stdint.h>

/* `start` is when the program began, CLOCK_MONOTONIC in nanoseconds. */
int run_command(int argc, char **argv, uint64_t start);
int doctor_command(int argc, char **argv);
int sandbox_command(int argc, char **argv, uint64_t start);
int exec_command(int argc, char **argv);
int ps_command(int argc, char **argv);
int cp_command(int argc, char **argv);
int logs_command(int argc, char **argv);
int stop_command(int argc, char **argv);
int rm_command(int argc, char **argv);

#endif
