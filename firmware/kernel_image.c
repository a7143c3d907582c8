/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 Image (Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image"), as it is,
 * compressed by gzip, or by gzip inside an EFI zboot image (drivers/firmware/efi/libstub/
 * zboot-header.S).
 *
 *     Image     0  code    8  text_offset  16  image_size  24  flags  ...  56  "ARM\x64"  60  PE
 *     zboot     0  "MZ"    4  "zimg"        8  offset of the payload  12  its size
 *                                          24  "gzip", or another word, in 32 bytes
 *     memory    2 MiB aligned base + text_offset = entry ... + image_size, which has .bss in it
 *
 * Nobody unpacks an Image but its loader. It is unpacked into guest memory, by zlib, which every
 * distribution has and whose inflate() has been attacked for decades; it gets no more room than
 * the Image's own header asks of the guest's memory.
 */
#include "firmware/gunzip.h"
#include "firmware/kernel_formats.h"

#include <errno.h>
#include <string.h>

#define PLACEMENT (2ull << 20)
#define TEXT_OFFSET_STEP 0x1000u
#define FLAG_BIG_ENDIAN 1u

/* COMMAND_LINE_SIZE of arch/arm64 without the NUL. */
#define COMMAND_LINE_MAX 2047u

/* "within a 1 GB aligned window of up to 32 GB in size that fully covers the kernel Image" */
#define INITRD_WINDOW_ALIGNMENT (1ull << 30)
#define INITRD_WINDOW (32ull << 30)

#define ZBOOT_GZIP "gzip"

struct image_header {
    uint32_t code[2];
    uint64_t text_offset;
    uint64_t image_size;
    uint64_t flags;
    uint64_t reserved[3];
    char magic[4];
    uint32_t pe_offset;
};

struct zboot_header {
    char dos_magic[4];
    char magic[4];
    uint32_t payload_offset;
    uint32_t payload_size;
    uint32_t reserved[2];
    char compression[32];
};

_Static_assert(sizeof(struct image_header) == 64, "as booting.rst has it");
_Static_assert(sizeof(struct zboot_header) == 56, "as zboot-header.S has it");

static bool has_magic(const struct image_header *header)
{
    return memcmp(header->magic, "ARM\x64", sizeof header->magic) == 0;
}

static int check_header(const struct image_header *header, struct err *err)
{
    if (header->image_size == 0)
        return err_set(err, -ENOEXEC, "does not say its size; Linux 3.17 or later is needed");
    if (header->flags & FLAG_BIG_ENDIAN)
        return err_set(err, -ENOEXEC, "is a big-endian kernel; give a little-endian one");
    if (header->text_offset >= PLACEMENT || header->text_offset % TEXT_OFFSET_STEP)
        return err_set(err, -EINVAL,
                       "is broken: its text_offset, 0x%llx, is no multiple of 4 KiB below 2 MiB",
                       (unsigned long long)header->text_offset);
    return 0;
}

/* Decides where the kernel lies, before any of it is loaded. */
static int place(const struct kernel_source *source, const struct image_header *header,
                 struct kernel *kernel, struct err *err)
{
    uint64_t lowest = source->limits.lowest.v;
    uint64_t base = (lowest + PLACEMENT - 1) & ~(PLACEMENT - 1);
    int rc = check_header(header, err);

    if (rc)
        return rc;
    kernel->format = KERNEL_IMAGE;
    kernel->protocol = BOOT_ARM64;
    kernel->entry = gpa(base + header->text_offset);
    kernel->range = (struct memory_range){kernel->entry, header->image_size};
    kernel->initrd_last = gpa((base & ~(INITRD_WINDOW_ALIGNMENT - 1)) + INITRD_WINDOW - 1);
    kernel->command_line_max = COMMAND_LINE_MAX;
    return kernel_check_range(source, kernel->entry, header->image_size, err);
}

/* --- as it is --- */

static bool detect_image(const struct kernel_source *source)
{
    struct image_header header;

    if (source->head_size < sizeof header)
        return false;
    memcpy(&header, source->head, sizeof header);
    return has_magic(&header);
}

/* What follows the image in its file (a signature) is not loaded. */
static int load_image(const struct kernel_source *source, struct kernel *kernel, struct err *err)
{
    struct image_header header;
    uint64_t size = source->image.size;
    int rc;

    memcpy(&header, source->head, sizeof header);
    rc = place(source, &header, kernel, err);
    if (rc)
        return rc;
    if (size > header.image_size)
        size = header.image_size;
    return image_load(&source->image, 0, source->memory, kernel->entry, size, err);
}

/* --- compressed --- */

/* Loads what follows the header, which is unpacked already; there must be no more than it says. */
static int unpack_rest(const struct kernel_source *source, struct gunzip *gunzip,
                       const struct image_header *header, const struct kernel *kernel,
                       struct err *err)
{
    uint8_t *to = memory_at(source->memory, kernel->entry, header->image_size);
    uint64_t room = header->image_size - sizeof *header, got;
    uint8_t more;
    int rc;

    if (!to)
        return err_set(err, -EFAULT, "no guest memory at 0x%llx",
                       (unsigned long long)kernel->entry.v);
    memcpy(to, header, sizeof *header);
    rc = gunzip_read(gunzip, to + sizeof *header, room, &got, err);
    if (rc == 0)
        rc = gunzip_read(gunzip, &more, 1, &got, err);
    if (rc == 0 && got > 0)
        rc = err_set(err, -EINVAL, "is broken: it unpacks to more than the %llu bytes that its "
                     "header speaks of", (unsigned long long)header->image_size);
    return rc;
}

static int unpack(const struct kernel_source *source, struct gunzip *gunzip,
                  struct kernel *kernel, struct err *err)
{
    struct image_header header = {0};
    uint64_t got;
    int rc = gunzip_read(gunzip, &header, sizeof header, &got, err);

    if (rc)
        return rc;
    if (got < sizeof header || !has_magic(&header)) {
        rc = kernel_refuse(source->limits.machine, (const uint8_t *)&header, got, err);
        err_prefix(err, "unpacked");
        return rc;
    }
    rc = place(source, &header, kernel, err);
    if (rc == 0 && header.image_size < sizeof header)
        rc = err_set(err, -EINVAL, "is broken: it says that it has %llu bytes",
                     (unsigned long long)header.image_size);
    return rc ?: unpack_rest(source, gunzip, &header, kernel, err);
}

static int load_gzip(const struct kernel_source *source, uint64_t offset, uint64_t size,
                     struct kernel *kernel, struct err *err)
{
    struct gunzip *gunzip;
    int rc = gunzip_open(&gunzip, &source->image, offset, size, err);

    if (rc)
        return rc;
    rc = unpack(source, gunzip, kernel, err);
    gunzip_close(gunzip);
    return rc;
}

static bool detect_gzip(const struct kernel_source *source)
{
    return source->head_size >= 2 && memcmp(source->head, "\x1f\x8b", 2) == 0;
}

static int load_gzip_image(const struct kernel_source *source, struct kernel *kernel,
                           struct err *err)
{
    return load_gzip(source, 0, source->image.size, kernel, err);
}

static bool detect_zboot(const struct kernel_source *source)
{
    struct zboot_header header;

    if (source->head_size < sizeof header)
        return false;
    memcpy(&header, source->head, sizeof header);
    return memcmp(header.dos_magic, "MZ", 2) == 0 && memcmp(header.magic, "zimg", 4) == 0;
}

static int load_zboot_image(const struct kernel_source *source, struct kernel *kernel,
                            struct err *err)
{
    struct zboot_header header;

    memcpy(&header, source->head, sizeof header);
    if (strncmp(header.compression, ZBOOT_GZIP, sizeof header.compression) != 0)
        return err_set(err, -ENOEXEC, "is an EFI zboot image whose kernel is not compressed by "
                       "gzip; give the Image inside it");
    if (header.payload_offset > source->image.size ||
        header.payload_size > source->image.size - header.payload_offset)
        return err_set(err, -EINVAL, "is truncated: its payload ends at %llu, but it has only "
                       "%llu bytes; copy it again",
                       (unsigned long long)header.payload_offset + header.payload_size,
                       (unsigned long long)source->image.size);
    return load_gzip(source, header.payload_offset, header.payload_size, kernel, err);
}

const struct kernel_loader image_loader = {detect_image, load_image};
const struct kernel_loader gzip_image_loader = {detect_gzip, load_gzip_image};
const struct kernel_loader zboot_image_loader = {detect_zboot, load_zboot_image};
