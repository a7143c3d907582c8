/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of husk(1). Each takes its own arguments, name first, and returns a status. */
#ifndef HUSK_TOOLS_COMMANDS_H
#define HUSK_TOOLS_COMMANDS_H

#include <stdint.h>

/* `start` is when the program began, CLOCK_MONOTONIC in nanoseconds. */
int run_command(int argc, char **argv, uint64_t start);
int doctor_command(int argc, char **argv);

#endif
