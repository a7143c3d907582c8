/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device whose rings are lent to vhost-net, which is the test: open() and ioctl() are
 * wrapped by the linker. It is as strict as the kernel about the order of requests.
 */
#include "devices/virtio/net.h"
#include "support/fake_net.h"
#include "support/mock_driver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>

#define SIZE 16u
#define PAIRS 2u
#define FEATURE(name) MOCK_FEATURE(VIRTIO_NET_F_##name)
#define SEVERAL (FEATURE(CTRL_VQ) | FEATURE(MQ))
#define KERNEL_FEATURES                                                                           \
    (MOCK_VERSION_1 | MOCK_INDIRECT | MOCK_EVENT_IDX | FEATURE(MRG_RXBUF) |                       \
     MOCK_FEATURE(VHOST_F_LOG_ALL) | MOCK_FEATURE(VHOST_NET_F_VIRTIO_NET_HDR))

/* --- the kernel --- */

struct fake_ring {
    unsigned size, position;
    struct vhost_vring_addr addresses;
    int kick, call, fault, backend;
};

static struct fake_kernel {
    uint64_t offered; /* 0: the module is not loaded */
    bool takes_no_rings;
    unsigned count;
    struct fake_vhost {
        int fd;
        bool owned;
        uint64_t features;
        unsigned region_count;
        struct vhost_memory_region regions[MEMORY_REGIONS_MAX];
        struct fake_ring rings[2];
    } vhosts[PAIRS];
} kernel;

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long what, void *argument);
int __real_ioctl(int fd, unsigned long what, void *argument);

int __wrap_open(const char *path, int flags, ...)
{
    struct fake_vhost *vhost = &kernel.vhosts[kernel.count];
    const struct fake_ring idle = {.kick = -1, .call = -1, .fault = -1, .backend = -1};

    if (strcmp(path, "/dev/vhost-net") != 0)
        return __real_open(path, flags, 0600);
    if (!kernel.offered) {
        errno = ENOENT;
        return -1;
    }
    kernel.count++;
    *vhost = (struct fake_vhost){.fd = eventfd(0, 0), .rings = {idle, idle}};
    return vhost->fd;
}

static int set_memory(struct fake_vhost *vhost, const struct vhost_memory *table)
{
    vhost->region_count = table->nregions;
    memcpy(vhost->regions, table->regions, table->nregions * sizeof table->regions[0]);
    return 0;
}

static int set_number(unsigned *to, const struct fake_ring *ring, unsigned number)
{
    if (ring->backend >= 0)
        return -EBUSY;
    *to = number;
    return 0;
}

static int set_backend(struct fake_ring *ring, int fd)
{
    if (fd >= 0 && (kernel.takes_no_rings || ring->kick < 0 || !ring->addresses.desc_user_addr))
        return -EFAULT;
    ring->backend = fd;
    return 0;
}

/* Its thread wakes up for a kick and finds nothing to serve yet. */
static void hear_too_early(const struct fake_ring *ring)
{
    eventfd_t kicks;

    if (ring->kick >= 0)
        eventfd_read(ring->kick, &kicks);
}

/* Of one ring, whose index every such request has first. */
static int ask_ring(struct fake_ring *ring, unsigned long what, void *argument)
{
    struct vhost_vring_state *state = argument;
    const struct vhost_vring_file *file = argument;

    switch (what) {
    case VHOST_SET_VRING_NUM:
        return set_number(&ring->size, ring, state->num);
    case VHOST_SET_VRING_BASE:
        return set_number(&ring->position, ring, state->num);
    case VHOST_GET_VRING_BASE:
        state->num = ring->position;
        return 0;
    case VHOST_SET_VRING_ADDR:
        ring->addresses = *(const struct vhost_vring_addr *)argument;
        return 0;
    case VHOST_SET_VRING_KICK:
        ring->kick = file->fd;
        hear_too_early(ring);
        return 0;
    case VHOST_SET_VRING_CALL:
        ring->call = file->fd;
        return 0;
    case VHOST_SET_VRING_ERR:
        ring->fault = file->fd;
        return 0;
    case VHOST_NET_SET_BACKEND:
        return set_backend(ring, file->fd);
    default:
        return -ENOTTY;
    }
}

static int ask(struct fake_vhost *vhost, unsigned long what, void *argument)
{
    if (what != VHOST_SET_OWNER && !vhost->owned)
        return -EPERM;
    switch (what) {
    case VHOST_SET_OWNER:
        vhost->owned = true;
        return 0;
    case VHOST_GET_FEATURES:
        *(uint64_t *)argument = kernel.offered;
        return 0;
    case VHOST_SET_FEATURES:
        vhost->features = *(uint64_t *)argument;
        return vhost->features & ~kernel.offered ? -EOPNOTSUPP : 0;
    case VHOST_SET_MEM_TABLE:
        return set_memory(vhost, argument);
    default:
        assert_in_range(*(unsigned *)argument, 0, 1);
        return ask_ring(&vhost->rings[*(unsigned *)argument], what, argument);
    }
}

int __wrap_ioctl(int fd, unsigned long what, void *argument)
{
    for (unsigned i = 0; i < kernel.count; i++) {
        int rc = kernel.vhosts[i].fd == fd ? ask(&kernel.vhosts[i], what, argument) : 1;

        if (rc == 0)
            return 0;
        errno = -rc;
        if (rc < 0)
            return -1;
    }
    return __real_ioctl(fd, what, argument);
}

/* --- the machine --- */

struct fixture {
    struct mock_guest guest;
    struct fake_net fake;
    struct virtio_device *device;
    struct mock_driver driver;
};

static void open_machine(struct fixture *f, uint64_t offered)
{
    const struct virtio_net_options options = {.mac = {2}};
    struct err err;

    kernel = (struct fake_kernel){.offered = offered};
    mock_guest_open(&f->guest);
    f->guest.environment.packed_rings = true;
    f->guest.packed = false;
    fake_net_open(&f->fake, PAIRS, FAKE_NET_OFFLOADS);
    if (net_use_vhost(&f->fake.net, &f->guest.memory, &err))
        fail_msg("%s", err.message);
    if (virtio_net_create(&f->device, &f->guest.environment, &options, &f->fake.net, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f->driver, &f->guest, f->device);
}

static int open_fixture(void **state)
{
    static struct fixture f;

    open_machine(&f, KERNEL_FEATURES);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        assert_int_equal(kernel.vhosts[i / 2].rings[i % 2].backend, -1);
    mock_driver_close(&f->driver);
    net_close(&f->fake.net);
    fake_net_leave(&f->fake);
    mock_guest_close(&f->guest);
    return 0;
}

static struct fake_ring *ring(unsigned queue)
{
    return &kernel.vhosts[queue / 2].rings[queue % 2];
}

static bool is_lent(unsigned queue)
{
    return ring(queue)->backend >= 0;
}

/* --- tests --- */

static void test_module_is_missing(void **state)
{
    struct guest_memory memory = {.count = 0};
    struct fake_net fake;
    struct err err;

    (void)state;
    kernel = (struct fake_kernel){.offered = 0};
    fake_net_open(&fake, 1, 0);
    assert_int_equal(net_use_vhost(&fake.net, &memory, &err), -ENOENT);
    assert_non_null(strstr(err.message, "load the host's module vhost_net"));
    kernel.offered = MOCK_INDIRECT;
    assert_int_equal(net_use_vhost(&fake.net, &memory, &err), -ENOTSUP);
    assert_null(net_vhost(&fake.net, 0));
    net_close(&fake.net);
    fake_net_leave(&fake);
}

/* What the kernel lacks is not offered; what is not its affair is, and it does not hear of it. */
static void test_features(void **state)
{
    struct fixture *f = *state;
    const uint64_t common = MOCK_VERSION_1 | MOCK_EVENT_IDX | FEATURE(MRG_RXBUF) | FEATURE(CSUM);

    assert_int_equal(mock_offered(&f->driver) & (common | MOCK_PACKED), common);
    mock_start(&f->driver, common | FEATURE(MAC), SIZE);
    assert_int_equal(kernel.vhosts[0].features, common & ~FEATURE(CSUM));
    close_fixture(state);
    open_machine(f, MOCK_VERSION_1);
    assert_int_equal(mock_offered(&f->driver) & common, MOCK_VERSION_1 | FEATURE(CSUM));
}

static void test_memory_table(void **state)
{
    const struct fixture *f = *state;
    const struct memory_region *region = &f->guest.memory.regions[0];

    for (unsigned i = 0; i < PAIRS; i++) {
        const struct fake_vhost *vhost = &kernel.vhosts[i];

        assert_int_equal(vhost->region_count, f->guest.memory.count);
        assert_int_equal(vhost->regions[0].guest_phys_addr, region->base.v);
        assert_int_equal(vhost->regions[0].memory_size, region->size);
        assert_int_equal(vhost->regions[0].userspace_addr, (uintptr_t)region->host);
    }
}

static void test_rings_are_lent(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL, SIZE);
    for (unsigned i = 0; i < 2 * PAIRS; i++) {
        const struct mock_ring *mock = &f->driver.rings[i];

        assert_int_equal(ring(i)->backend, f->fake.net.pairs[i / 2].source.fd);
        assert_int_equal(ring(i)->size, SIZE);
        assert_int_equal(ring(i)->position, 0);
        assert_ptr_equal((void *)(uintptr_t)ring(i)->addresses.desc_user_addr,
                         mock_at(&f->guest, mock->descriptors, 1));
        assert_ptr_equal((void *)(uintptr_t)ring(i)->addresses.avail_user_addr,
                         mock_at(&f->guest, mock->avail, 1));
        assert_ptr_equal((void *)(uintptr_t)ring(i)->addresses.used_user_addr,
                         mock_at(&f->guest, mock->used, 1));
    }
}

/* A driver that knows of one pair has its control queue where others have a receive queue. */
static void test_control_queue_is_not_lent(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, FEATURE(CTRL_VQ), SIZE);
    assert_true(is_lent(0) && is_lent(1));
    assert_false(is_lent(2) || is_lent(3));
}

/* The loop sleeps on, and the kernel finds the kick. */
static void test_kick(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor frame = {MOCK_BUFFERS, 60, 0, 0};
    eventfd_t kicks;

    mock_start(&f->driver, SEVERAL, SIZE);
    eventfd_read(ring(1)->kick, &kicks);
    mock_add(&f->driver.rings[1], &frame, 1);
    mock_kick(&f->driver, 1);
    assert_int_equal(eventfd_read(ring(1)->kick, &kicks), 0);
    assert_int_equal(counter_read(&f->device->queues[1].counters.kicks), 0);
    assert_int_equal(mock_used_idx(&f->driver.rings[1]), 0);
}

/* The kernel looks at each ring after it has all that it needs, also after a snapshot. */
static void test_kick_is_not_too_early(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    eventfd_t kicks;

    mock_start(&f->driver, SEVERAL, SIZE);
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        assert_int_equal(eventfd_read(ring(i)->kick, &kicks), 0);
    mock_kick(&f->driver, 1);
    mock_save(&f->driver, &writer);
    assert_int_equal(eventfd_read(ring(1)->kick, &kicks), 0);
    state_writer_free(&writer);
}

static void test_interrupt(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL, SIZE);
    mock_interrupted(&f->driver, NULL);
    eventfd_write(ring(0)->call, 1);
    if (f->driver.on_pci) /* the kernel has the vector's own eventfd: there is nothing to do here */
        assert_int_equal(mock_turn(&f->guest), 0);
    else
        mock_settle(&f->guest);
    assert_true(mock_interrupted(&f->driver, NULL));
}

static void test_broken_ring(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL, SIZE);
    eventfd_write(ring(0)->fault, 1);
    mock_settle(&f->guest);
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(f->guest.log_lines, 1);
    assert_false(is_lent(0));
}

static void test_refused_ring(void **state)
{
    struct fixture *f = *state;

    kernel.takes_no_rings = true;
    mock_start(&f->driver, SEVERAL, SIZE);
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(ring(0)->call, -1);
    kernel.takes_no_rings = false;
    mock_start(&f->driver, SEVERAL, SIZE);
    assert_true(is_lent(0));
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL, SIZE);
    ring(0)->position = 7;
    mock_reset(&f->driver);
    for (unsigned i = 0; i < 2 * PAIRS; i++) {
        assert_false(is_lent(i));
        assert_int_equal(ring(i)->kick, -1);
        assert_int_equal(ring(i)->call, -1);
        assert_int_equal(ring(i)->fault, -1);
    }
    mock_start(&f->driver, SEVERAL, SIZE);
    assert_true(is_lent(0));
    assert_int_equal(ring(0)->position, 0);
}

static void hear_of_interfaces(struct fixture *f)
{
    f->fake.net.links.ready(&f->fake.net.links, EPOLLIN);
    mock_settle(&f->guest);
}

static bool link_is_up(struct fixture *f)
{
    uint16_t status;

    virtio_device_read_config(f->device, offsetof(struct virtio_net_config, status), &status,
                              sizeof status);
    return status & VIRTIO_NET_S_LINK_UP;
}

/* What the host has to say concerns other interfaces mostly. */
static void test_interface_goes(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL | FEATURE(STATUS), SIZE);
    hear_of_interfaces(f);
    assert_true(link_is_up(f));
    f->fake.gone = true;
    hear_of_interfaces(f);
    assert_false(link_is_up(f));
    assert_int_equal(f->guest.log_lines, 1);
    mock_start(&f->driver, SEVERAL | FEATURE(STATUS), SIZE);
    assert_false(is_lent(0) || mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The driver is quicker than the news. */
static void test_interface_is_gone_at_start(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor frame = {MOCK_BUFFERS, 60, 0, 0};

    f->fake.gone = kernel.takes_no_rings = true;
    mock_start(&f->driver, SEVERAL | FEATURE(STATUS), SIZE);
    assert_false(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_false(is_lent(0) || is_lent(1));
    mock_settle(&f->guest);
    assert_false(link_is_up(f));
    mock_add(&f->driver.rings[1], &frame, 1);
    mock_kick(&f->driver, 1);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(&f->driver.rings[1]), 1); /* dropped */
}

/* The kernel touches no ring of a machine that is paused, and goes on where it was. */
static void test_pause(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, SEVERAL, SIZE);
    ring(1)->position = 5;
    virtio_device_suspend(f->device);
    assert_false(is_lent(0) || is_lent(1));
    ring(1)->position = 0;
    virtio_device_resume(f->device);
    assert_true(is_lent(0) && is_lent(1));
    assert_int_equal(ring(1)->position, 5);
}

/* A snapshot has the kernel's positions, and those who go on from it or are restored have them. */
static void test_snapshot(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct err err;

    mock_start(&f->driver, SEVERAL, SIZE);
    ring(1)->position = 5;
    mock_save(&f->driver, &writer);
    assert_true(is_lent(1));
    assert_int_equal(ring(1)->position, 5);
    mock_reset(&f->driver);
    ring(1)->position = 0;
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    if (mock_restore(&f->driver, &reader, &err))
        fail_msg("%s", err.message);
    assert_true(is_lent(1));
    assert_int_equal(ring(1)->position, 5);
    assert_true(mock_interrupted(&f->driver, NULL));
    state_writer_free(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_is_missing),
        TEST(test_features),
        TEST(test_memory_table),
        TEST(test_rings_are_lent),
        TEST(test_control_queue_is_not_lent),
        TEST(test_kick),
        TEST(test_kick_is_not_too_early),
        TEST(test_interrupt),
        TEST(test_broken_ring),
        TEST(test_refused_ring),
        TEST(test_reset),
        TEST(test_interface_goes),
        TEST(test_interface_is_gone_at_start),
        TEST(test_pause),
        TEST(test_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
