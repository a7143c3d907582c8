/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the library: a small stack, and every signal blocked, for signals are the program's. */
#ifndef HUSK_CORE_THREAD_H
#define HUSK_CORE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts a thread that is to be joined. `stack` is in bytes. 0 or -errno. */
int thread_start(pthread_t *thread, size_t stack, void *(*main)(void *argument), void *argument);

#endif
