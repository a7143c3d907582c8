/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/stats.h"

#include <jansson.h>

/* Each vCPU's exits to user space by their cause; what KVM handles itself is not among them. */
static json_t *vcpu_stats(const struct vcpu *vcpu)
{
    static const char *const names[] = {
        [VCPU_EXIT_PIO] = "pio",       [VCPU_EXIT_MMIO] = "mmio",   [VCPU_EXIT_MEMORY] = "memory",
        [VCPU_EXIT_SIGNAL] = "signal", [VCPU_EXIT_OTHER] = "other",
    };
    json_t *object = json_object();

    for (unsigned i = 0; i < VCPU_EXITS; i++)
        json_object_set_new(object, names[i],
                            json_integer((json_int_t)counter_read(&vcpu->exits[i])));
    return object;
}

static void take(void *context, const char *name, uint64_t value)
{
    json_object_set_new(context, name, json_integer((json_int_t)value));
}

static json_t *device_stats(const struct virtio_device *device)
{
    json_t *object = json_object();
    json_t *queues = json_array();

    for (unsigned i = 0; i < device->queue_count; i++) {
        json_t *queue = json_object();

        virtio_queue_count(&device->queues[i], &(struct counter_sink){take, queue});
        json_array_append_new(queues, queue);
    }
    json_object_set_new(object, "device", json_string(device->ops->name));
    json_object_set_new(object, "queues", queues);
    return object;
}

char *stats_json(const struct machine *machine)
{
    json_t *root = json_object(), *vcpus = json_array(), *devices = json_array();
    char *text;

    for (unsigned i = 0; i < machine->vcpu_count; i++)
        json_array_append_new(vcpus, vcpu_stats(&machine->vcpus[i]));
    for (unsigned i = 0; i < machine->virtio_count; i++)
        json_array_append_new(devices, device_stats(machine->virtio[i].device));
    json_object_set_new(root, "vcpus", vcpus);
    json_object_set_new(root, "devices", devices);
    text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return text;
}
