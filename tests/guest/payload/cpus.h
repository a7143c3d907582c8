/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by cpus.c and its trampoline. 0x8000 is free in the x86_64 layout. */
#ifndef HUSK_GUEST_CPUS_H
#define HUSK_GUEST_CPUS_H

#define CPUS_MAX 64
#define CPUS_STACK_SIZE 1024
#define CPUS_TRAMPOLINE 0x8000

#endif
