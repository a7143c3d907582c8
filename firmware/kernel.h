/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a guest kernel: a file descriptor in, bytes in guest memory and an entry point out.
 *
 * The format is told by content, never by name. For x86_64:
 *   - bzImage of the Linux/x86 boot protocol 2.12 or later, entered at its 64-bit entry point;
 *   - 64-bit x86 ELF (vmlinux, bare-metal payloads): by PVH when it has a note with a PVH entry,
 *     else by the Linux 64-bit protocol at e_entry;
 *   - 32-bit x86 ELF with a PVH note.
 * For aarch64, where a kernel does not unpack itself:
 *   - Image of the Linux/arm64 boot protocol, since Linux 3.17;
 *   - the same compressed by gzip, or by gzip inside an EFI zboot image.
 *
 * The file is hostile. Its headers are read once into private memory and checked there; what is
 * loaded goes from the file into guest memory without a copy in between.
 */
#ifndef HUSK_FIRMWARE_KERNEL_H
#define HUSK_FIRMWARE_KERNEL_H

#include "core/boot.h"
#include "core/err.h"
#include "core/memory.h"

#include "firmware/setup_header.h"

enum kernel_format { KERNEL_BZIMAGE, KERNEL_ELF, KERNEL_IMAGE };

struct kernel_loader;

/* Which kernels a machine can boot. */
struct kernel_machine {
    const char *name;   /* "x86_64" */
    const char *wanted; /* what to give: "a bzImage or vmlinux for x86_64" */
    const struct kernel_loader *const *loaders; /* the last one is followed by NULL */
};

extern const struct kernel_machine kernel_machine_x86_64;
extern const struct kernel_machine kernel_machine_aarch64;

/* For which machine, and where kernel and initrd may lie; below and above is the machine's own. */
struct kernel_limits {
    const struct kernel_machine *machine;
    struct gpa lowest; /* first address that a kernel may use */
    struct gpa end;    /* first address that they may not reach */
};

struct kernel {
    enum kernel_format format;
    enum boot_protocol protocol;
    struct gpa entry;
    struct memory_range range; /* all memory the kernel uses before it knows the memory map:
                                  load address to the end of .bss, or of init_size */
    struct gpa initrd_last;    /* the highest address that a byte of the initrd may have */
    uint32_t command_line_max; /* bytes, without the final NUL */
    struct setup_header setup; /* x86, bzImage: as in the file; ELF: what a zero page
                                  needs of it */
};

/*
 * Loads the file behind `fd` (a regular file; its offset is neither used nor moved). `name` is
 * for messages. Memory that was zero before is zero where the kernel's .bss is.
 *
 * Errors: -ENOEXEC for what is no kernel for this machine, -EINVAL for a broken or truncated one,
 * -ENOMEM where it does not fit in guest memory, -EISDIR and others from the system. On error the
 * contents of guest memory are undefined and *kernel must not be used.
 */
int kernel_load(const struct guest_memory *memory, int fd, const char *name,
                const struct kernel_limits *limits, struct kernel *kernel, struct err *err);

#endif
