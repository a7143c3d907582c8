/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of vhost-user, on a thread of its own: as strict as virtiofsd about the order of
 * requests, and with faults on demand. It shares nothing with devices/vhost_user but numbers.
 */
#ifndef HUSK_TESTS_FAKE_PEER_H
#define HUSK_TESTS_FAKE_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_PEER_RINGS 2u
#define FAKE_PEER_REGIONS 4u

/* Numbers of requests. */
enum {
    FAKE_GET_FEATURES = 1,
    FAKE_SET_FEATURES = 2,
    FAKE_SET_OWNER = 3,
    FAKE_SET_MEM_TABLE = 5,
    FAKE_SET_VRING_NUM = 8,
    FAKE_SET_VRING_ADDR = 9,
    FAKE_SET_VRING_BASE = 10,
    FAKE_GET_VRING_BASE = 11,
    FAKE_SET_VRING_KICK = 12,
    FAKE_SET_VRING_CALL = 13,
    FAKE_SET_VRING_ERR = 14,
    FAKE_GET_PROTOCOL_FEATURES = 15,
    FAKE_SET_PROTOCOL_FEATURES = 16,
    FAKE_SET_VRING_ENABLE = 18,
};

/* What it does instead of answering. */
enum fake_fault {
    FAKE_NOTHING_WRONG,
    FAKE_SILENCE,
    FAKE_END,
    FAKE_HALF_AN_ANSWER, /* and the end */
    FAKE_REFUSAL,
    FAKE_OTHER_REQUEST, /* wrong answers */
    FAKE_OTHER_SIZE,
    FAKE_HUGE_SIZE,
    FAKE_OTHER_VERSION,
    FAKE_NO_REPLY_FLAG,
    FAKE_OTHER_RING,
    FAKE_FAULTS,
};

struct fake_region {
    uint64_t guest_address, size, user_address, offset;
    int fd;
};

struct fake_peer_ring {
    unsigned size, position;
    uint64_t descriptors, used, avail;
    int kick, call, fault; /* -1 while stopped */
    bool enabled;
};

struct fake_peer {
    int fd;
    pthread_t thread;
    /* Set before it is started. */
    uint64_t features, protocol;
    /* Guarded by `lock`; fake_peer_lock() */
    pthread_mutex_t lock;
    enum fake_fault fault;
    uint32_t fault_at; /* the request */
    unsigned delay_ms; /* before each answer */
    bool owned;
    bool acknowledges;
    uint64_t accepted;
    unsigned region_count;
    struct fake_region regions[FAKE_PEER_REGIONS];
    struct fake_peer_ring rings[FAKE_PEER_RINGS];
    char broken_rule[80]; /* of the protocol, by who asks; "": none */
};

/* Takes over `fd`. */
void fake_peer_start(struct fake_peer *peer, int fd, uint64_t features, uint64_t protocol);

/* Waits until the other side has closed the connection. */
void fake_peer_stop(struct fake_peer *peer);

/* Has it fail at the next such request. */
void fake_peer_fail(struct fake_peer *peer, uint32_t request, enum fake_fault fault);

/* A copy of a ring as it knows it. */
struct fake_peer_ring fake_peer_ring(struct fake_peer *peer, unsigned index);

#endif
