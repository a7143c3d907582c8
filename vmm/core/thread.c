/* SPDX-License-Identifier: Apache-2.0 */
#include "core/thread.h"

#include <signal.h>

int thread_start(pthread_t *thread, size_t stack, void *(*main)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    sigset_t all;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    pthread_attr_setsigmask_np(&attributes, &all);
    rc = pthread_create(thread, &attributes, main, argument);
    pthread_attr_destroy(&attributes);
    return -rc;
}
