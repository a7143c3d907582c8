/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder for a test, and files in it. Everything goes when it is closed. */
#ifndef HUSK_TESTS_SCRATCH_H
#define HUSK_TESTS_SCRATCH_H

#include <stdint.h>

struct scratch {
    char folder[64];
    char path[128]; /* of the file made last */
};

void scratch_open(struct scratch *scratch);
void scratch_close(struct scratch *scratch);

/* Makes a sparse file; returns its path, valid until the next call. */
const char *scratch_file(struct scratch *scratch, const char *name, uint64_t size);

#endif
