/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the monitor that userspace is reached; husk(1), --timing. */
#ifndef HUSK_AGENT_MARK_H
#define HUSK_AGENT_MARK_H

void mark(void);

#endif
