/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage by the 64-bit entry point of the Linux/x86 boot protocol (Linux,
 * Documentation/arch/x86/boot.rst, "64-bit boot protocol").
 *
 *     file    0      0x1f1             (setup_sects + 1) * 512         + syssize * 16
 *             | 16-bit | setup header | ...  | protected-mode kernel ... | signature, padding
 *                                            v
 *     memory                                load address ... entry = load + 0x200 ... + init_size
 *
 * Only the protected-mode kernel is loaded; the setup header goes to the zero page.
 */
#include "firmware/kernel_formats.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define JUMP_TARGET_BASE 0x202u /* the header ends at this plus the byte before it */
#define SECTOR 512u
#define ENTRY64 0x200u          /* from the load address */

/* Copies the setup header as far as the file has it; the rest is 0. */
static void copy_header(const struct kernel_source *source, struct setup_header *header)
{
    size_t size = sizeof *header;

    *header = (struct setup_header){0};
    if (source->head_size < SETUP_HEADER_OFFSET)
        return;
    if (size > source->head_size - SETUP_HEADER_OFFSET)
        size = source->head_size - SETUP_HEADER_OFFSET;
    memcpy(header, source->head + SETUP_HEADER_OFFSET, size);
}

static bool detect(const struct kernel_source *source)
{
    struct setup_header header;

    copy_header(source, &header);
    return header.boot_flag == SETUP_BOOT_FLAG && header.header == SETUP_MAGIC;
}

/* The header ends where the jump instruction at its head goes to; fields past that are not its. */
static int cut_header(const struct kernel_source *source, struct setup_header *header,
                      struct err *err)
{
    size_t size = JUMP_TARGET_BASE - SETUP_HEADER_OFFSET + (header->jump >> 8);

    if (SETUP_HEADER_OFFSET + size > source->head_size)
        return err_set(err, -EINVAL, "is truncated in its setup header; copy it again");
    if (size < sizeof *header)
        memset((uint8_t *)header + size, 0, sizeof *header - size);
    return 0;
}

static int check_header(const struct setup_header *header, struct err *err)
{
    if (header->version < SETUP_VERSION_WITH_64BIT)
        return err_set(err, -ENOEXEC,
                       "speaks boot protocol %u.%02u; 2.12 (Linux 3.8) or later is needed",
                       header->version >> 8, header->version & 0xff);
    if (!(header->xloadflags & XLF_KERNEL_64))
        return err_set(err, -ENOEXEC, "is a 32-bit kernel; give one for x86_64");
    if (!(header->loadflags & LOADED_HIGH))
        return err_set(err, -ENOEXEC, "is a zImage that loads low; give a bzImage");
    if (header->relocatable_kernel &&
        (header->kernel_alignment == 0 ||
         (header->kernel_alignment & (header->kernel_alignment - 1))))
        return err_set(err, -EINVAL, "is broken: its alignment, 0x%x, is no power of two",
                       header->kernel_alignment);
    return 0;
}

/*
 * The preferred address: loaded below it, a relocatable kernel would only move itself there.
 * Above the preferred address it runs at the next aligned one.
 */
static struct gpa load_address(const struct setup_header *header, struct gpa lowest)
{
    uint64_t address = header->pref_address ? header->pref_address : lowest.v;
    uint64_t mask = header->kernel_alignment - 1;

    if (!header->relocatable_kernel)
        return gpa(address);
    if (address < lowest.v)
        address = lowest.v;
    return gpa(address > UINT64_MAX - mask ? address : (address + mask) & ~mask);
}

static int load(const struct kernel_source *source, struct kernel *kernel, struct err *err)
{
    struct setup_header *header = &kernel->setup;
    uint64_t offset, size, need;
    struct gpa base;
    int rc;

    copy_header(source, header);
    rc = cut_header(source, header, err);
    if (!rc)
        rc = check_header(header, err);
    if (rc)
        return rc;

    offset = ((header->setup_sects ? header->setup_sects : 4u) + 1ull) * SECTOR;
    size = header->syssize * 16ull;
    if (size <= ENTRY64)
        return err_set(err, -EINVAL, "is broken: its header says that it has no code");
    need = header->init_size > size ? header->init_size : size;
    base = load_address(header, source->limits.lowest);
    rc = kernel_check_range(source, base, need, err);
    if (!rc)
        rc = image_load(&source->image, offset, source->memory, base, size, err);
    if (rc)
        return rc;

    kernel->format = KERNEL_BZIMAGE;
    kernel->protocol = BOOT_LINUX64;
    kernel->entry = gpa_add(base, ENTRY64);
    kernel->range = (struct memory_range){base, need};
    kernel->initrd_last = gpa(header->initrd_addr_max);
    if (header->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G)
        kernel->initrd_last = gpa(UINT64_MAX);
    kernel->command_line_max = header->cmdline_size;
    return 0;
}

const struct kernel_loader bzimage_loader = {detect, load};
