/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes every I/O port in every width once, but for accesses that end the machine.
 * What the devices behind them make of it is their own affair; the machine must go on.
 */
#include "guest.h"

#include "arch/x86_64/layout.h"

#define PORTS 0x10000u

/* A write of `width` bytes at `port` would touch a register whose purpose is to end things. */
static bool ends_machine(uint32_t port, uint32_t width)
{
    static const uint32_t enders[] = {
        LAYOUT_I8042_COMMAND_PORT,
        LAYOUT_PVPANIC_PORT,
        LAYOUT_SLEEP_CONTROL_PORT,
        LAYOUT_RESET_PORT,
    };

    for (unsigned i = 0; i < sizeof enders / sizeof enders[0]; i++)
        if (port <= enders[i] && enders[i] < port + width)
            return true;
    return false;
}

/* The console's own port would print what is written. */
static bool is_serial(uint32_t port, uint32_t width)
{
    return port + width > LAYOUT_SERIAL_PORT && port < LAYOUT_SERIAL_PORT + 8;
}

static void read_ports(uint32_t first, uint32_t end)
{
    for (uint32_t port = first; port < end; port++) {
        in8((uint16_t)port);
        in16((uint16_t)port);
        in32((uint16_t)port);
    }
}

static void write_ports(uint32_t first, uint32_t end)
{
    for (uint32_t port = first; port < end; port++) {
        if (!ends_machine(port, 1) && !is_serial(port, 1))
            out8((uint16_t)port, 0xff);
        if (!ends_machine(port, 2) && !is_serial(port, 2))
            out16((uint16_t)port, 0xffff);
        if (!ends_machine(port, 4) && !is_serial(port, 4))
            out32((uint16_t)port, 0xffffffff);
    }
}

/* The UART with everything on, then as it was: it must still work. */
static void shake_serial(void)
{
    for (uint16_t port = LAYOUT_SERIAL_PORT + 1; port < LAYOUT_SERIAL_PORT + 8; port++) {
        out8(port, 0xff);
        out16(port, 0xffff);
        out32(port, 0xffffffff);
    }
    for (uint16_t port = LAYOUT_SERIAL_PORT + 1; port < LAYOUT_SERIAL_PORT + 8; port++)
        out8(port, 0);
}

void guest_main(void)
{
    read_ports(0, PORTS);
    write_ports(0, PORTS);
    shake_serial();
    print("still here\n");
}
