/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bare-metal probe (arch/doctor.h) in a machine of its own: the smallest there is, put
 * together from core and arch alone.
 */
#ifndef HUSK_VMM_DOCTOR_H
#define HUSK_VMM_DOCTOR_H

#include "arch/arch.h"
#include "arch/doctor.h"
#include "core/err.h"

/*
 * Runs `probe` on a host opened for one vCPU. 0: it passed. Otherwise *err tells what happened: -ENOTSUP when the guest's
 * processor does not offer what is probed, -ETIMEDOUT, -EIO for all that should not happen.
 */
int doctor_run_probe(struct arch_host *host, const struct arch_probe *probe, struct err *err);

#endif
