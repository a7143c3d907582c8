/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames on a stream socket: each has its length in front, 4 bytes, big-endian, as passt
 * and QEMU's "-netdev stream" speak. Both directions are bounded, and move many frames a call.
 */
#ifndef HUSK_DEVICES_NET_USER_FRAMES_H
#define HUSK_DEVICES_NET_USER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_PREFIX_SIZE 4u
#define FRAME_MAX 65600u /* bytes: 64 KiB of IP, Ethernet's header and VLAN tags */
#define FRAME_INPUT_SIZE (256u << 10)
#define FRAME_OUTPUT_SIZE (1u << 20)
#define FRAME_SOCKET_BUFFER (1 << 20) /* what is asked for; the host may give less */

/* What was read and not yet taken: buffer[start..end). */
struct frame_input {
    size_t start;
    size_t end;
    uint8_t buffer[FRAME_INPUT_SIZE];
};

/* Reads once. Bytes, 0 at the end of the stream, or -errno. Frames taken before are gone. */
ssize_t frame_input_fill(struct frame_input *input, int fd);

/*
 * Takes the next frame; it stays valid until the next fill. Its size, 0 while there is no whole
 * one, or -EPROTO: what follows is no frame, and never will be.
 */
ssize_t frame_input_next(struct frame_input *input, const uint8_t **frame);

/* A ring of bytes as they go to the socket; it begins anew whenever it is empty. */
struct frame_output {
    size_t start;
    size_t size;
    uint8_t ring[FRAME_OUTPUT_SIZE];
};

/* Queues a frame, whole or, if there is no room for it, not at all. */
bool frame_output_put(struct frame_output *output, const uint8_t *frame, size_t size);

/* Writes what the socket takes. 0, also if it does not take all, or -errno. */
int frame_output_flush(struct frame_output *output, int fd);

#endif
