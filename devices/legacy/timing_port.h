/* SPDX-License-Identifier: Apache-2.0 */
/* A byte port by which a guest marks how far it has come; reads give zero. */
#ifndef HUSK_DEVICES_LEGACY_TIMING_PORT_H
#define HUSK_DEVICES_LEGACY_TIMING_PORT_H

#include "core/bus.h"
#include "core/state.h"

#include <stdint.h>

#define TIMING_PORT_SIZE 1u

struct timing_port {
    void (*mark)(void *context, uint8_t phase); /* on the vCPU thread that wrote; several at once */
    void *context;
};

extern const struct bus_ops timing_port_ops;

void timing_port_init(struct timing_port *port, void (*mark)(void *context, uint8_t phase),
                      void *context);

/* There is no state; the section is there so that it can come. */
void timing_port_reset(struct timing_port *port);
void timing_port_save(const struct timing_port *port, struct state_writer *writer);
void timing_port_restore(struct timing_port *port, struct state_reader *reader);

#endif
