/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char *text, unsigned *number)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value >= UINT32_MAX)
        return false;
    *number = (unsigned)value;
    return true;
}

/* fgetpwent() and not getpwnam(), which would load libraries of the sandbox into a static program. */
static bool find_user(struct account *account, const char *user)
{
    FILE *file = fopen("/etc/passwd", "re");
    struct passwd *entry;
    bool found = false;
    unsigned uid = 0, numeric = parse_number(user, &uid);

    while (file && !found && (entry = fgetpwent(file))) {
        if (numeric ? entry->pw_uid != uid : strcmp(entry->pw_name, user) != 0)
            continue;
        found = true;
        account->uid = entry->pw_uid;
        account->gid = entry->pw_gid;
        snprintf(account->name, sizeof account->name, "%s", entry->pw_name);
        snprintf(account->home, sizeof account->home, "%s", entry->pw_dir);
    }
    if (file)
        fclose(file);
    if (!found && numeric)
        account->uid = uid;
    return found || numeric;
}

static bool is_member(const struct group *group, const char *name)
{
    for (char **member = group->gr_mem; *member; member++)
        if (strcmp(*member, name) == 0)
            return true;
    return false;
}

/* The groups that list the user; and, if a name is asked for, its number. */
static bool find_groups(struct account *account, const char *wanted)
{
    FILE *file = fopen("/etc/group", "re");
    struct group *entry;
    unsigned gid;
    bool found = !wanted;

    if (wanted && parse_number(wanted, &gid)) {
        account->gid = gid;
        found = true;
    }
    while (file && (entry = fgetgrent(file))) {
        if (!found && strcmp(entry->gr_name, wanted) == 0) {
            account->gid = entry->gr_gid;
            found = true;
        }
        if (is_member(entry, account->name) && account->group_count < ACCOUNT_GROUPS_MAX)
            account->groups[account->group_count++] = entry->gr_gid;
    }
    if (file)
        fclose(file);
    return found;
}

int account_find(struct account *account, const char *text)
{
    char user[64];
    const char *group = text ? strchr(text, ':') : NULL;
    int size;

    *account = (struct account){.name = "", .home = "/"};
    if (!text)
        text = "0";
    size = group ? (int)(group - text) : (int)strlen(text);
    if (size >= (int)sizeof user)
        return -ENOENT;
    memcpy(user, text, (size_t)size);
    user[size] = '\0';
    if (!find_user(account, user) || !find_groups(account, group ? group + 1 : NULL))
        return -ENOENT;
    return 0;
}
