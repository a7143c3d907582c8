/* SPDX-License-Identifier: Apache-2.0 */
/* What both files of the payload know. */
#ifndef CPUS_AARCH64_H
#define CPUS_AARCH64_H

#define PROCESSORS_MAX 512 /* of a GICv3 in KVM */
#define STACK_SIZE 1024
#define IMAGE_SIZE 0x100000

#endif
