/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises what people pass by mistake where a kernel belongs. Only for messages. */
#include "firmware/kernel_formats.h"

#include <errno.h>
#include <string.h>

struct signature {
    size_t offset;
    size_t size;
    const char *bytes;
    const char *meaning;
    const char *advice; /* NULL: give another file */
};

/* The first match counts, so that a more special one stands before a more general one. */
static const struct signature signatures[] = {
    {0x38, 4, "ARM\x64", "an arm64 Image", NULL},
    {0x38, 4, "RSC\x05", "a kernel for riscv", NULL},
    {0x202, 4, "HdrS", "an x86 bzImage", NULL},
    {0, 4, "\x7f" "ELF", "an ELF file", NULL},
    {4, 4, "zimg", "an EFI zboot image", "give the kernel inside it"},
    {0, 2, "MZ", "an EFI or Windows program", NULL},
    {0, 2, "\x1f\x8b", "a gzip file", "unpack it with gunzip"},
    {0, 6, "\xfd" "7zXZ\0", "an xz file", "unpack it with unxz"},
    {0, 4, "\x28\xb5\x2f\xfd", "a zstd file", "unpack it with unzstd"},
    {0, 4, "\x04\x22\x4d\x18", "an lz4 file", "unpack it with unlz4"},
    {0, 4, "\x02\x21\x4c\x18", "an lz4 file", "unpack it with unlz4"},
    {0, 3, "BZh", "a bzip2 file", "unpack it with bunzip2"},
    {0, 2, "#!", "a script", NULL},
    {0, 5, "07070", "a cpio archive", "did you mean --initrd?"},
    {0, 4, "QFI\xfb", "a qcow2 disk image", "did you mean --disk?"},
    {0x438, 2, "\x53\xef", "an ext file system", "did you mean --disk?"},
    {0x1fe, 2, "\x55\xaa", "a boot sector or disk image", NULL},
    {0, 0, "", "something unknown", NULL},
};

static const struct signature *recognise(const uint8_t *head, size_t size)
{
    const struct signature *s = signatures;

    while (s->offset + s->size > size || memcmp(head + s->offset, s->bytes, s->size) != 0)
        s++;
    return s;
}

int kernel_refuse(const struct kernel_machine *machine, const uint8_t *head, size_t size,
                  struct err *err)
{
    const struct signature *s = recognise(head, size);

    return err_set(err, -ENOEXEC, "is no kernel for %s but %s; %s%s", machine->name, s->meaning,
                   s->advice ? s->advice : "give ", s->advice ? "" : machine->wanted);
}
