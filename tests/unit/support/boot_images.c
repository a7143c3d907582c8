/* SPDX-License-Identifier: Apache-2.0 */
/* See support/boot_images.h. */
#include "support/boot_images.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct kernel_limits test_limits = {
    .machine = &kernel_machine_x86_64, .lowest = {0x100000}, .end = {0x100000000}};

void test_code(uint8_t *code, size_t size)
{
    for (size_t i = 0; i < size; i++)
        code[i] = (uint8_t)(i % 251 + 1);
}

void test_bzimage(struct test_bzimage *image)
{
    *image = (struct test_bzimage){
        .setup =
            {
                .setup_sects = 1,
                .syssize = TEST_CODE_SIZE / 16,
                .boot_flag = 0xaa55,
                .jump = (uint16_t)(0xeb | (0x1f1 + sizeof(struct setup_header) - 0x202) << 8),
                .header = 0x53726448,
                .version = 0x020f,
                .loadflags = LOADED_HIGH,
                .initrd_addr_max = 0x7fffffff,
                .kernel_alignment = 0x200000,
                .relocatable_kernel = 1,
                .min_alignment = 21,
                .xloadflags = XLF_KERNEL_64,
                .cmdline_size = 2047,
                .pref_address = 0x1000000,
                .init_size = 0x300000,
            },
    };
    test_code(image->code, sizeof image->code);
}

static struct test_pvh_note pvh_note(void)
{
    return (struct test_pvh_note){
        .header = {.n_namesz = 4, .n_descsz = 8, .n_type = 18},
        .owner = "Xen",
        .entry = TEST_PVH_ENTRY,
    };
}

void test_elf64(struct test_elf64 *image)
{
    *image = (struct test_elf64){
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_entry = TEST_ENTRY64,
                .e_phoff = offsetof(struct test_elf64, code_header),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 3,
            },
        .code_header =
            {
                .p_type = PT_LOAD,
                .p_offset = offsetof(struct test_elf64, code),
                .p_vaddr = 0xffffffff80100000,
                .p_paddr = TEST_CODE_BASE,
                .p_filesz = TEST_CODE_SIZE,
                .p_memsz = 4096,
            },
        .data_header =
            {
                .p_type = PT_LOAD,
                .p_offset = offsetof(struct test_elf64, data),
                .p_paddr = TEST_DATA_BASE,
                .p_filesz = TEST_CODE_SIZE,
                .p_memsz = TEST_CODE_SIZE,
            },
        .note_header =
            {
                .p_type = PT_NOTE,
                .p_offset = offsetof(struct test_elf64, note),
                .p_filesz = sizeof(struct test_pvh_note),
                .p_memsz = sizeof(struct test_pvh_note),
                .p_align = 4,
            },
        .note = pvh_note(),
    };
    test_code(image->code, sizeof image->code);
    test_code(image->data, sizeof image->data);
}

void test_elf32(struct test_elf32 *image)
{
    *image = (struct test_elf32){
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_386,
                .e_version = EV_CURRENT,
                .e_entry = TEST_ENTRY64,
                .e_phoff = offsetof(struct test_elf32, code_header),
                .e_ehsize = sizeof(Elf32_Ehdr),
                .e_phentsize = sizeof(Elf32_Phdr),
                .e_phnum = 2,
            },
        .code_header =
            {
                .p_type = PT_LOAD,
                .p_offset = offsetof(struct test_elf32, code),
                .p_paddr = TEST_CODE_BASE,
                .p_filesz = TEST_CODE_SIZE,
                .p_memsz = 4096,
            },
        .note_header =
            {
                .p_type = PT_NOTE,
                .p_offset = offsetof(struct test_elf32, note),
                .p_filesz = sizeof(struct test_pvh_note),
                .p_align = 4,
            },
        .note = pvh_note(),
    };
    test_code(image->code, sizeof image->code);
}

int test_file(const void *bytes, size_t size)
{
    int fd = memfd_create("husk-test", MFD_CLOEXEC);

    if (fd < 0 || (size && pwrite(fd, bytes, size, 0) != (ssize_t)size))
        abort();
    return fd;
}

struct guest_memory test_memory(uint64_t mib)
{
    struct memory_range range = {{0}, mib * TEST_MIB};
    struct guest_memory memory;

    if (memory_create(&memory, &range, 1, NULL))
        abort();
    return memory;
}
