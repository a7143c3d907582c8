/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes ACPI Machine Language into a bounded buffer (ACPI 6.5, chapter 20; resource descriptors:
 * section 6.4). Internal to firmware.
 *
 * Blocks nest by begin and end calls. Once something does not fit, nothing more is written, and
 * `failed` says so: check it once, at the end.
 */
#ifndef HUSK_FIRMWARE_AML_H
#define HUSK_FIRMWARE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *data; /* borrowed */
    size_t room;
    size_t size;
    bool failed;
};

/* Where the content of an open block begins. */
struct aml_block {
    size_t start;
};

/* Names are NameSegs: exactly four characters, padded with '_'. */
struct aml_block aml_begin_scope(struct aml *aml, const char *name);
struct aml_block aml_begin_device(struct aml *aml, const char *name);
/* Name (name, Package () { ... }) of `count` elements. */
struct aml_block aml_begin_package(struct aml *aml, const char *name, uint8_t count);
/* Method (name, arguments) { ... } */
struct aml_block aml_begin_method(struct aml *aml, const char *name, uint8_t arguments);
void aml_end(struct aml *aml, struct aml_block block);

/* An integer where a term is expected, in its shortest form. */
void aml_integer(struct aml *aml, uint64_t value);
/* Notify (object, value): in a method. */
void aml_notify(struct aml *aml, const char *object, uint8_t value);
/* Name (name, value) */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *value);
/* Name (name, EisaId (id)); `id` is three letters and four hexadecimal digits: "PNP0501". */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id);

/* Name (_CRS, ResourceTemplate () { ... }) */
struct aml_block aml_begin_resources(struct aml *aml);
void aml_end_resources(struct aml *aml, struct aml_block block);
void aml_memory32(struct aml *aml, uint32_t base, uint32_t size); /* read-write, fixed */
void aml_io(struct aml *aml, uint16_t port, uint8_t count);       /* 16-bit decode, fixed */
void aml_interrupt(struct aml *aml, uint32_t gsi);                /* edge, active high, exclusive */
/* What a bridge passes on: bus numbers, and memory (not cacheable, read-write). */
void aml_bus_numbers(struct aml *aml, uint8_t first, uint8_t last);
void aml_memory_window(struct aml *aml, uint32_t base, uint32_t size);

#endif
