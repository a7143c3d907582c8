/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiny hand-made kernels for the tests of firmware: well-formed as made, for a test to break.
 */
#ifndef HUSK_TESTS_BOOT_IMAGES_H
#define HUSK_TESTS_BOOT_IMAGES_H

#include "core/memory.h"
#include "firmware/kernel.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define TEST_MIB (1ull << 20)
#define TEST_CODE_SIZE 1024u

/* A bzImage of one setup sector; its 64-bit entry is at code + 0x200. */
struct test_bzimage {
    uint8_t boot_sector[0x1f1];
    struct setup_header setup;
    uint8_t padding[1024 - 0x1f1 - sizeof(struct setup_header)];
    uint8_t code[TEST_CODE_SIZE];
} __attribute__((packed));

/* A note as Linux writes its PVH entry. */
struct test_pvh_note {
    Elf64_Nhdr header;
    char owner[4];
    uint64_t entry;
} __attribute__((packed));

/* Headers: code at 1 MiB with 4096 bytes of memory, data at 2 MiB, notes. */
struct test_elf64 {
    Elf64_Ehdr header;
    Elf64_Phdr code_header;
    Elf64_Phdr data_header;
    Elf64_Phdr note_header;
    struct test_pvh_note note;
    uint8_t code[TEST_CODE_SIZE];
    uint8_t data[TEST_CODE_SIZE];
};

struct test_elf32 {
    Elf32_Ehdr header;
    Elf32_Phdr code_header;
    Elf32_Phdr note_header;
    struct test_pvh_note note;
    uint8_t code[TEST_CODE_SIZE];
};

#define TEST_CODE_BASE 0x100000u
#define TEST_DATA_BASE 0x200000u
#define TEST_ENTRY64 (TEST_CODE_BASE + 0x10u)
#define TEST_PVH_ENTRY (TEST_CODE_BASE + 0x20u)

void test_bzimage(struct test_bzimage *image);
void test_elf64(struct test_elf64 *image);
void test_elf32(struct test_elf32 *image);

/* The bytes that every image has as its code: different at each offset modulo 251. */
void test_code(uint8_t *code, size_t size);

/* A file without a name that holds these bytes; the caller closes it. */
int test_file(const void *bytes, size_t size);

/* One region of RAM from 0; the caller destroys it. */
struct guest_memory test_memory(uint64_t mib);

/* 1 MiB to 4 GiB. */
extern const struct kernel_limits test_limits;

#endif
