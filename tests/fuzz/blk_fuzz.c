/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of virtio-blk over an image in memory, which must keep its size. */
#include "virtio_script.h"

#include "devices/virtio/blk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_SIZE 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int make_image(char *path, size_t room)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, IMAGE_SIZE) < 0)
        abort();
    snprintf(path, room, "/proc/self/fd/%d", fd);
    return fd;
}

/* Byte 0: whether the disk is read-only. The rest is the script; nothing in it takes time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct virtio_device *device;
    struct disk *disk;
    struct stat status;
    char path[64];
    const struct disk_options options = {path, data[0] & 1, DISK_CACHE_WRITEBACK, DISK_ENGINE_SYNC};
    int fd;

    if (size < 1)
        return 0;
    fd = make_image(path, sizeof path);
    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    if (disk_open(&disk, &options, NULL) ||
        virtio_blk_create(&device, &guest.environment, NULL, disk, NULL))
        abort();
    mock_driver_open(&driver, &guest, device);
    script_run(&driver, data + 1, size - 1, NULL, NULL);
    if (fstat(fd, &status) < 0 || status.st_size != IMAGE_SIZE || guest.log_lines > 2)
        abort();
    virtio_device_destroy(device);
    mock_driver_close(&driver);
    disk_close(disk);
    mock_guest_close(&guest);
    close(fd);
    return 0;
}
