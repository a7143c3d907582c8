/* SPDX-License-Identifier: Apache-2.0 */
#include "timing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PHASES 6

struct phase {
    const char *key;
    const char *label;
    uint64_t at;
};

static void list(const struct husk_timing *timing, struct phase phases[PHASES])
{
    const struct phase all[PHASES] = {
        {"create", "options read", timing->create},
        {"created", "VM created", timing->created},
        {"first_run", "first KVM_RUN", timing->first_run},
        {"first_access", "kernel entry (first device access)", timing->first_access},
        {"userspace", "userspace", timing->userspace},
        {"ended", "exit", timing->ended},
    };

    memcpy(phases, all, sizeof all);
}

void timing_print(const struct husk_timing *timing, uint64_t start)
{
    struct phase phases[PHASES];
    uint64_t last = start;

    list(timing, phases);
    fprintf(stderr, "%-36s %12s %12s\n", "husk: since exec", "at ms", "took ms");
    for (unsigned i = 0; i < PHASES; i++) {
        if (phases[i].at == 0) {
            fprintf(stderr, "  %-34s %12s\n", phases[i].label, "not reached");
            continue;
        }
        fprintf(stderr, "  %-34s %12.3f %12.3f\n", phases[i].label,
                (double)(phases[i].at - start) / 1e6, (double)(phases[i].at - last) / 1e6);
        last = phases[i].at;
    }
}

int timing_write(const struct husk_timing *timing, uint64_t start, const char *path)
{
    struct phase phases[PHASES];
    FILE *file = fopen(path, "we");
    int rc = 0;

    list(timing, phases);
    if (file) {
        fprintf(file, "{\"phase_us\": {\"exec\": 0");
        for (unsigned i = 0; i < PHASES; i++) {
            if (phases[i].at)
                fprintf(file, ", \"%s\": %.1f", phases[i].key,
                        (double)(phases[i].at - start) / 1e3);
            else
                fprintf(file, ", \"%s\": null", phases[i].key);
        }
        fprintf(file, "}}\n");
        rc = ferror(file) ? -EIO : 0;
    }
    if (!file || fclose(file) != 0)
        rc = -errno;
    if (rc)
        fprintf(stderr, "husk: cannot write \"%s\": %s\n", path, strerror(-rc));
    return rc;
}
