/* SPDX-License-Identifier: Apache-2.0 */
/* A command that the host has asked for (AGENT_EXEC), from its start to its exit. */
#ifndef HUSK_AGENT_COMMAND_H
#define HUSK_AGENT_COMMAND_H

#include "agent/frame.h"

/*
 * Serves one, in a process of its own: `control` is the connection, `job` its first frame. Returns
 * when the command has exited and its output is sent. Other processes that it left go on.
 */
void command_serve(int control, const struct frame_reader *job);

/* Once, in the first process: a cgroup for all commands, which keeps room for the agent. */
void command_prepare(void);

#endif
