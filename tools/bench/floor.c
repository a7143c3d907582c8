/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of the launch benchmark: the least that a monitor must do to run a PVH guest that
 * could be Linux, in the order that KVM answers fastest, on one thread, with nothing checked that
 * an honest file does not need. Every other monitor is measured against it.
 *
 *     floor [--no-cpuid] MEMORY_MIB PAYLOAD
 *
 * What it must do: map guest memory, load the ELF file's segments, describe memory to the guest,
 * create VM, memslot, interrupt controllers (after the memslot: KVM makes memslots that come later
 * wait for milliseconds) and vCPU, give the vCPU its CPUID and the PVH register state, run it, and
 * copy what the guest writes to its serial port to standard output. --no-cpuid leaves CPUID away,
 * which Linux cannot live without, to show what that costs.
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define TSS_ADDRESS 0xfffbd000ul
#define START_INFO_ADDRESS 0x6000u
#define MEMORY_MAP_ADDRESS 0x6100u
#define SERIAL_PORT 0x3f8
#define CPUID_ENTRIES 128
#define PHDRS_MAX 8
#define NOTE_MAX 256
#define PVH_ENTRY_NOTE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define CR0_PE 1u
#define CR0_ET 0x10u

/* struct hvm_start_info and its memory map, Xen's public/arch-x86/hvm/start_info.h. */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
};
struct memory_map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

struct machine {
    int kvm, vm, vcpu;
    uint8_t *memory;
    size_t size;
    struct kvm_run *run;
    uint32_t entry;
};

static int checked_ioctl(int fd, unsigned long request, const void *argument, const char *name)
{
    int rc = ioctl(fd, request, argument);

    if (rc < 0)
        err(1, "%s", name);
    return rc;
}
#define IOCTL(fd, request, argument) \
    checked_ioctl(fd, request, (const void *)(uintptr_t)(argument), #request)

static void find_entry(struct machine *machine, const uint8_t *notes, size_t size)
{
    Elf64_Nhdr note;

    for (size_t at = 0; at + sizeof note <= size;) {
        size_t description;

        memcpy(&note, notes + at, sizeof note);
        description = at + sizeof note + ((note.n_namesz + 3ul) & ~3ul);
        at = description + ((note.n_descsz + 3ul) & ~3ul);
        if (note.n_type == PVH_ENTRY_NOTE && at <= size)
            memcpy(&machine->entry, notes + description, sizeof machine->entry);
    }
}

static void load_segment(struct machine *machine, int fd, const Elf64_Phdr *segment)
{
    uint8_t notes[NOTE_MAX];

    if (segment->p_type == PT_NOTE && segment->p_filesz <= sizeof notes) {
        if (pread(fd, notes, segment->p_filesz, (off_t)segment->p_offset) < 0)
            err(1, "read");
        find_entry(machine, notes, segment->p_filesz);
    } else if (segment->p_type == PT_LOAD) {
        if (segment->p_paddr > machine->size ||
            segment->p_filesz > machine->size - segment->p_paddr)
            errx(1, "the payload does not fit into memory");
        if (pread(fd, machine->memory + segment->p_paddr, segment->p_filesz,
                  (off_t)segment->p_offset) < 0)
            err(1, "read");
    }
}

static void load(struct machine *machine, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[PHDRS_MAX];
    } file = {0};

    if (fd < 0 || pread(fd, &file, sizeof file, 0) < (ssize_t)sizeof file.header)
        err(1, "%s", path);
    if (memcmp(file.header.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.header.e_phoff != sizeof file.header || file.header.e_phnum > PHDRS_MAX)
        errx(1, "%s: not a payload", path);
    for (unsigned i = 0; i < file.header.e_phnum; i++)
        load_segment(machine, fd, &file.segments[i]);
    close(fd);
    if (machine->entry == 0)
        errx(1, "%s: no PVH entry", path);
}

static void describe_memory(struct machine *machine)
{
    const struct memory_map_entry ram = {.size = machine->size, .type = 1};
    const struct start_info info = {
        .magic = 0x336ec578,
        .version = 1,
        .memory_map = MEMORY_MAP_ADDRESS,
        .memory_map_count = 1,
    };

    memcpy(machine->memory + START_INFO_ADDRESS, &info, sizeof info);
    memcpy(machine->memory + MEMORY_MAP_ADDRESS, &ram, sizeof ram);
}

static void create_memory(struct machine *machine, size_t size, const char *payload)
{
    struct kvm_userspace_memory_region slot = {.memory_size = size};

    machine->size = size;
    machine->memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (machine->memory == MAP_FAILED)
        err(1, "mmap");
    load(machine, payload);
    describe_memory(machine);
    slot.userspace_addr = (uintptr_t)machine->memory;
    IOCTL(machine->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static void create_vcpu(struct machine *machine)
{
    int size = IOCTL(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    machine->vcpu = IOCTL(machine->vm, KVM_CREATE_VCPU, 0);
    machine->run =
        mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
    if (machine->run == MAP_FAILED)
        err(1, "mmap");
}

static void set_cpuid(const struct machine *machine)
{
    struct {
        struct kvm_cpuid2 header;
        struct kvm_cpuid_entry2 entries[CPUID_ENTRIES];
    } cpuid = {.header.nent = CPUID_ENTRIES};

    IOCTL(machine->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
    IOCTL(machine->vcpu, KVM_SET_CPUID2, &cpuid);
}

/* The state that the PVH boot protocol asks for: flat 32-bit segments, no paging. */
static void set_registers(const struct machine *machine)
{
    const struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    const struct kvm_regs registers = {
        .rip = machine->entry, .rbx = START_INFO_ADDRESS, .rflags = 2};
    struct kvm_sregs special = {0};

    IOCTL(machine->vcpu, KVM_GET_SREGS, &special);
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    special.cs = data;
    special.cs.selector = 8;
    special.cs.type = 11;
    special.tr.limit = 0x67;
    special.cr0 = CR0_PE | CR0_ET;
    IOCTL(machine->vcpu, KVM_SET_SREGS, &special);
    IOCTL(machine->vcpu, KVM_SET_REGS, &registers);
}

static void run(const struct machine *machine)
{
    const struct kvm_run *state = machine->run;

    for (;;) {
        IOCTL(machine->vcpu, KVM_RUN, 0);
        if (state->exit_reason != KVM_EXIT_IO)
            errx(1, "the guest stopped for reason %u", state->exit_reason);
        if (state->io.direction == KVM_EXIT_IO_OUT && state->io.port == SERIAL_PORT &&
            write(STDOUT_FILENO, (const uint8_t *)state + state->io.data_offset, 1) != 1)
            err(1, "write");
    }
}

int main(int argc, char **argv)
{
    bool cpuid = !(argc > 1 && strcmp(argv[1], "--no-cpuid") == 0);
    char **arguments = argv + (cpuid ? 1 : 2);
    struct machine machine = {0};

    if (argc != (cpuid ? 3 : 4))
        errx(2, "usage: floor [--no-cpuid] MEMORY_MIB PAYLOAD");
    machine.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (machine.kvm < 0)
        err(1, "/dev/kvm");
    if (IOCTL(machine.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        errx(1, "/dev/kvm: not version %d", KVM_API_VERSION);
    machine.vm = IOCTL(machine.kvm, KVM_CREATE_VM, 0);
    IOCTL(machine.vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
    create_memory(&machine, strtoul(arguments[0], NULL, 10) << 20, arguments[1]);
    IOCTL(machine.vm, KVM_CREATE_IRQCHIP, 0);
    create_vcpu(&machine);
    if (cpuid)
        set_cpuid(&machine);
    set_registers(&machine);
    run(&machine);
}
