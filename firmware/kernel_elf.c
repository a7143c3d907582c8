/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF kernels (System V gABI, chapters 4 and 5): vmlinux and bare-metal payloads.
 *
 * Segments go to their physical addresses. A note of owner "Xen" and type
 * XEN_ELFNOTE_PHYS32_ENTRY (Xen, public/elfnote.h) gives a PVH entry point, which is preferred:
 * it is the same for 32-bit and 64-bit files. Without it, e_entry of a 64-bit file is where the
 * Linux 64-bit boot protocol enters, as vmlinux keeps it (its e_entry is a physical address).
 */
#include "firmware/kernel_formats.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PROGRAM_HEADERS_MAX 64u
#define SEGMENTS_MAX 32u
#define NOTES_SIZE_MAX 4096u
#define NOTE_PHYS32_ENTRY 18u
#define NOTE_OWNER "Xen"

/* What Linux on x86 has always taken: COMMAND_LINE_SIZE is 2048 with the NUL. */
#define COMMAND_LINE_MAX 2047u

struct segment {
    uint64_t offset; /* in the file */
    uint64_t file_size;
    struct gpa base;
    uint64_t memory_size;
};

/* The file's headers in one shape for both classes. */
struct elf {
    bool is64;
    uint64_t entry;
    uint64_t program_headers; /* offset */
    unsigned program_header_count;
    struct segment segments[SEGMENTS_MAX];
    unsigned segment_count;
    bool has_pvh;
    uint64_t pvh_entry;
};

static bool detect(const struct kernel_source *source)
{
    return source->head_size >= SELFMAG && !memcmp(source->head, ELFMAG, SELFMAG);
}

static const char *machine_name(unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {
        {EM_386, "32-bit x86"}, {EM_X86_64, "x86_64"}, {EM_AARCH64, "aarch64"},
        {EM_ARM, "32-bit arm"}, {EM_RISCV, "riscv"},   {EM_PPC64, "ppc64"},
        {EM_S390, "s390x"},     {EM_MIPS, "mips"},     {EM_SPARCV9, "sparc64"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].machine == machine)
            return names[i].name;
    return "an unknown machine";
}

static int check_type(unsigned type, struct err *err)
{
    switch (type) {
    case ET_EXEC:
        return 0;
    case ET_REL:
        return err_set(err, -ENOEXEC, "is an object file or module; link it at a fixed address");
    case ET_DYN:
        return err_set(err, -ENOEXEC,
                       "is a shared object or position-independent program; "
                       "link it at a fixed address (-no-pie)");
    case ET_CORE:
        return err_set(err, -ENOEXEC, "is a core dump; give the kernel itself");
    default:
        return err_set(err, -ENOEXEC, "is an ELF file of unknown type %u", type);
    }
}

static int check_machine(unsigned machine, unsigned expected, struct err *err)
{
    if (machine == expected)
        return 0;
    return err_set(err, -ENOEXEC, "is for %s (ELF machine %u); give one for x86_64",
                   machine_name(machine), machine);
}

static int check_program_headers(struct elf *elf, uint64_t offset, unsigned count,
                                 unsigned entry_size, unsigned expected, struct err *err)
{
    if (count == 0 || entry_size != expected)
        return err_set(err, -EINVAL, "is broken: it has no program headers");
    if (count > PROGRAM_HEADERS_MAX)
        return err_set(err, -EINVAL, "has %u program headers; at most %u are supported", count,
                       PROGRAM_HEADERS_MAX);
    elf->program_headers = offset;
    elf->program_header_count = count;
    return 0;
}

static int read_header64(const struct kernel_source *source, struct elf *elf, struct err *err)
{
    Elf64_Ehdr header;
    int rc;

    if (source->head_size < sizeof header)
        return err_set(err, -EINVAL, "is truncated in its ELF header; copy it again");
    memcpy(&header, source->head, sizeof header);
    rc = check_machine(header.e_machine, EM_X86_64, err);
    if (!rc)
        rc = check_type(header.e_type, err);
    if (rc)
        return rc;
    elf->is64 = true;
    elf->entry = header.e_entry;
    return check_program_headers(elf, header.e_phoff, header.e_phnum, header.e_phentsize,
                                 sizeof(Elf64_Phdr), err);
}

static int read_header32(const struct kernel_source *source, struct elf *elf, struct err *err)
{
    Elf32_Ehdr header;
    int rc;

    if (source->head_size < sizeof header)
        return err_set(err, -EINVAL, "is truncated in its ELF header; copy it again");
    memcpy(&header, source->head, sizeof header);
    rc = check_machine(header.e_machine, EM_386, err);
    if (!rc)
        rc = check_type(header.e_type, err);
    if (rc)
        return rc;
    elf->entry = header.e_entry;
    return check_program_headers(elf, header.e_phoff, header.e_phnum, header.e_phentsize,
                                 sizeof(Elf32_Phdr), err);
}

static int read_header(const struct kernel_source *source, struct elf *elf, struct err *err)
{
    const uint8_t *ident = source->head;

    if (source->head_size < EI_NIDENT)
        return err_set(err, -EINVAL, "is truncated in its ELF header; copy it again");
    if (ident[EI_DATA] != ELFDATA2LSB)
        return err_set(err, -ENOEXEC, "is a big-endian ELF file; give a kernel for x86_64");
    if (ident[EI_CLASS] == ELFCLASS64)
        return read_header64(source, elf, err);
    if (ident[EI_CLASS] == ELFCLASS32)
        return read_header32(source, elf, err);
    return err_set(err, -ENOEXEC, "is an ELF file of unknown class %u", ident[EI_CLASS]);
}

/* Bytes of the file: from the head that is there already, or else by a read. */
static int read_bytes(const struct kernel_source *source, uint64_t offset, void *to, size_t size,
                      struct err *err)
{
    if (offset > source->head_size || size > source->head_size - offset)
        return image_read(&source->image, offset, to, size, err);
    memcpy(to, source->head + offset, size);
    return 0;
}

/* Program headers, both classes widened to the 64-bit form. `headers` has room for the maximum. */
static int read_program_headers(const struct kernel_source *source, const struct elf *elf,
                                Elf64_Phdr *headers, struct err *err)
{
    Elf32_Phdr narrow[PROGRAM_HEADERS_MAX];
    int rc;

    if (elf->is64)
        return read_bytes(source, elf->program_headers, headers,
                          elf->program_header_count * sizeof *headers, err);
    rc = read_bytes(source, elf->program_headers, narrow,
                    elf->program_header_count * sizeof *narrow, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < elf->program_header_count; i++)
        headers[i] = (Elf64_Phdr){
            .p_type = narrow[i].p_type,
            .p_offset = narrow[i].p_offset,
            .p_paddr = narrow[i].p_paddr,
            .p_filesz = narrow[i].p_filesz,
            .p_memsz = narrow[i].p_memsz,
            .p_align = narrow[i].p_align,
        };
    return 0;
}

/* Rounds a note's name or description up to its alignment. */
static uint64_t note_align(uint64_t size, uint64_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

/*
 * Looks for the PVH entry in one segment of notes:
 *
 *     note := name size (u32), description size (u32), type (u32), name, description
 *
 * The entry is 4 bytes, or 8 as Linux writes it. Sizes of 32 bits are added in 64, so that
 * nothing wraps.
 */
static void find_pvh_entry(struct elf *elf, const uint8_t *notes, uint64_t size,
                           uint64_t alignment)
{
    while (size >= sizeof(Elf32_Nhdr)) {
        Elf32_Nhdr note;
        uint64_t name, description, whole;

        memcpy(&note, notes, sizeof note);
        name = sizeof note;
        description = name + note_align(note.n_namesz, alignment);
        whole = description + note_align(note.n_descsz, alignment);
        if (description + note.n_descsz > size)
            return;
        if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == sizeof NOTE_OWNER &&
            !memcmp(notes + name, NOTE_OWNER, sizeof NOTE_OWNER) &&
            (note.n_descsz == 4 || note.n_descsz == 8)) {
            elf->has_pvh = true;
            elf->pvh_entry = 0;
            memcpy(&elf->pvh_entry, notes + description, note.n_descsz);
            return;
        }
        if (whole >= size)
            return;
        notes += whole;
        size -= whole;
    }
}

/* A note segment that is too large to be a kernel's is not looked into. */
static int read_notes(const struct kernel_source *source, struct elf *elf,
                      const Elf64_Phdr *header, struct err *err)
{
    uint8_t notes[NOTES_SIZE_MAX];
    int rc;

    if (elf->has_pvh || header->p_filesz > sizeof notes)
        return 0;
    rc = read_bytes(source, header->p_offset, notes, header->p_filesz, err);
    if (!rc)
        find_pvh_entry(elf, notes, header->p_filesz, header->p_align == 8 ? 8 : 4);
    return rc;
}

static bool overlap(const struct segment *a, const struct segment *b)
{
    return a->base.v < b->base.v + b->memory_size && b->base.v < a->base.v + a->memory_size;
}

/* Takes one loadable segment in, once it is known to be inside file and memory, and alone. */
static int add_segment(const struct kernel_source *source, struct elf *elf,
                       const Elf64_Phdr *header, struct err *err)
{
    struct segment segment = {
        .offset = header->p_offset,
        .file_size = header->p_filesz,
        .base = gpa(header->p_paddr),
        .memory_size = header->p_memsz,
    };
    int rc;

    if (segment.file_size > segment.memory_size)
        return err_set(err, -EINVAL, "is broken: the segment at 0x%llx has more bytes in the file "
                       "than in memory", (unsigned long long)segment.base.v);
    if (segment.memory_size == 0)
        return 0;
    if (elf->segment_count == SEGMENTS_MAX)
        return err_set(err, -EINVAL, "has more than %u loadable segments", SEGMENTS_MAX);
    rc = kernel_check_range(source, segment.base, segment.memory_size, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < elf->segment_count; i++)
        if (overlap(&segment, &elf->segments[i]))
            return err_set(err, -EINVAL, "is broken: its segments at 0x%llx and 0x%llx overlap",
                           (unsigned long long)elf->segments[i].base.v,
                           (unsigned long long)segment.base.v);
    elf->segments[elf->segment_count++] = segment;
    return 0;
}

static int read_segments(const struct kernel_source *source, struct elf *elf, struct err *err)
{
    Elf64_Phdr headers[PROGRAM_HEADERS_MAX];
    int rc = read_program_headers(source, elf, headers, err);

    for (unsigned i = 0; !rc && i < elf->program_header_count; i++) {
        if (headers[i].p_type == PT_LOAD)
            rc = add_segment(source, elf, &headers[i], err);
        else if (headers[i].p_type == PT_NOTE)
            rc = read_notes(source, elf, &headers[i], err);
    }
    if (!rc && elf->segment_count == 0)
        rc = err_set(err, -EINVAL, "has nothing to load; give a linked kernel");
    return rc;
}

static int choose_entry(const struct elf *elf, struct kernel *kernel, struct err *err)
{
    uint64_t entry = elf->has_pvh ? elf->pvh_entry : elf->entry;

    if (!elf->has_pvh && !elf->is64)
        return err_set(err, -ENOEXEC,
                       "is a 32-bit ELF file without a PVH note; give a kernel for x86_64");
    kernel->protocol = elf->has_pvh ? BOOT_PVH : BOOT_LINUX64;
    kernel->entry = gpa(entry);
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct segment *segment = &elf->segments[i];

        if (entry >= segment->base.v && entry - segment->base.v < segment->memory_size)
            return 0;
    }
    return err_set(err, -EINVAL, "is broken: its entry point, 0x%llx, is in none of its segments",
                   (unsigned long long)entry);
}

static int load_segments(const struct kernel_source *source, const struct elf *elf,
                         struct kernel *kernel, struct err *err)
{
    uint64_t lowest = UINT64_MAX;
    uint64_t end = 0;

    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct segment *segment = &elf->segments[i];
        int rc = image_load(&source->image, segment->offset, source->memory, segment->base,
                            segment->file_size, err);

        if (rc)
            return rc;
        if (segment->base.v < lowest)
            lowest = segment->base.v;
        if (segment->base.v + segment->memory_size > end)
            end = segment->base.v + segment->memory_size;
    }
    kernel->range = (struct memory_range){gpa(lowest), end - lowest};
    return 0;
}

/* What a zero page says where there is no setup header to copy from. */
static void make_setup(struct kernel *kernel)
{
    kernel->setup = (struct setup_header){
        .boot_flag = SETUP_BOOT_FLAG,
        .header = SETUP_MAGIC,
        .version = SETUP_VERSION_WITH_64BIT,
        .loadflags = LOADED_HIGH,
        .xloadflags = XLF_KERNEL_64,
        .initrd_addr_max = (uint32_t)kernel->initrd_last.v,
        .cmdline_size = kernel->command_line_max,
    };
}

static int load(const struct kernel_source *source, struct kernel *kernel, struct err *err)
{
    struct elf elf = {0};
    int rc = read_header(source, &elf, err);

    if (!rc)
        rc = read_segments(source, &elf, err);
    if (!rc)
        rc = choose_entry(&elf, kernel, err);
    if (!rc)
        rc = load_segments(source, &elf, kernel, err);
    if (rc)
        return rc;
    kernel->format = KERNEL_ELF;
    kernel->initrd_last = gpa(UINT32_MAX); /* Linux keeps 32 bits of a PVH module's address */
    kernel->command_line_max = COMMAND_LINE_MAX;
    make_setup(kernel);
    return 0;
}

const struct kernel_loader elf_loader = {detect, load};
