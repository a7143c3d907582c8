/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the virtio entropy source. */
#include "virtio_script.h"

#include "devices/virtio/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct virtio_device *device;

    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    if (virtio_rng_create(&device, &guest.environment, NULL))
        abort();
    mock_driver_open(&driver, &guest, device);
    script_run(&driver, data, size, NULL, NULL);
    virtio_device_destroy(device);
    mock_driver_close(&driver);
    mock_guest_close(&guest);
    return 0;
}
