/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The setup header of a bzImage, which the zero page repeats (Linux, Documentation/arch/x86/
 * boot.rst, "The Real-Mode Kernel Header"). Written down here, because only x86 hosts have a
 * header for it, and what firmware does depends on no host.
 */
#ifndef HUSK_FIRMWARE_SETUP_HEADER_H
#define HUSK_FIRMWARE_SETUP_HEADER_H

#include <stdint.h>

#define SETUP_HEADER_OFFSET 0x1f1u /* in the file and in the zero page */
#define SETUP_BOOT_FLAG 0xaa55u
#define SETUP_MAGIC 0x53726448u          /* "HdrS" */
#define SETUP_VERSION_WITH_64BIT 0x020cu /* 2.12, the first with xloadflags */

#define LOADED_HIGH 0x01u                /* loadflags */
#define XLF_KERNEL_64 0x01u              /* xloadflags */
#define XLF_CAN_BE_LOADED_ABOVE_4G 0x02u /* xloadflags */

struct setup_header {
    uint8_t setup_sects;
    uint16_t root_flags;
    uint32_t syssize;
    uint16_t ram_size;
    uint16_t vid_mode;
    uint16_t root_dev;
    uint16_t boot_flag;
    uint16_t jump;
    uint32_t header;
    uint16_t version;
    uint32_t realmode_swtch;
    uint16_t start_sys_seg;
    uint16_t kernel_version;
    uint8_t type_of_loader;
    uint8_t loadflags;
    uint16_t setup_move_size;
    uint32_t code32_start;
    uint32_t ramdisk_image;
    uint32_t ramdisk_size;
    uint32_t bootsect_kludge;
    uint16_t heap_end_ptr;
    uint8_t ext_loader_ver;
    uint8_t ext_loader_type;
    uint32_t cmd_line_ptr;
    uint32_t initrd_addr_max;
    uint32_t kernel_alignment;
    uint8_t relocatable_kernel;
    uint8_t min_alignment;
    uint16_t xloadflags;
    uint32_t cmdline_size;
    uint32_t hardware_subarch;
    uint64_t hardware_subarch_data;
    uint32_t payload_offset;
    uint32_t payload_length;
    uint64_t setup_data;
    uint64_t pref_address;
    uint32_t init_size;
    uint32_t handover_offset;
    uint32_t kernel_info_offset;
} __attribute__((packed));

_Static_assert(sizeof(struct setup_header) == 0x26c - SETUP_HEADER_OFFSET, "as boot.rst has it");

#endif
