/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/board_parts.h"

#include "firmware/command_line.h"
#include "firmware/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* The value that a guest writes to the timing port when its userspace runs. */
#define TIMING_PORT_USERSPACE 3

#define DEFAULTS_MAX 256

void board_mark_phase(void *context, uint8_t phase)
{
    struct machine *machine = context;

    if (phase == TIMING_PORT_USERSPACE)
        timing_mark(&machine->timing, TIMING_USERSPACE);
}

int board_add_pci(struct machine *machine, struct pci_bus *bus, uint64_t ecam,
                  const struct pci_window *window, struct err *err)
{
    int rc;

    pci_bus_init(bus, window);
    rc = bus_add(&machine->mmio, ecam, PCI_ECAM_SIZE, &pci_ecam_ops, bus, err);
    return rc ?: bus_add(&machine->mmio, window->base, window->size, &pci_window_ops, bus, err);
}

/* --- boot files --- */

/* O_NONBLOCK: opening a FIFO or a terminal by mistake must not wait; on files it does nothing. */
static int open_image(const char *what, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? err_sys(err, -errno, "%s \"%s\": cannot open", what, path) : fd;
}

static int load_kernel(struct machine *machine, const struct kernel_limits *limits,
                       struct kernel *kernel, struct err *err)
{
    const char *path = machine->config.kernel;
    int fd = open_image("kernel", path, err), rc;

    if (fd < 0)
        return fd;
    rc = kernel_load(&machine->memory, fd, path, limits, kernel, err);
    close(fd);
    return rc;
}

static int load_initrd(struct machine *machine, const struct kernel_limits *limits,
                       const struct kernel *kernel, struct memory_range *initrd, struct err *err)
{
    const char *path = machine->config.initrd;
    int fd, rc;

    *initrd = (struct memory_range){0};
    if (!path)
        return 0;
    fd = open_image("initrd", path, err);
    if (fd < 0)
        return fd;
    rc = initrd_load(&machine->memory, fd, path, limits, kernel, initrd, err);
    close(fd);
    return rc;
}

int board_load_files(struct machine *machine, const struct kernel_limits *limits,
                     struct kernel *kernel, struct memory_range *initrd, struct err *err)
{
    int rc = load_kernel(machine, limits, kernel, err);

    return rc ?: load_initrd(machine, limits, kernel, initrd, err);
}

/* --- command line --- */

/* Where the root is, and that a panic ends the machine at once instead of hanging it. */
static void default_command_line(const struct machine_config *config, const char *own, char *line,
                                 size_t room)
{
    const char *root = "";

    if (config->disk_count > 0)
        root = config->disks[0].read_only ? "root=/dev/vda ro" : "root=/dev/vda rw";
    snprintf(line, room, "%s %s panic=-1 cryptomgr.notests quiet", own, root);
}

int board_command_line(const struct machine *machine, const char *own, char *line, size_t room,
                       struct err *err)
{
    const struct machine_config *config = &machine->config;
    char defaults[DEFAULTS_MAX];

    if (config->command_line)
        return command_line_build(line, room, NULL, config->command_line, err);
    default_command_line(config, own, defaults, sizeof defaults);
    return command_line_build(line, room, defaults, config->append, err);
}
