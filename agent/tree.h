/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders on a stream, for both ends; see agent/protocol.h.
 *
 *     tree  = entry name (FILE: contents | LINK: target | FOLDER: tree... END)
 *
 * Entries are binary, in the processor's byte order. Devices, pipes and sockets in folders are left out,
 * and never replaced. What receives trusts nothing: a name is one component, links are never followed,
 * and what is written is bounded in bytes, files and depth.
 */
#ifndef HUSK_AGENT_TREE_H
#define HUSK_AGENT_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_DEPTH_MAX 128u
#define TREE_ENTRY_COST 4096u /* of the limit, for each entry */

/* Where a tree goes wrong. */
struct tree_fault {
    char path[256]; /* the end of it, below the top */
    bool told;      /* by who sends; else it is who receives that cannot go on */
};

/*
 * Sends `name` of `folder` (a descriptor, or AT_FDCWD) with all that is in it. A link that is the
 * top itself is followed. Errors: what the file gives, with the path in `fault` (-EOPNOTSUPP: it is none
 * and no folder; -EFBIG: it has more than its size tells); of the stream, with an empty path.
 */
int tree_send(int stream, int folder, const char *name, struct tree_fault *fault);

struct tree_target {
    int folder;        /* descriptor */
    const char *name;  /* of the top; NULL: as the sender calls it */
    mode_t mode_mask;  /* which bits of modes count: 0777, or 07777 */
    uid_t uid;         /* who owns it; (uid_t)-1: who writes it */
    gid_t gid;
    uint64_t limit;    /* bytes, TREE_ENTRY_COST for each entry included */
};

/*
 * Receives a tree; files and links of the same names are replaced (but no link by that of the top) once
 * what replaces them is whole, and folders are merged. Errors: -EEXIST something else is there;
 * -EFBIG above the limit; -ELOOP too deep; -EPROTO a bad entry; -ECONNRESET the stream has ended;
 * what writing gives.
 */
int tree_receive(int stream, const struct tree_target *target, struct tree_fault *fault);

#endif
