/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs on husk.h share that test it: machines of payloads, and what they leave behind. A step
 * that fails fails the test.
 */
#ifndef HUSK_GUEST_MACHINES_H
#define HUSK_GUEST_MACHINES_H

#include "husk.h"

#include <stdbool.h>

/* A machine's end is waited for this long; it takes some milliseconds. */
#define PATIENCE_MS 30000
#define SKIPPED 77

/* The path of a payload, valid until the next call on the thread. */
const char *payload(const char *name);

/* The payload "ends", told to end in the way of `word`; output: a descriptor, or -1. */
void configure(struct husk_config *config, const char *word, int output);
struct husk_vm *create(const char *word, int output);
struct husk_vm *start(const char *word, int output);
struct husk_vm *start_config(const struct husk_config *config);

/* False: it has not ended for PATIENCE_MS. */
bool ends_in_time(const struct husk_vm *vm);

/* Reads exactly what is expected, or fails. */
void read_line(int fd, const char *expected);

unsigned count_entries(const char *folder);

/* What machines use up if they do not give it back. */
struct usage {
    unsigned files;
    unsigned threads;
    unsigned mappings;
    unsigned long pages;
};

struct usage usage(void);

/*
 * Descriptors, threads and children to the last one. Mappings are libc's as well, so one that each machine
 * leaves is looked for, and the memory of one guest, which may have merged with a neighbour.
 */
void assert_nothing_left(const struct usage *before, unsigned machines);

#endif
