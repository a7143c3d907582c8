/* SPDX-License-Identifier: Apache-2.0 */
/* Ends, or does not end, the machine in the way that the command line names. */
#include "guest.h"

#include "arch/x86_64/layout.h"

#define I8042_RESET 0xfe
#define PVPANIC_PANICKED 1
#define MODEM_CONTROL (LAYOUT_SERIAL_PORT + 4)
#define MODEM_CONTROL_READY 3 /* RTS and DTR: send me something */
#define LINE_STATUS (LAYOUT_SERIAL_PORT + 5)
#define LINE_STATUS_DATA_READY 1

#define APIC_SPURIOUS (LAYOUT_LAPIC + 0xf0)
#define APIC_ENABLED 0x1ff
#define APIC_REQUESTS (LAYOUT_LAPIC + 0x200)
#define IOAPIC_DATA 0x10
#define IOAPIC_REDIRECTION 0x10 /* register of the first pin's entry, which takes two */
#define BUTTON_VECTOR 0x40

static void reset_by_port(void)
{
    out8(LAYOUT_RESET_PORT, LAYOUT_RESET_VALUE);
}

static void reset_by_i8042(void)
{
    out8(LAYOUT_I8042_COMMAND_PORT, I8042_RESET);
}

static void panic(void)
{
    out8(LAYOUT_PVPANIC_PORT, PVPANIC_PANICKED);
}

static void triple_fault(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
}

/* There is no instruction to be fetched from a device's registers. */
static void run_a_device(void)
{
    void (*device)(void) = (void (*)(void))(LAYOUT_VIRTIO_MMIO + 0x800);

    device();
}

static void spin(void)
{
    print("spinning\n");
    for (;;)
        __asm__ volatile("");
}

static void halt(void)
{
    print("halted\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

/*
 * Powers off when the power button is pressed. Interrupts stay off: a request that has come to the
 * local APIC is seen there.
 */
static void button(void)
{
    const uint64_t request = APIC_REQUESTS + BUTTON_VECTOR / 32 * 0x10;

    write32(APIC_SPURIOUS, APIC_ENABLED);
    write32(LAYOUT_IOAPIC, IOAPIC_REDIRECTION + 2 * LAYOUT_POWER_BUTTON_GSI);
    write32(LAYOUT_IOAPIC + IOAPIC_DATA, BUTTON_VECTOR); /* fixed, physical, edge, not masked */
    print("listening\n");
    while (!(read32(request) >> BUTTON_VECTOR % 32 & 1))
        ;
}

static void flood(void)
{
    for (;;)
        print("the quick brown fox jumps over the lazy dog\n");
}

static uint8_t read_serial(void)
{
    while (!(in8(LINE_STATUS) & LINE_STATUS_DATA_READY))
        ;
    return in8(LAYOUT_SERIAL_PORT);
}

/* Gives back what comes in, until a 'q'. */
static void echo(void)
{
    uint8_t character;

    out8(MODEM_CONTROL, MODEM_CONTROL_READY);
    print("echo\n");
    while ((character = read_serial()) != 'q')
        print_character((char)character);
    print("\nbye\n");
}

static void hello(void)
{
    print("hello\n");
}

void guest_main(void)
{
    static const struct {
        const char *word;
        void (*way)(void);
    } ways[] = {
        {"hello", hello},
        {"reset-port", reset_by_port},
        {"reset-i8042", reset_by_i8042},
        {"panic", panic},
        {"triple-fault", triple_fault},
        {"run-a-device", run_a_device},
        {"spin", spin},
        {"halt", halt},
        {"button", button},
        {"flood", flood},
        {"echo", echo},
    };

    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (asked(ways[i].word)) {
            ways[i].way();
            return;
        }
    }
    print("no such way\n");
}
