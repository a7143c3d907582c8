/* SPDX-License-Identifier: Apache-2.0 */
/* virtio console (virtio 1.2, section 5.3): one port, hvc0 in a Linux guest. */
#ifndef HUSK_DEVICES_VIRTIO_CONSOLE_H
#define HUSK_DEVICES_VIRTIO_CONSOLE_H

#include "devices/console/console.h"
#include "devices/virtio/device.h"

/* Attaches itself to `console`, which is borrowed and must outlive the device. */
int virtio_console_create(struct virtio_device **device,
                          const struct virtio_environment *environment, struct console *console,
                          struct err *err);

/* Tells the guest the terminal's size in characters. Loop's thread, or before the loop runs. */
void virtio_console_resize(struct virtio_device *device, uint16_t columns, uint16_t rows);

#endif
