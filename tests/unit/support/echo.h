/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device with two queues that does little, for tests of what is around devices. */
#ifndef HUSK_TESTS_ECHO_H
#define HUSK_TESTS_ECHO_H

#include "support/mock_driver.h"

#include <stdint.h>

#define ECHO_FEATURE 3u
#define ECHO_QUEUE_SIZE 16u /* of queue 0; queue 1 has VIRTQ_SIZE_MAX */
#define ECHO_CONFIG "0123456789"
#define ECHO_CONFIG_SIZE 10u

/* Gives every chain back at once, and counts what it is asked to do. */
struct echo {
    struct virtio_device device;
    unsigned activated, resets, drains, notified[2];
    unsigned served;
    uint8_t written[8];
    unsigned written_offset, written_size;
    uint32_t memory; /* what a snapshot keeps */
};

/* virtio_device_destroy(&echo->device) is its end. */
void echo_open(struct echo *echo, struct mock_guest *guest);

#endif
