/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels of both classes: what is loaded where, which entry is taken, what is refused. */
#include "firmware/kernel.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <unistd.h>

static int load_bytes(struct guest_memory *memory, const void *bytes, size_t size,
                      struct kernel *kernel, struct err *err)
{
    int fd = test_file(bytes, size);
    int rc = kernel_load(memory, fd, "vmlinux", &test_limits, kernel, err);

    close(fd);
    return rc;
}

/* Loads the image into a machine of 4 MiB and forgets the memory. */
static int load64(const struct test_elf64 *image, struct kernel *kernel, struct err *err)
{
    struct guest_memory memory = test_memory(4);
    int rc = load_bytes(&memory, image, sizeof *image, kernel, err);

    memory_destroy(&memory);
    return rc;
}

static int load32(const struct test_elf32 *image, struct kernel *kernel, struct err *err)
{
    struct guest_memory memory = test_memory(4);
    int rc = load_bytes(&memory, image, sizeof *image, kernel, err);

    memory_destroy(&memory);
    return rc;
}

static void loads_segments_by_physical_address(void **state)
{
    struct guest_memory memory = test_memory(4);
    struct test_elf64 image;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    image.data[0] = 0x77;
    assert_int_equal(load_bytes(&memory, &image, sizeof image, &kernel, NULL), 0);
    assert_int_equal(kernel.format, KERNEL_ELF);
    assert_int_equal(kernel.range.base.v, TEST_CODE_BASE);
    assert_int_equal(kernel.range.size, TEST_DATA_BASE + TEST_CODE_SIZE - TEST_CODE_BASE);
    assert_memory_equal(memory_at(&memory, gpa(TEST_CODE_BASE), TEST_CODE_SIZE), image.code,
                        TEST_CODE_SIZE);
    assert_memory_equal(memory_at(&memory, gpa(TEST_DATA_BASE), TEST_CODE_SIZE), image.data,
                        TEST_CODE_SIZE);
    assert_int_equal(*(uint8_t *)memory_at(&memory, gpa(TEST_CODE_BASE + TEST_CODE_SIZE), 1), 0);
    memory_destroy(&memory);
}

static void range_includes_bss(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    image.data_header.p_memsz = TEST_MIB;
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.range.base.v + kernel.range.size, TEST_DATA_BASE + TEST_MIB);
}

static void segments_may_come_in_any_order(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;
    Elf64_Phdr first;

    (void)state;
    test_elf64(&image);
    first = image.code_header;
    image.code_header = image.data_header;
    image.data_header = first;
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.range.base.v, TEST_CODE_BASE);
    assert_int_equal(kernel.range.size, TEST_DATA_BASE + TEST_CODE_SIZE - TEST_CODE_BASE);
}

static void pvh_is_preferred(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_PVH);
    assert_int_equal(kernel.entry.v, TEST_PVH_ENTRY);
    assert_int_equal(kernel.initrd_last.v, UINT32_MAX);
    assert_int_equal(kernel.command_line_max, 2047);
}

static void without_a_pvh_note_it_is_the_64_bit_entry(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    image.note_header.p_type = PT_NULL;
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_LINUX64);
    assert_int_equal(kernel.entry.v, TEST_ENTRY64);
    assert_int_equal(kernel.setup.boot_flag, 0xaa55);
    assert_int_equal(kernel.setup.header, 0x53726448);
    assert_int_equal(kernel.setup.cmdline_size, 2047);
    assert_int_equal(kernel.setup.loadflags, LOADED_HIGH);
}

static void only_a_true_pvh_note_counts(void **state)
{
    struct test_elf64 good;

    (void)state;
    test_elf64(&good);
    for (int i = 0; i < 5; i++) {
        struct test_elf64 image = good;
        struct kernel kernel;

        switch (i) {
        case 0: image.note.header.n_type = 17; break;
        case 1: image.note.owner[0] = 'G'; break;
        case 2: image.note.header.n_descsz = 2; break;
        case 3: image.note.header.n_descsz = 9; break;
        case 4: image.note.header.n_namesz = UINT32_MAX; break;
        }
        assert_int_equal(load64(&image, &kernel, NULL), 0);
        assert_int_equal(kernel.protocol, BOOT_LINUX64);
    }
}

static void pvh_note_may_follow_others(void **state)
{
    struct {
        struct test_elf64 image;
        Elf64_Nhdr header;
        char owner[8];       /* five bytes, padded */
        uint8_t text[4];     /* one byte, padded */
        struct test_pvh_note pvh;
    } file;
    struct guest_memory memory = test_memory(4);
    struct kernel kernel;

    (void)state;
    memset(&file, 0, sizeof file);
    test_elf64(&file.image);
    file.header = (Elf64_Nhdr){.n_namesz = 5, .n_descsz = 1, .n_type = 18};
    memcpy(file.owner, "Xen!", 5);
    file.pvh = file.image.note;
    file.pvh.header.n_descsz = 4;
    file.image.note_header.p_offset = offsetof(typeof(file), header);
    file.image.note_header.p_filesz = sizeof file - offsetof(typeof(file), header);
    assert_int_equal(load_bytes(&memory, &file, sizeof file, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_PVH);
    assert_int_equal(kernel.entry.v, TEST_PVH_ENTRY);
    memory_destroy(&memory);
}

static void a_note_must_end_in_its_segment(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    image.note_header.p_filesz--;
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_LINUX64);
    /* A last note whose padding is left out. */
    image.note.header = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 5, .n_type = 18};
    image.note_header.p_filesz = sizeof image.note.header + 4 + 5;
    assert_int_equal(load64(&image, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_LINUX64);
}

static void large_note_segments_are_left_out(void **state)
{
    struct {
        struct test_elf64 image;
        uint8_t rest[8192];
    } file;
    struct guest_memory memory = test_memory(4);
    struct kernel kernel;

    (void)state;
    memset(&file, 0, sizeof file);
    test_elf64(&file.image);
    file.image.note_header.p_filesz = 4096;
    assert_int_equal(load_bytes(&memory, &file, sizeof file, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_PVH);
    file.image.note_header.p_filesz = 8192;
    assert_int_equal(load_bytes(&memory, &file, sizeof file, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_LINUX64);
    memory_destroy(&memory);
}

static void headers_may_lie_past_the_first_page(void **state)
{
    struct {
        struct test_elf64 image;
        uint8_t gap[8192];
        Elf64_Phdr headers[3];
        struct test_pvh_note note;
    } file;
    struct guest_memory memory = test_memory(4);
    struct kernel kernel;

    (void)state;
    memset(&file, 0, sizeof file);
    test_elf64(&file.image);
    file.headers[0] = file.image.note_header;
    file.headers[0].p_offset = offsetof(typeof(file), note);
    file.headers[1] = file.image.code_header;
    file.headers[2] = file.image.data_header;
    file.note = file.image.note;
    file.image.header.e_phoff = offsetof(typeof(file), headers);
    assert_int_equal(load_bytes(&memory, &file, sizeof file, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_PVH);
    assert_memory_equal(memory_at(&memory, gpa(TEST_CODE_BASE), TEST_CODE_SIZE),
                        file.image.code, TEST_CODE_SIZE);
    memory_destroy(&memory);
}

static void loads_32_bit_pvh(void **state)
{
    struct guest_memory memory = test_memory(4);
    struct test_elf32 image;
    struct kernel kernel;

    (void)state;
    test_elf32(&image);
    assert_int_equal(load_bytes(&memory, &image, sizeof image, &kernel, NULL), 0);
    assert_int_equal(kernel.protocol, BOOT_PVH);
    assert_int_equal(kernel.entry.v, TEST_PVH_ENTRY);
    assert_int_equal(kernel.range.base.v, TEST_CODE_BASE);
    assert_int_equal(kernel.range.size, 4096);
    assert_memory_equal(memory_at(&memory, gpa(TEST_CODE_BASE), TEST_CODE_SIZE), image.code,
                        TEST_CODE_SIZE);
    memory_destroy(&memory);
}

static void refuses_32_bit_without_pvh(void **state)
{
    struct test_elf32 image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf32(&image);
    image.note_header.p_type = PT_NULL;
    assert_failure(load32(&image, &kernel, &err), -ENOEXEC, &err, "32-bit ELF file without a PVH");
}

static void refuses_other_machines(void **state)
{
    struct test_elf64 image;
    struct test_elf32 image32;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&image);
    image.header.e_machine = EM_AARCH64;
    assert_failure(load64(&image, &kernel, &err), -ENOEXEC, &err, "is for aarch64");
    image.header.e_machine = 9999;
    assert_failure(load64(&image, &kernel, &err), -ENOEXEC, &err, "ELF machine 9999");
    image.header.e_ident[EI_DATA] = ELFDATA2MSB;
    assert_failure(load64(&image, &kernel, &err), -ENOEXEC, &err, "big-endian");
    image.header.e_ident[EI_DATA] = ELFDATA2LSB;
    image.header.e_ident[EI_CLASS] = 3;
    assert_failure(load64(&image, &kernel, &err), -ENOEXEC, &err, "unknown class 3");
    test_elf32(&image32);
    image32.header.e_machine = EM_ARM;
    assert_failure(load32(&image32, &kernel, &err), -ENOEXEC, &err, "is for 32-bit arm");
}

static void refuses_other_types(void **state)
{
    static const struct {
        unsigned type;
        const char *message;
    } types[] = {
        {ET_REL, "object file or module"},
        {ET_DYN, "position-independent"},
        {ET_CORE, "core dump"},
        {ET_NONE, "unknown type 0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct test_elf64 image;
        struct kernel kernel;
        struct err err = {0};

        test_elf64(&image);
        image.header.e_type = (Elf64_Half)types[i].type;
        assert_failure(load64(&image, &kernel, &err), -ENOEXEC, &err, types[i].message);
    }
}

static void refuses_bad_program_headers(void **state)
{
    struct test_elf64 good, image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&good);
    image = good;
    image.header.e_phnum = 0;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "no program headers");
    image = good;
    image.header.e_phentsize = 32;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "no program headers");
    image = good;
    image.header.e_phnum = 65;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "65 program headers");
    image = good;
    image.header.e_phoff = UINT64_MAX - 8;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "is truncated");
    image = good;
    image.code_header.p_type = image.data_header.p_type = PT_NULL;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "nothing to load");
    image = good;
    image.code_header.p_memsz = image.code_header.p_filesz - 1;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "more bytes in the file");
    image = good;
    image.note_header.p_offset = UINT64_MAX;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "is truncated");
    image = good;
    image.code_header.p_offset = UINT64_MAX - TEST_CODE_SIZE + 1;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "is truncated");
}

static void refuses_too_many_segments(void **state)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr headers[33];
    } file;
    struct guest_memory memory = test_memory(4);
    struct test_elf64 image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&image);
    file.header = image.header;
    file.header.e_phoff = sizeof file.header;
    file.header.e_phnum = 33;
    for (unsigned i = 0; i < 33; i++)
        file.headers[i] = (Elf64_Phdr){
            .p_type = PT_LOAD, .p_paddr = TEST_CODE_BASE + i * 4096, .p_memsz = 4096};
    assert_failure(load_bytes(&memory, &file, sizeof file, &kernel, &err), -EINVAL, &err,
                   "more than 32 loadable segments");
    file.header.e_phnum = 32;
    assert_int_equal(load_bytes(&memory, &file, sizeof file, &kernel, &err), 0);
    memory_destroy(&memory);
}

static void refuses_overlapping_segments(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&image);
    image.data_header.p_paddr = TEST_CODE_BASE + 4095;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err,
                   "segments at 0x100000 and 0x100fff overlap");
    image.data_header.p_paddr = TEST_CODE_BASE;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "overlap");
    image.data_header.p_paddr = TEST_CODE_BASE + 4096;
    assert_int_equal(load64(&image, &kernel, &err), 0);
    image.code_header.p_paddr = TEST_CODE_BASE + TEST_CODE_SIZE;
    image.note.entry = image.code_header.p_paddr;
    image.data_header.p_paddr = TEST_CODE_BASE;
    assert_int_equal(load64(&image, &kernel, &err), 0);
}

static void refuses_segments_outside_memory(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&image);
    image.data_header.p_paddr = 4 * TEST_MIB - TEST_CODE_SIZE + 1;
    assert_failure(load64(&image, &kernel, &err), -ENOMEM, &err, "needs at least 5 MiB");
    image.data_header.p_paddr = 4 * TEST_MIB - TEST_CODE_SIZE;
    assert_int_equal(load64(&image, &kernel, &err), 0);
    image.data_header.p_paddr = 0xfffff;
    assert_failure(load64(&image, &kernel, &err), -ENOMEM, &err, "below 0x100000 is");
    image.data_header.p_paddr = UINT64_MAX - 5;
    assert_failure(load64(&image, &kernel, &err), -ENOMEM, &err, "must end below");
    image.data_header.p_memsz = UINT64_MAX;
    assert_failure(load64(&image, &kernel, &err), -ENOMEM, &err, "must end below");
}

static void refuses_an_entry_outside_the_segments(void **state)
{
    struct test_elf64 image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_elf64(&image);
    image.note.entry = TEST_CODE_BASE + 4096;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "entry point, 0x101000,");
    image.note.entry = (1ull << 32) | TEST_PVH_ENTRY;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "entry point, 0x100100020,");
    image.note_header.p_type = PT_NULL;
    image.header.e_entry = 0xffffffff80100000;
    assert_failure(load64(&image, &kernel, &err), -EINVAL, &err, "0xffffffff80100000");
}

static void truncation_at_every_length_is_told(void **state)
{
    struct guest_memory memory = test_memory(4);
    struct test_elf64 image;
    struct test_elf32 image32;
    struct kernel kernel;

    (void)state;
    test_elf64(&image);
    for (size_t size = SELFMAG; size < sizeof image; size++) {
        struct err err = {0};

        assert_failure(load_bytes(&memory, &image, size, &kernel, &err), -EINVAL, &err,
                       "is truncated");
    }
    test_elf32(&image32);
    for (size_t size = SELFMAG; size < sizeof image32; size++) {
        struct err err = {0};

        assert_failure(load_bytes(&memory, &image32, size, &kernel, &err), -EINVAL, &err,
                       "is truncated");
    }
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_segments_by_physical_address),
        cmocka_unit_test(range_includes_bss),
        cmocka_unit_test(segments_may_come_in_any_order),
        cmocka_unit_test(pvh_is_preferred),
        cmocka_unit_test(without_a_pvh_note_it_is_the_64_bit_entry),
        cmocka_unit_test(only_a_true_pvh_note_counts),
        cmocka_unit_test(pvh_note_may_follow_others),
        cmocka_unit_test(a_note_must_end_in_its_segment),
        cmocka_unit_test(large_note_segments_are_left_out),
        cmocka_unit_test(headers_may_lie_past_the_first_page),
        cmocka_unit_test(loads_32_bit_pvh),
        cmocka_unit_test(refuses_32_bit_without_pvh),
        cmocka_unit_test(refuses_other_machines),
        cmocka_unit_test(refuses_other_types),
        cmocka_unit_test(refuses_bad_program_headers),
        cmocka_unit_test(refuses_too_many_segments),
        cmocka_unit_test(refuses_overlapping_segments),
        cmocka_unit_test(refuses_segments_outside_memory),
        cmocka_unit_test(refuses_an_entry_outside_the_segments),
        cmocka_unit_test(truncation_at_every_length_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
