/* SPDX-License-Identifier: Apache-2.0 */
#include "firmware/gunzip.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

#define INPUT_SIZE ((size_t)64 * 1024)
#define WINDOW_BITS_GZIP (15 + 16) /* the largest window; a gzip header, not zlib's */

struct gunzip {
    z_stream stream;
    struct image image;
    uint64_t offset; /* of the bytes not yet read */
    uint64_t size;   /* how many there are */
    bool ended;
    uint8_t input[INPUT_SIZE];
};

int gunzip_open(struct gunzip **out, const struct image *image, uint64_t offset, uint64_t size,
                struct err *err)
{
    struct gunzip *gunzip = calloc(1, sizeof *gunzip);

    if (!gunzip)
        return err_set(err, -ENOMEM, "out of memory");
    gunzip->image = *image;
    gunzip->offset = offset;
    gunzip->size = size;
    if (inflateInit2(&gunzip->stream, WINDOW_BITS_GZIP) != Z_OK) {
        free(gunzip);
        return err_set(err, -ENOMEM, "out of memory");
    }
    *out = gunzip;
    return 0;
}

void gunzip_close(struct gunzip *gunzip)
{
    if (!gunzip)
        return;
    inflateEnd(&gunzip->stream);
    free(gunzip);
}

/* Reads on when zlib has used all that was read. */
static int refill(struct gunzip *gunzip, struct err *err)
{
    uint64_t piece = gunzip->size < INPUT_SIZE ? gunzip->size : INPUT_SIZE;
    int rc;

    if (gunzip->stream.avail_in > 0)
        return 0;
    if (piece == 0)
        return err_set(err, -EINVAL, "is truncated inside its gzip data; copy it again");
    rc = image_read(&gunzip->image, gunzip->offset, gunzip->input, piece, err);
    if (rc)
        return rc;
    gunzip->offset += piece;
    gunzip->size -= piece;
    gunzip->stream.next_in = gunzip->input;
    gunzip->stream.avail_in = (uInt)piece;
    return 0;
}

static int unpack(struct gunzip *gunzip, struct err *err)
{
    switch (inflate(&gunzip->stream, Z_NO_FLUSH)) {
    case Z_STREAM_END:
        gunzip->ended = true;
        return 0;
    case Z_OK:
    case Z_BUF_ERROR: /* it wants more input, or room */
        return 0;
    case Z_MEM_ERROR:
        return err_set(err, -ENOMEM, "out of memory");
    default:
        return err_set(err, -EINVAL, "is broken: its gzip data cannot be unpacked; copy it again");
    }
}

int gunzip_read(struct gunzip *gunzip, void *to, uint64_t size, uint64_t *got, struct err *err)
{
    z_stream *stream = &gunzip->stream;
    int rc = 0;

    *got = 0;
    while (rc == 0 && *got < size && !gunzip->ended) {
        uInt room = size - *got < UINT_MAX ? (uInt)(size - *got) : UINT_MAX;

        stream->next_out = (uint8_t *)to + *got;
        stream->avail_out = room;
        rc = refill(gunzip, err);
        if (rc == 0)
            rc = unpack(gunzip, err);
        *got += room - stream->avail_out;
    }
    return rc;
}
