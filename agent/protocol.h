/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox's host and the agent in its guest say to each other, over virtio-vsock.
 *
 *     guest to host, one connection   the agent's report while it starts: STAGE..., READY or FAILED
 *     host to guest, any number       one connection a job; its first frame says which:
 *
 *     EXEC   a command. Answers: LISTENING with a port, to which the host makes one connection for
 *            each stream it wants; the first frame there is STREAM with its number, after which
 *            bytes are raw, and the end of a stream is the end of its connection. Then STARTED or
 *            FAILED, and at the end EXITED. Meanwhile the host may send SIGNAL and WINDOW.
 *     PUT    a file or folder for the guest: the tree follows (agent/tree.h). Answer: DONE or FAILED.
 *     GET    a file or folder of the guest. Answer: DONE and the tree, or FAILED.
 *     STOP   everything is written to the disks, and the machine powers off. No answer.
 *
 * A frame is a header and a payload of fields, "key=value" with a NUL behind each (agent/frame.h).
 * Keys are below; a number is decimal text. Both ends are of one version and one byte order.
 */
#ifndef HUSK_AGENT_PROTOCOL_H
#define HUSK_AGENT_PROTOCOL_H

#include <stdint.h>

#define AGENT_PORT 1024u        /* of the guest: the agent listens for jobs */
#define AGENT_REPORT_PORT 1024u /* of the host: where the agent reports */

/* The initramfs that the host composes. */
#define AGENT_PATH "init"
#define AGENT_CONFIG_PATH "husk/config"  /* fields, as in a frame's payload */
#define AGENT_MODULES_PATH "husk/modules" /* a folder */

/* A line of the kernel's log that begins so tells why the agent gave up before it could report. */
#define AGENT_SAYS "husk-agent: "

enum agent_frame {
    AGENT_STAGE = 1, /* text: what begins now, "mounting the root" */
    AGENT_READY,
    AGENT_FAILED, /* code: errno; text: why; of EXEC also status: 126 or 127 */
    AGENT_EXEC,   /* argument...; environment...; folder, user, terminal, streams, columns, rows */
    AGENT_LISTENING, /* port */
    AGENT_STREAM,    /* number */
    AGENT_STARTED,
    AGENT_EXITED, /* status, or signal */
    AGENT_SIGNAL, /* number */
    AGENT_WINDOW, /* columns, rows */
    AGENT_PUT,    /* path; user, if the files are not root's */
    AGENT_GET,    /* path */
    AGENT_DONE,
    AGENT_STOP,
};

/* The streams of a command, as bits of EXEC's "streams". On a terminal stream 0 is both ways. */
enum { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR, AGENT_STREAMS };

/* Largest payloads: of jobs, whose arguments may be long, and of all else. */
#define AGENT_JOB_MAX (4u << 20)
#define AGENT_FRAME_MAX (16u << 10)

/*
 * Keys of the configuration, in the order in which the agent does them:
 *
 *     module=NAME            a file of AGENT_MODULES_PATH; in the order of loading
 *     late_module=NAME       the same, when commands can run already
 *     root=TYPE SOURCE       "virtiofs root", or "ext4 /dev/vda": always read-only
 *     upper=TYPE SOURCE      where what is written goes: "tmpfs none" or "ext4 /dev/vdb"
 *     upper_options=TEXT     for mounting it
 *     bind=ro|rw TAG PATH    a shared folder, mounted at PATH
 *     hostname=NAME
 *     address=A.B.C.D        of eth0, in a network of 24 bits; without it there is none
 *     gateway=A.B.C.D
 *     nameserver=A.B.C.D
 */

#endif
