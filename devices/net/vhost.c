/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of <linux/vhost.h>, in the order in which the kernel wants them. */
#include "devices/net/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VHOST_DEVICE "/dev/vhost-net"

/*
 * What must be agreed upon with the kernel, because it serves the rings. VHOST_NET_F_VIRTIO_NET_HDR
 * is not among it: the header of a frame is the tap's.
 */
#define FEATURE(bit) (UINT64_C(1) << (bit))
#define RING_FEATURES                                                                             \
    (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) |                              \
     FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

static int request(const struct vhost *vhost, unsigned long what, const void *argument)
{
    return ioctl(vhost->fd, what, argument) < 0 ? -errno : 0;
}

static uint64_t address(const void *pointer)
{
    return (uintptr_t)pointer;
}

/* --- life --- */

static int set_memory(const struct vhost *vhost, const struct guest_memory *memory)
{
    struct {
        struct vhost_memory header;
        struct vhost_memory_region regions[MEMORY_REGIONS_MAX];
    } table = {.header = {.nregions = memory->count}};

    _Static_assert(sizeof(table) == sizeof(table.header) + sizeof(table.regions), "no gap");
    for (unsigned i = 0; i < memory->count; i++)
        table.regions[i] = (struct vhost_memory_region){
            .guest_phys_addr = memory->regions[i].base.v,
            .memory_size = memory->regions[i].size,
            .userspace_addr = address(memory->regions[i].host),
        };
    return request(vhost, VHOST_SET_MEM_TABLE, &table);
}

static int prepare(struct vhost *vhost, const struct guest_memory *memory, struct err *err)
{
    int rc = request(vhost, VHOST_SET_OWNER, NULL);

    if (rc == 0)
        rc = request(vhost, VHOST_GET_FEATURES, &vhost->features);
    if (rc == 0)
        rc = set_memory(vhost, memory);
    if (rc)
        return err_sys(err, rc, VHOST_DEVICE " cannot be prepared");
    if (!(vhost->features & FEATURE(VIRTIO_F_VERSION_1)))
        return err_set(err, -ENOTSUP, VHOST_DEVICE " does not know virtio 1; leave out vhost");
    return 0;
}

int vhost_adopt(struct vhost *vhost, int fd, const struct guest_memory *memory, struct err *err)
{
    int rc;

    *vhost = (struct vhost){.fd = fd};
    rc = prepare(vhost, memory, err);
    if (rc)
        vhost_close(vhost);
    return rc;
}

int vhost_open(struct vhost *vhost, const struct guest_memory *memory, struct err *err)
{
    int fd = open(VHOST_DEVICE, O_RDWR | O_CLOEXEC), rc = -errno;

    if (fd >= 0)
        return vhost_adopt(vhost, fd, memory, err);
    if (rc == -ENOENT || rc == -ENXIO || rc == -ENODEV)
        err_set(err, rc, VHOST_DEVICE " does not exist; load the host's module vhost_net");
    else if (rc == -EACCES)
        err_set(err, rc, VHOST_DEVICE " cannot be opened; check its mode and owner");
    else
        err_sys(err, rc, VHOST_DEVICE " cannot be opened");
    return rc;
}

void vhost_close(struct vhost *vhost)
{
    if (vhost->fd >= 0)
        close(vhost->fd);
    vhost->fd = -1;
}

/* --- features --- */

/* No vhost-net knows packed rings, nor says how it would tell their positions. */
uint64_t vhost_supported(const struct vhost *vhost, uint64_t features)
{
    return features & (vhost->features | ~RING_FEATURES) & ~FEATURE(VIRTIO_F_RING_PACKED);
}

int vhost_set_features(struct vhost *vhost, uint64_t accepted)
{
    uint64_t features = accepted & RING_FEATURES;

    return request(vhost, VHOST_SET_FEATURES, &features);
}

/* --- rings --- */

static int set_state(const struct vhost *vhost, unsigned long what, unsigned index, unsigned number)
{
    return request(vhost, what, &(struct vhost_vring_state){.index = index, .num = number});
}

static int set_file(const struct vhost *vhost, unsigned long what, unsigned index, int fd)
{
    return request(vhost, what, &(struct vhost_vring_file){.index = index, .fd = fd});
}

static int set_up(const struct vhost *vhost, unsigned index, const struct lent_ring *ring)
{
    const struct vhost_vring_addr addresses = {
        .index = index,
        .desc_user_addr = address(ring->descriptors),
        .avail_user_addr = address(ring->avail),
        .used_user_addr = address(ring->used),
    };

    return set_state(vhost, VHOST_SET_VRING_NUM, index, ring->size)
               ?: set_state(vhost, VHOST_SET_VRING_BASE, index, ring->position)
               ?: request(vhost, VHOST_SET_VRING_ADDR, &addresses)
               ?: set_file(vhost, VHOST_SET_VRING_CALL, index, ring->call)
               ?: set_file(vhost, VHOST_SET_VRING_ERR, index, ring->fault)
               ?: set_file(vhost, VHOST_SET_VRING_KICK, index, ring->kick);
}

/* With all of its descriptors, or else the kernel would hold them until the next start. */
static void let_go(const struct vhost *vhost, unsigned index)
{
    set_file(vhost, VHOST_NET_SET_BACKEND, index, -1);
    set_file(vhost, VHOST_SET_VRING_KICK, index, -1);
    set_file(vhost, VHOST_SET_VRING_CALL, index, -1);
    set_file(vhost, VHOST_SET_VRING_ERR, index, -1);
}

int vhost_start_ring(struct vhost *vhost, unsigned index, const struct lent_ring *ring, int tap)
{
    int rc = set_up(vhost, index, ring) ?: set_file(vhost, VHOST_NET_SET_BACKEND, index, tap);

    if (rc)
        let_go(vhost, index);
    return rc;
}

uint16_t vhost_stop_ring(struct vhost *vhost, unsigned index)
{
    struct vhost_vring_state state = {.index = index};

    let_go(vhost, index);
    request(vhost, VHOST_GET_VRING_BASE, &state);
    return (uint16_t)state.num;
}
