/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by the sandbox's own /etc/passwd and /etc/group. */
#ifndef HUSK_AGENT_ACCOUNT_H
#define HUSK_AGENT_ACCOUNT_H

#include <sys/types.h>

#define ACCOUNT_GROUPS_MAX 64

struct account {
    uid_t uid;
    gid_t gid;
    gid_t groups[ACCOUNT_GROUPS_MAX];
    int group_count;
    char name[64];
    char home[256];
};

/*
 * `text` is USER or USER:GROUP, each a name or a number; NULL: root. A number need not be in the
 * files. Errors: -ENOENT there is no such name.
 */
int account_find(struct account *account, const char *text);

#endif
