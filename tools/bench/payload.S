/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the launch benchmark: says one byte on the first serial port and halts for ever.
 * The byte is ASCII's ACK, which no monitor prints for itself. Assembled twice: as an ELF file
 * with a PVH entry note, and (FLAT) as bare real-mode code for monitors that know no PVH.
 */
#define SERIAL_PORT 0x3f8
#define ACK 6

/* XEN_ELFNOTE_PHYS32_ENTRY: where to enter in 32-bit protected mode without paging. */
#define PVH_ENTRY_NOTE 18

#ifndef FLAT
        .section .note.pvh, "a"
        .balign 4
        .long 4, 4, PVH_ENTRY_NOTE
        .asciz "Xen"
        .long _start
#endif

        .text
#ifdef FLAT
        .code16
#else
        .code32
#endif
        .globl _start
_start:
        mov $SERIAL_PORT, %dx
        mov $ACK, %al
        out %al, %dx
        cli
1:      hlt
        jmp 1b
