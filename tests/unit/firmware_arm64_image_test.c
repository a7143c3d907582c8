/* SPDX-License-Identifier: Apache-2.0 */
/* arm64 Images, bare, gzipped and in EFI zboot images: what is loaded where, and what is refused. */
#include "firmware/kernel.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define RAM 0x40000000ull
#define LOWEST (RAM + 0x1000) /* not aligned: the loader has to */
#define PLACE (RAM + 0x200000)
#define BODY 0x3000u
#define MEMORY_MIB 16

static const struct kernel_limits limits = {
    .machine = &kernel_machine_aarch64, .lowest = {LOWEST}, .end = {1ull << 48}};

/* An Image as Linux makes it: a header that is code too, a body, and room for .bss behind it. */
struct test_image {
    uint32_t code[2];
    uint64_t text_offset;
    uint64_t image_size;
    uint64_t flags;
    uint64_t reserved[3];
    char magic[4];
    uint32_t pe_offset;
    uint8_t body[BODY];
};

static struct test_image good_image(void)
{
    struct test_image image = {
        .code = {0xfa405a4d, 0x14000000}, /* "MZ" and a branch */
        .image_size = 0x400000,
        .flags = 0xa,
        .magic = "ARM\x64",
    };

    test_code(image.body, sizeof image.body);
    return image;
}

static int load_file(const void *bytes, size_t size, struct guest_memory *memory,
                     struct kernel *kernel, struct err *err)
{
    const struct memory_range range = {{RAM}, MEMORY_MIB * TEST_MIB};
    int fd = test_file(bytes, size), rc;

    *err = (struct err){0};
    assert_int_equal(memory_create(memory, &range, 1, NULL), 0);
    rc = kernel_load(memory, fd, "Image", &limits, kernel, err);
    close(fd);
    return rc;
}

static void assert_refused(const void *bytes, size_t size, int code, const char *message)
{
    struct guest_memory memory;
    struct kernel kernel;
    struct err err;

    assert_failure(load_file(bytes, size, &memory, &kernel, &err), code, &err, message);
    memory_destroy(&memory);
}

static void assert_loaded(const void *bytes, size_t size, const struct test_image *image)
{
    struct guest_memory memory;
    struct kernel kernel;
    struct err err;

    assert_int_equal(load_file(bytes, size, &memory, &kernel, &err), 0);
    assert_int_equal(kernel.format, KERNEL_IMAGE);
    assert_int_equal(kernel.protocol, BOOT_ARM64);
    assert_int_equal(kernel.entry.v, PLACE + image->text_offset);
    assert_int_equal(kernel.range.base.v, kernel.entry.v);
    assert_int_equal(kernel.range.size, image->image_size);
    assert_int_equal(kernel.initrd_last.v, RAM + (32ull << 30) - 1);
    assert_int_equal(kernel.command_line_max, 2047);
    assert_memory_equal(memory_at(&memory, kernel.entry, sizeof *image), image, sizeof *image);
    memory_destroy(&memory);
}

/* gzip as RFC 1952 has it; the caller frees *out. */
static size_t gzip(const void *bytes, size_t size, uint8_t **out)
{
    size_t room = compressBound(size) + 64;
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)size};

    *out = malloc(room);
    stream.next_out = *out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

#define ZBOOT_HEADER 4096u

static size_t zboot(const struct test_image *image, const char *compression, uint8_t **out)
{
    uint32_t place[2] = {ZBOOT_HEADER};
    uint8_t *packed;
    size_t size = gzip(image, sizeof *image, &packed);

    place[1] = (uint32_t)size;
    *out = calloc(1, ZBOOT_HEADER + size);
    memcpy(*out, "MZ\0\0zimg", 8);
    memcpy(*out + 8, place, sizeof place);
    strncpy((char *)*out + 24, compression, 32);
    memcpy(*out + ZBOOT_HEADER, packed, size);
    free(packed);
    return ZBOOT_HEADER + size;
}

static void loads_an_image(void **state)
{
    struct test_image image = good_image();

    (void)state;
    assert_loaded(&image, sizeof image, &image);
    image.text_offset = 0x80000;
    assert_loaded(&image, sizeof image, &image);
}

/* As a signed kernel has it: more in the file than the kernel occupies. */
static void does_not_load_what_follows_the_image(void **state)
{
    struct test_image image = good_image();
    struct guest_memory memory;
    struct kernel kernel;
    struct err err;

    (void)state;
    image.image_size = 0x1000;
    assert_int_equal(load_file(&image, sizeof image, &memory, &kernel, &err), 0);
    assert_int_equal(*(uint8_t *)memory_at(&memory, gpa(PLACE + 0x1000), 1), 0);
    assert_int_not_equal(*(uint8_t *)memory_at(&memory, gpa(PLACE + 0xfff), 1), 0);
    memory_destroy(&memory);
}

static void unpacks_a_gzipped_image(void **state)
{
    struct test_image image = good_image();
    uint8_t *packed;
    size_t size = gzip(&image, sizeof image, &packed);

    (void)state;
    assert_loaded(packed, size, &image);
    free(packed);
}

static void unpacks_a_zboot_image(void **state)
{
    struct test_image image = good_image();
    uint8_t *file;
    size_t size = zboot(&image, "gzip", &file);

    (void)state;
    assert_loaded(file, size, &image);
    free(file);
    size = zboot(&image, "zstd22", &file);
    assert_refused(file, size, -ENOEXEC, "an EFI zboot image whose kernel is not compressed by gzip");
    free(file);
}

static void refuses_a_zboot_image_that_is_broken(void **state)
{
    struct test_image image = good_image();
    uint32_t huge = UINT32_MAX;
    uint8_t *file;
    size_t size = zboot(&image, "gzip", &file);

    (void)state;
    assert_refused(file, size - 1, -EINVAL, "is truncated: its payload ends at");
    memcpy(file + 8, &huge, sizeof huge);
    memcpy(file + 12, &huge, sizeof huge);
    assert_refused(file, size, -EINVAL, "is truncated: its payload ends at");
    free(file);
}

static void refuses_a_header_that_makes_no_sense(void **state)
{
    struct test_image image = good_image();

    (void)state;
    image.magic[0] = 'B';
    assert_refused(&image, sizeof image, -ENOEXEC,
                   "is no kernel for aarch64 but an EFI or Windows program; give an arm64 Image");
    image = good_image();
    image.text_offset = 0x200000;
    assert_refused(&image, sizeof image, -EINVAL, "text_offset, 0x200000, is no multiple of 4 KiB");
    image.text_offset = 0x123;
    assert_refused(&image, sizeof image, -EINVAL, "text_offset, 0x123, is no multiple of 4 KiB");
    image = good_image();
    image.image_size = 0;
    assert_refused(&image, sizeof image, -ENOEXEC, "does not say its size; Linux 3.17");
    image = good_image();
    image.flags |= 1;
    assert_refused(&image, sizeof image, -ENOEXEC, "is a big-endian kernel");
}

static void refuses_an_image_larger_than_memory(void **state)
{
    struct test_image image = good_image();
    uint8_t *packed;
    size_t size;

    (void)state;
    image.image_size = 15 * TEST_MIB;
    assert_refused(&image, sizeof image, -ENOMEM, "needs at least 17 MiB of memory; raise --memory");
    size = gzip(&image, sizeof image, &packed);
    assert_refused(packed, size, -ENOMEM, "needs at least 17 MiB of memory; raise --memory");
    free(packed);
    image.image_size = UINT64_MAX;
    assert_refused(&image, sizeof image, -ENOMEM, "wants 18446744073709551615 bytes");
}

static void refuses_gzip_data_that_are_broken(void **state)
{
    struct test_image image = good_image();
    uint8_t *packed;
    size_t size = gzip(&image, sizeof image, &packed);

    (void)state;
    assert_refused(packed, size / 2, -EINVAL, "is truncated inside its gzip data");
    assert_refused(packed, size - 1, -EINVAL, "is truncated inside its gzip data");
    packed[size - 8] ^= 1; /* the checksum */
    assert_refused(packed, size, -EINVAL, "its gzip data cannot be unpacked");
    packed[2] = 0;
    assert_refused(packed, size, -EINVAL, "its gzip data cannot be unpacked");
    free(packed);
}

/* A megabyte from a kilobyte, for a kernel that says it has a page. */
static void refuses_to_unpack_more_than_was_said(void **state)
{
    struct test_image *image = calloc(1, TEST_MIB);
    uint8_t *packed;
    size_t size;

    (void)state;
    *image = good_image();
    image->image_size = 0x1000;
    size = gzip(image, TEST_MIB, &packed);
    assert_refused(packed, size, -EINVAL, "it unpacks to more than the 4096 bytes");
    free(packed);
    image->image_size = 10;
    size = gzip(image, TEST_MIB, &packed);
    assert_refused(packed, size, -EINVAL, "it says that it has 10 bytes");
    free(packed);
    free(image);
}

static void tells_what_is_inside_a_gzip_file(void **state)
{
    uint8_t bytes[128] = "\x7f" "ELF";
    uint8_t *packed;
    size_t size = gzip(bytes, sizeof bytes, &packed);

    (void)state;
    assert_refused(packed, size, -ENOEXEC,
                   "unpacked: is no kernel for aarch64 but an ELF file; give an arm64 Image");
    free(packed);
    size = gzip(bytes, 3, &packed);
    assert_refused(packed, size, -ENOEXEC, "but something unknown");
    free(packed);
}

static void refuses_an_x86_kernel(void **state)
{
    struct test_bzimage bzimage;
    struct test_elf64 elf;

    (void)state;
    test_bzimage(&bzimage);
    assert_refused(&bzimage, sizeof bzimage, -ENOEXEC,
                   "kernel \"Image\": is no kernel for aarch64 but an x86 bzImage; "
                   "give an arm64 Image");
    test_elf64(&elf);
    assert_refused(&elf, sizeof elf, -ENOEXEC, "but an ELF file; give an arm64 Image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_an_image),
        cmocka_unit_test(does_not_load_what_follows_the_image),
        cmocka_unit_test(unpacks_a_gzipped_image),
        cmocka_unit_test(unpacks_a_zboot_image),
        cmocka_unit_test(refuses_a_zboot_image_that_is_broken),
        cmocka_unit_test(refuses_a_header_that_makes_no_sense),
        cmocka_unit_test(refuses_an_image_larger_than_memory),
        cmocka_unit_test(refuses_gzip_data_that_are_broken),
        cmocka_unit_test(refuses_to_unpack_more_than_was_said),
        cmocka_unit_test(tells_what_is_inside_a_gzip_file),
        cmocka_unit_test(refuses_an_x86_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
