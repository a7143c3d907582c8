/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gzip stream (RFC 1952) inside a file, unpacked piece by piece with zlib, as much as is asked
 * for and no more: a small file cannot make much memory. Internal to firmware.
 */
#ifndef HUSK_FIRMWARE_GUNZIP_H
#define HUSK_FIRMWARE_GUNZIP_H

#include "core/err.h"
#include "firmware/image.h"

struct gunzip;

/* The stream begins at `offset` and has at most `size` bytes. gunzip_close() frees *gunzip. */
int gunzip_open(struct gunzip **gunzip, const struct image *image, uint64_t offset, uint64_t size,
                struct err *err);
void gunzip_close(struct gunzip *gunzip);

/*
 * Unpacks the next `size` bytes, or what is left of the stream, into `to`; *got says how many, less
 * than `size` only at the stream's end, whose checksum has been checked then. -EINVAL for a stream
 * that is broken or truncated, and as image_read().
 */
int gunzip_read(struct gunzip *gunzip, void *to, uint64_t size, uint64_t *got, struct err *err);

#endif
