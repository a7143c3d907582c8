/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of virtio-net, while frames come, are read, and the link goes. */
#include "virtio_script.h"

#include "devices/virtio/net.h"
#include "support/fake_net.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A frame of up to 62 KiB, the reading of one, or the end of a pair. */
static void act(void *context, uint8_t argument)
{
    static uint8_t bytes[NET_FRAME_ROOM];
    struct fake_net *fake = context;
    unsigned pair = argument >> 1 & 1;

    if (argument == 0xff) {
        shutdown(fake->host[pair], SHUT_WR);
    } else if (argument & 1) {
        while (recv(fake->host[pair], bytes, sizeof bytes, 0) > 0)
            ;
    } else {
        send(fake->host[pair], bytes, 13u + (argument >> 2) * 1000u, MSG_NOSIGNAL);
    }
}

/* Byte 0: whether there are two pairs, and offloads. The rest is the script. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct virtio_net_options options = {.mac = {2}};
    struct mock_guest guest;
    struct mock_driver driver;
    struct virtio_device *device;
    struct fake_net fake;

    if (size < 1)
        return 0;
    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    fake_net_open(&fake, 1 + (data[0] & 1), data[0] & 2 ? FAKE_NET_OFFLOADS : 0);
    if (virtio_net_create(&device, &guest.environment, &options, &fake.net, NULL))
        abort();
    mock_driver_open(&driver, &guest, device);
    script_run(&driver, data + 1, size - 1, act, &fake);
    if (guest.log_lines > 2)
        abort();
    virtio_device_destroy(device);
    mock_driver_close(&driver);
    net_close(&fake.net);
    fake_net_leave(&fake);
    mock_guest_close(&guest);
    return 0;
}
