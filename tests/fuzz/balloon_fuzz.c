/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the balloon, while the host wants more and less. What is not guest memory stays. */
#include "virtio_script.h"

#include "devices/virtio/balloon.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void act(void *context, uint8_t argument)
{
    struct virtio_device *device = context;
    struct virtio_balloon_figures figures;

    virtio_balloon_set_target(device, (uint64_t)argument << 14);
    figures = virtio_balloon_figures(device);
    if (figures.target > MOCK_MEMORY_SIZE || figures.actual > MOCK_MEMORY_SIZE ||
        figures.discarded % PAGE)
        abort();
}

/* Moves guest memory between two pages of the host's own, which a discard would empty. */
static uint8_t *guard(struct mock_guest *guest)
{
    struct memory_region *region = &guest->memory.regions[0];
    uint8_t *fence = mmap(NULL, region->size + 2 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (fence == MAP_FAILED)
        abort();
    munmap(region->host, region->size);
    region->host = fence + PAGE;
    memset(fence, 1, PAGE);
    memset(region->host + region->size, 1, PAGE);
    return fence;
}

static void look_at_guards(const struct mock_guest *guest, uint8_t *fence)
{
    const uint8_t *end = fence + PAGE + guest->memory.regions[0].size;

    for (unsigned i = 0; i < PAGE; i++)
        if (fence[i] != 1 || end[i] != 1)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct virtio_device *device;
    uint8_t *fence;

    mock_guest_open(&guest);
    fence = guard(&guest);
    guest.environment.packed_rings = true;
    if (virtio_balloon_create(&device, &guest.environment, NULL))
        abort();
    mock_driver_open(&driver, &guest, device);
    script_run(&driver, data, size, act, device);
    look_at_guards(&guest, fence);
    virtio_device_destroy(device);
    mock_driver_close(&driver);
    mock_guest_close(&guest);
    munmap(fence, PAGE);
    munmap(fence + PAGE + MOCK_MEMORY_SIZE, PAGE);
    return 0;
}
