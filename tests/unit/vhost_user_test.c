/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user with a peer that keeps the protocol, and with one that does not. */
#include "devices/vhost_user/vhost_user.h"
#include "core/timing.h"
#include "support/failure.h"
#include "support/fake_peer.h"
#include "support/scratch.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define PROTOCOL FEATURE(30)
#define REPLY_ACK FEATURE(3)
#define MODERN (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX))
#define ALL_PROTOCOL (REPLY_ACK | FEATURE(0) | FEATURE(9))
#define SHORT_PATIENCE 50 /* ms */

struct fixture {
    struct guest_memory memory;
    struct fake_peer fake;
    struct vhost_user peer;
    int events[3];
};

static void open_fixture(struct fixture *f, uint64_t features, uint64_t protocol)
{
    const struct memory_range ranges[] = {{gpa(0), 1u << 20}, {gpa(1u << 30), 1u << 20}};
    int ends[2];

    assert_int_equal(memory_create_shared(&f->memory, ranges, 2, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (unsigned i = 0; i < 3; i++)
        f->events[i] = eventfd(0, EFD_CLOEXEC);
    fake_peer_start(&f->fake, ends[1], features, protocol);
    vhost_user_open(&f->peer, ends[0], &f->memory);
}

static void close_fixture(struct fixture *f)
{
    vhost_user_close(&f->peer);
    fake_peer_stop(&f->fake);
    assert_string_equal(f->fake.broken_rule, "");
    for (unsigned i = 0; i < 3; i++)
        close(f->events[i]);
    memory_destroy(&f->memory);
}

static void must_greet(struct fixture *f)
{
    struct err err = {0};

    if (vhost_user_greet(&f->peer, &err))
        fail_msg("%s", err.message);
}

static struct lent_ring ring_of(struct fixture *f)
{
    return (struct lent_ring){
        .size = 16,
        .descriptors = memory_at(&f->memory, gpa(0x1000), 1),
        .avail = memory_at(&f->memory, gpa(0x2000), 1),
        .used = memory_at(&f->memory, gpa(0x3000), 1),
        .position = 65535,
        .kick = f->events[0],
        .call = f->events[1],
        .fault = f->events[2],
    };
}

/* Everything, in the order in which a device does it. */
static int use(struct fixture *f, uint16_t *position)
{
    const struct lent_ring ring = ring_of(f);
    struct err err = {0};

    return vhost_user_greet(&f->peer, &err)
               ?: vhost_user_begin(&f->peer, MODERN)
               ?: vhost_user_start_ring(&f->peer, 1, &ring)
               ?: vhost_user_stop_ring(&f->peer, 1, position);
}

/* --- a good peer --- */

static void agrees_on_features(void **state)
{
    const uint64_t packed = FEATURE(VIRTIO_F_RING_PACKED), own = FEATURE(5);
    struct fixture f;

    (void)state;
    open_fixture(&f, MODERN | PROTOCOL | packed, ALL_PROTOCOL);
    must_greet(&f);
    assert_true(f.peer.acknowledges);
    assert_int_equal(vhost_user_supported(&f.peer, MODERN | packed | own |
                                                       FEATURE(VIRTIO_RING_F_INDIRECT_DESC)),
                     MODERN | own);
    assert_int_equal(vhost_user_begin(&f.peer, MODERN | own), 0);
    close_fixture(&f);
    assert_int_equal(f.fake.accepted, MODERN | PROTOCOL);
}

static void same_file(int a, int b)
{
    struct stat one, other;

    assert_int_equal(fstat(a, &one), 0);
    assert_int_equal(fstat(b, &other), 0);
    assert_int_equal(one.st_ino, other.st_ino);
}

static void gives_it_the_memory(void **state)
{
    struct fixture f;
    char *seen;

    (void)state;
    open_fixture(&f, MODERN | PROTOCOL, ALL_PROTOCOL);
    must_greet(&f);
    assert_int_equal(vhost_user_begin(&f.peer, MODERN), 0);
    pthread_mutex_lock(&f.fake.lock);
    assert_int_equal(f.fake.region_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &f.memory.regions[i];
        const struct fake_region *told = &f.fake.regions[i];

        assert_int_equal(told->guest_address, region->base.v);
        assert_int_equal(told->size, region->size);
        assert_int_equal(told->user_address, (uintptr_t)region->host);
        same_file(told->fd, f.memory.fd);
        seen = mmap(NULL, told->size, PROT_READ, MAP_SHARED, told->fd, (off_t)told->offset);
        assert_ptr_not_equal(seen, MAP_FAILED);
        region->host[i + 5] = 'x';
        assert_int_equal(seen[i + 5], 'x');
        munmap(seen, told->size);
    }
    pthread_mutex_unlock(&f.fake.lock);
    close_fixture(&f);
}

static void lends_a_ring(void **state)
{
    struct lent_ring ring;
    struct fake_peer_ring told;
    uint16_t position = 0;
    eventfd_t count;
    struct fixture f;

    (void)state;
    open_fixture(&f, MODERN | PROTOCOL, ALL_PROTOCOL);
    must_greet(&f);
    ring = ring_of(&f);
    assert_int_equal(vhost_user_begin(&f.peer, MODERN), 0);
    assert_int_equal(vhost_user_start_ring(&f.peer, 1, &ring), 0);
    told = fake_peer_ring(&f.fake, 1);
    assert_true(told.enabled);
    assert_int_equal(told.size, 16);
    assert_int_equal(told.position, 65535);
    assert_int_equal(told.descriptors, (uintptr_t)ring.descriptors);
    assert_int_equal(told.avail, (uintptr_t)ring.avail);
    assert_int_equal(told.used, (uintptr_t)ring.used);
    eventfd_write(told.call, 7);
    assert_int_equal(eventfd_read(f.events[1], &count), 0);
    assert_int_equal(count, 7);
    eventfd_write(f.events[0], 3);
    assert_int_equal(eventfd_read(told.kick, &count), 0);
    assert_int_equal(count, 3);
    eventfd_write(told.fault, 2);
    assert_int_equal(eventfd_read(f.events[2], &count), 0);
    assert_int_equal(vhost_user_stop_ring(&f.peer, 1, &position), 0);
    assert_int_equal(position, 65535);
    assert_int_equal(fake_peer_ring(&f.fake, 1).kick, -1);
    close_fixture(&f);
}

/* One that neither acknowledges nor has rings that are enabled. */
static void serves_an_old_peer_too(void **state)
{
    static const uint64_t features[] = {MODERN, MODERN | PROTOCOL};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint16_t position = 0;
        struct fixture f;

        open_fixture(&f, features[i], 0);
        assert_int_equal(use(&f, &position), 0);
        assert_int_equal(position, 65535);
        assert_false(f.peer.acknowledges);
        close_fixture(&f);
        assert_int_equal(f.fake.accepted, features[i]);
    }
}

/* --- bad ones --- */

static void refuses_one_before_virtio_1(void **state)
{
    struct err err = {0};
    struct fixture f;

    (void)state;
    open_fixture(&f, FEATURE(VIRTIO_RING_F_EVENT_IDX) | PROTOCOL, ALL_PROTOCOL);
    assert_failure(vhost_user_greet(&f.peer, &err), -ENOTSUP, &err, "does not know virtio 1");
    close_fixture(&f);
}

static const uint32_t requests[] = {
    FAKE_GET_FEATURES,          FAKE_GET_PROTOCOL_FEATURES, FAKE_SET_FEATURES,
    FAKE_SET_MEM_TABLE,         FAKE_SET_VRING_NUM,         FAKE_SET_VRING_BASE,
    FAKE_SET_VRING_ADDR,        FAKE_SET_VRING_CALL,        FAKE_SET_VRING_ERR,
    FAKE_SET_VRING_KICK,        FAKE_SET_VRING_ENABLE,      FAKE_GET_VRING_BASE,
};

static bool has_answer_of_its_own(uint32_t request)
{
    return request == FAKE_GET_FEATURES || request == FAKE_GET_PROTOCOL_FEATURES ||
           request == FAKE_GET_VRING_BASE;
}

/* What is a fault there: numbers can be any, and there is no ring in them. */
static bool is_fault(uint32_t request, enum fake_fault fault)
{
    if (fault == FAKE_REFUSAL)
        return !has_answer_of_its_own(request);
    return fault != FAKE_OTHER_RING || request == FAKE_GET_VRING_BASE;
}

/* Whatever goes wrong, and wherever: an error at once, for good, and the other side hears of it. */
static void no_fault_goes_unnoticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        for (enum fake_fault fault = FAKE_END; fault < FAKE_FAULTS; fault++) {
            uint16_t position = 0;
            struct fixture f;
            int rc;

            if (!is_fault(requests[i], fault))
                continue;
            open_fixture(&f, MODERN | PROTOCOL, ALL_PROTOCOL);
            fake_peer_fail(&f.fake, requests[i], fault);
            rc = use(&f, &position);
            if (rc >= 0 || !f.peer.fault)
                fail_msg("request %u, fault %d: %d", requests[i], fault, rc);
            assert_int_equal(rc, fault <= FAKE_HALF_AN_ANSWER ? -ECONNRESET : -EPROTO);
            assert_int_equal(vhost_user_begin(&f.peer, MODERN), -ECONNRESET);
            close_fixture(&f);
        }
    }
}

static void waits_for_a_while_only(void **state)
{
    static const uint32_t silent_at[] = {FAKE_GET_FEATURES, FAKE_SET_MEM_TABLE,
                                         FAKE_GET_VRING_BASE};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = timing_now();
        struct lent_ring ring;
        struct err err = {0};
        uint16_t position;
        struct fixture f;
        int rc;

        open_fixture(&f, MODERN | PROTOCOL, ALL_PROTOCOL);
        fake_peer_fail(&f.fake, silent_at[i], FAKE_SILENCE);
        ring = ring_of(&f);
        if (i == 0)
            f.peer.patience = SHORT_PATIENCE;
        rc = vhost_user_greet(&f.peer, &err);
        f.peer.patience = SHORT_PATIENCE;
        rc = rc ?: vhost_user_begin(&f.peer, MODERN);
        rc = rc ?: vhost_user_start_ring(&f.peer, 0, &ring);
        rc = rc ?: vhost_user_stop_ring(&f.peer, 0, &position);
        assert_int_equal(rc, -ETIMEDOUT);
        assert_string_equal(f.peer.fault, "it does not answer");
        assert_true(timing_now() - before >= SHORT_PATIENCE * UINT64_C(1000000));
        close_fixture(&f);
    }
}

/* Each answer comes in time, all of them do not. */
static void waits_for_all_answers_together(void **state)
{
    struct lent_ring ring;
    struct fixture f;

    (void)state;
    open_fixture(&f, MODERN | PROTOCOL, ALL_PROTOCOL);
    ring = ring_of(&f);
    must_greet(&f);
    assert_int_equal(vhost_user_begin(&f.peer, MODERN), 0);
    pthread_mutex_lock(&f.fake.lock);
    f.fake.delay_ms = SHORT_PATIENCE / 2;
    pthread_mutex_unlock(&f.fake.lock);
    f.peer.patience = SHORT_PATIENCE;
    assert_int_equal(vhost_user_start_ring(&f.peer, 0, &ring), -ETIMEDOUT);
    close_fixture(&f);
}

/* It reads nothing: what is sent stays in the socket until that is full. */
static void does_not_wait_for_ever_to_be_heard(void **state)
{
    struct guest_memory memory = {0};
    struct vhost_user peer;
    int ends[2], rc = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    vhost_user_open(&peer, ends[0], &memory);
    peer.patience = SHORT_PATIENCE;
    for (unsigned i = 0; i < 1000000 && rc == 0; i++)
        rc = vhost_user_begin(&peer, MODERN);
    assert_int_equal(rc, -ETIMEDOUT);
    vhost_user_close(&peer);
    close(ends[1]);
}

static void notices_what_nobody_asked_for(void **state)
{
    struct guest_memory memory = {0};
    struct vhost_user peer;
    int ends[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        vhost_user_open(&peer, ends[0], &memory);
        vhost_user_hear(&peer);
        assert_null(peer.fault);
        if (i == 0)
            assert_int_equal(write(ends[1], "x", 1), 1);
        else
            close(ends[1]);
        vhost_user_hear(&peer);
        assert_string_equal(peer.fault, i == 0 ? "it breaks the protocol" : "it ended");
        vhost_user_close(&peer);
        if (i == 0)
            close(ends[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_on_features),
        cmocka_unit_test(gives_it_the_memory),
        cmocka_unit_test(lends_a_ring),
        cmocka_unit_test(serves_an_old_peer_too),
        cmocka_unit_test(refuses_one_before_virtio_1),
        cmocka_unit_test(no_fault_goes_unnoticed),
        cmocka_unit_test(waits_for_a_while_only),
        cmocka_unit_test(waits_for_all_answers_together),
        cmocka_unit_test(does_not_wait_for_ever_to_be_heard),
        cmocka_unit_test(notices_what_nobody_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
