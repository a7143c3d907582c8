/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio file system device. All of its queues are lent to virtiofsd, and are on the device's loop,
 * as is what is said to virtiofsd.
 *
 * Once virtiofsd is lost the queues are served here, and every request is answered with an error. A
 * driver that is told to reset the device instead (DEVICE_NEEDS_RESET) would have to hear of it, and
 * Linux' does not: who uses the files would wait for ever, and not even a signal would end that.
 */
#include "devices/virtio/fs.h"

#include "core/iov.h"

#include <endian.h>
#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_URGENT, QUEUE_REQUEST, QUEUE_COUNT };

#define QUEUE_SIZE VIRTQ_SIZE_MAX

struct virtio_fs {
    struct virtio_device device; /* first member: the two convert to each other */
    struct share *share;
    struct vhost_user *peer;     /* the share's */
    struct loop_source heard;    /* its socket */
    bool lost;
    char tag[VIRTIO_FS_TAG_MAX + 1];
};

/* --- without virtiofsd --- */

/* The answer to a FUSE request, if one is wanted; its size. */
static uint32_t refuse(const struct virtq_chain *chain)
{
    struct fuse_in_header request = {0};
    struct fuse_out_header answer = {.len = sizeof answer, .error = -ENOTCONN};

    if (chain->writable_size < sizeof answer)
        return 0;
    iov_read(virtq_readable(chain), chain->readable_count, 0, &request, sizeof request);
    answer.unique = request.unique;
    return (uint32_t)iov_write(virtq_writable(chain), chain->writable_count, 0, &answer,
                               sizeof answer);
}

static void notify(struct virtio_device *device, unsigned index)
{
    struct virtio_queue *queue = &device->queues[index];
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (virtio_batch_next(&batch, &chain)) {
        virtio_queue_push(queue, chain.token, refuse(&chain));
        counter_add(&queue->counters.errors, 1);
    }
    virtio_queue_interrupt(queue);
}

/* The peer has failed: it is ended, so that it touches neither rings nor memory any more. */
static void drop(struct virtio_fs *self)
{
    const char *words;

    if (self->lost)
        return;
    self->lost = true;
    words = share_lose(self->share);
    log_line(self->device.environment.log, LOG_LEVEL_WARNING, "share %s: lost virtiofsd: %s%s%s; "
             "the guest gets errors from now on", self->tag, self->peer->fault,
             *words ? ", saying: " : "", words);
}

static void heard(struct loop_source *source, uint32_t events)
{
    struct virtio_fs *self = (void *)((char *)source - offsetof(struct virtio_fs, heard));

    (void)events;
    vhost_user_hear(self->peer);
    if (!self->peer->fault)
        return;
    loop_watch(self->device.environment.loop, source, 0);
    drop(self);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        virtio_queue_recall(&self->device.queues[i]);
}

/* --- with it --- */

static void activate(struct virtio_device *device)
{
    struct virtio_fs *self = (struct virtio_fs *)device;

    if (vhost_user_begin(self->peer, device->accepted))
        drop(self);
}

/* Of several queues those that are lent already come back when the socket tells that it is shut. */
static bool lend_queue(struct virtio_device *device, unsigned queue,
                       const struct lent_ring *ring)
{
    struct virtio_fs *self = (struct virtio_fs *)device;

    if (vhost_user_start_ring(self->peer, queue, ring) == 0)
        return true;
    drop(self);
    return false;
}

/* What a peer that is lost had in flight is taken for what the ring does not say is done. */
static uint16_t take_back_queue(struct virtio_device *device, unsigned queue)
{
    struct virtio_fs *self = (struct virtio_fs *)device;
    uint16_t position;

    if (vhost_user_stop_ring(self->peer, queue, &position) == 0)
        return position;
    drop(self);
    return virtq_given_back(&device->queues[queue].ring);
}

/* --- device --- */

static void destroy(struct virtio_device *device)
{
    struct virtio_fs *self = (struct virtio_fs *)device;

    loop_watch(device->environment.loop, &self->heard, 0);
    virtio_device_release(device);
    free(self);
}

static const struct virtio_device_ops ops = {
    .name = "fs",
    .device_id = VIRTIO_ID_FS,
    .activate = activate,
    .notify = notify,
    .lend_queue = lend_queue,
    .lends_to_process = true,
    .take_back_queue = take_back_queue,
    .destroy = destroy,
};

static void publish_config(struct virtio_fs *self)
{
    struct virtio_fs_config config = {.num_request_queues = htole32(QUEUE_COUNT - QUEUE_REQUEST)};

    memcpy(config.tag, self->tag, sizeof config.tag);
    virtio_device_set_config(&self->device, &config, sizeof config);
}

int virtio_fs_create(struct virtio_device **device, const struct virtio_environment *environment,
                     const char *tag, struct share *share, struct err *err)
{
    const struct virtio_queue_options queues[QUEUE_COUNT] = {
        {.size_max = QUEUE_SIZE},
        {.size_max = QUEUE_SIZE},
    };
    struct virtio_fs *self = calloc(1, sizeof *self);
    int rc;

    if (!self)
        return err_set(err, -ENOMEM, "virtio-fs: out of memory");
    rc = virtio_device_init(&self->device, &ops, environment, queues, QUEUE_COUNT, 0, err);
    if (rc) {
        free(self);
        return rc;
    }
    self->share = share;
    self->peer = share_peer(share);
    self->heard = (struct loop_source){.fd = self->peer->fd, .ready = heard};
    strncpy(self->tag, tag, VIRTIO_FS_TAG_MAX);
    for (unsigned i = 0; i < QUEUE_COUNT && rc == 0; i++)
        rc = virtio_queue_make_lendable(&self->device.queues[i], err);
    if (rc) {
        destroy(&self->device);
        return rc;
    }
    publish_config(self);
    *device = &self->device;
    return 0;
}

int virtio_fs_await(struct virtio_device *device, struct err *err)
{
    struct virtio_fs *self = (struct virtio_fs *)device;
    int rc = share_await(self->share, err);

    if (rc)
        return rc;
    device->offered = vhost_user_supported(self->peer, device->offered);
    rc = loop_watch(device->environment.loop, &self->heard, EPOLLIN);
    return rc ? err_sys(err, rc, "cannot watch virtiofsd") : 0;
}
