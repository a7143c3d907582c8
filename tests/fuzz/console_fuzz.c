/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the virtio console, while the host types, reads and resizes. */
#include "virtio_script.h"

#include "devices/virtio/console.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
    struct virtio_device *device;
    int input[2], output[2];
};

static void act(void *context, uint8_t argument)
{
    struct host *host = context;
    char bytes[4096] = {0};
    ssize_t done = 0;

    switch (argument % 3) {
    case 0:
        done = write(host->input[1], bytes, argument);
        break;
    case 1:
        done = read(host->output[0], bytes, sizeof bytes);
        break;
    case 2:
        virtio_console_resize(host->device, argument, 25);
        break;
    }
    (void)done; /* a full or an empty pipe is fine */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct console console;
    struct host host;

    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    if (pipe2(host.input, O_NONBLOCK | O_CLOEXEC) < 0 ||
        pipe2(host.output, O_NONBLOCK | O_CLOEXEC) < 0 ||
        console_open(&console, &guest.loop, host.input[0], host.output[1], NULL) ||
        virtio_console_create(&host.device, &guest.environment, &console, NULL))
        abort();
    mock_driver_open(&driver, &guest, host.device);
    script_run(&driver, data, size, act, &host);
    virtio_device_destroy(host.device);
    mock_driver_close(&driver);
    console_close(&console);
    mock_guest_close(&guest);
    for (unsigned i = 0; i < 2; i++) {
        close(host.input[i]);
        close(host.output[i]);
    }
    return 0;
}
