/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#define SERIAL_PORT 0x3f8
#define SERIAL_MODEM_CONTROL (SERIAL_PORT + 4)
#define READY_TO_RECEIVE 0x03 /* DTR and RTS */
#define SERIAL_LINE_STATUS (SERIAL_PORT + 5)
#define DATA_READY 0x01

/* Husk's ACPI sleep register, and that of the PIIX4 and ICH9 as SeaBIOS places it. */
#define HUSK_SLEEP_PORT 0x600
#define HUSK_SLEEP_S5 (5 << 2 | 1 << 5)
#define PM1_CONTROL_PORT 0x604
#define PM1_SLEEP_S5 (1 << 13)

/* hvm_start_info (Xen, public/arch-x86/hvm/start_info.h), as far as it is read. */
struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
};

static const char *command_line;

_Noreturn void guest_start(const struct start_info *info);

_Noreturn void guest_start(const struct start_info *info)
{
    command_line = (const char *)info->command_line;
    guest_main();
    end();
}

bool parse_word(const char **text, const char *word)
{
    const char *at = *text;

    while (*word)
        if (*at++ != *word++)
            return false;
    *text = at;
    return true;
}

static unsigned digit(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    return character >= 'a' && character <= 'f' ? (unsigned)(character - 'a' + 10) : 16;
}

uint64_t parse_number(const char **text)
{
    unsigned base = parse_word(text, "0x") ? 16 : 10;
    uint64_t value = 0;

    while (digit(**text) < base)
        value = value * base + digit(*(*text)++);
    return value;
}

const char *option(const char *name, const char *from)
{
    const char *at = from ? from : command_line;

    while (*at) {
        const char *value = at;

        if (parse_word(&value, name) && *value == '=')
            return value + 1;
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    return NULL;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
    const char *value = option(name, NULL);

    return value ? parse_number(&value) : otherwise;
}

void print(const char *text)
{
    while (*text)
        out8(SERIAL_PORT, (uint8_t)*text++);
}

void print_word(const char *text)
{
    while (*text && *text != ' ')
        out8(SERIAL_PORT, (uint8_t)*text++);
}

void print_value(const char *name, uint64_t value)
{
    char digits[21], *at = digits + sizeof digits - 1;

    *at = 0;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    print(" ");
    print(name);
    print("=");
    print(at);
}

static void print_time(const char *moment)
{
    uint64_t now = cycles_now();

    print(moment);
    print_value("tsc", now);
    print("\n");
}

void read_byte(void)
{
    out8(SERIAL_MODEM_CONTROL, READY_TO_RECEIVE);
    while (!(in8(SERIAL_LINE_STATUS) & DATA_READY))
        pause();
    in8(SERIAL_PORT);
}

void wait_for_host(void)
{
    print_time("ready");
    if (option_number("wait", 0))
        read_byte();
}

void print_done(void)
{
    print_time("done");
}

_Noreturn void fail(const char *why)
{
    print("failed: ");
    print(why);
    print("\n");
    end();
}

/* The last way is an exception: without an interrupt table that is a triple fault. */
_Noreturn void end(void)
{
    out8(HUSK_SLEEP_PORT, HUSK_SLEEP_S5);
    out16(PM1_CONTROL_PORT, PM1_SLEEP_S5);
    for (;;)
        __builtin_trap();
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
    return to;
}
