/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config_cpu.h"

#include "arch/arch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int unknown(const char *name, size_t size, struct err *err)
{
    char list[64] = "";
    unsigned count;
    const char *const *names = arch_features(&count);

    if (count == 0)
        return err_set(err, -EINVAL, "cpu_without: \"%.*s\": on this architecture nothing can be "
                       "kept from the guest; leave it out", (int)size, name);
    for (unsigned i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    return err_set(err, -EINVAL, "cpu_without: there is no \"%.*s\"; there are %s", (int)size, name,
                   list);
}

static int withhold(const char *name, size_t size, uint32_t *withheld, struct err *err)
{
    unsigned count;
    const char *const *names = arch_features(&count);

    for (unsigned i = 0; i < count; i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0) {
            *withheld |= 1u << i;
            return 0;
        }
    return unknown(name, size < 40 ? size : 40, err);
}

int config_cpu_withheld(const char *text, uint32_t *withheld, struct err *err)
{
    int rc = 0;

    *withheld = 0;
    while (text && rc == 0) {
        size_t size = strcspn(text, ",");

        rc = withhold(text, size, withheld, err);
        text = text[size] ? text + size + 1 : NULL;
    }
    return rc;
}
