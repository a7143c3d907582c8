/* SPDX-License-Identifier: Apache-2.0 */
#include "support/mock_ring.h"

#include "support/mock_driver.h"

#include <stdlib.h>
#include <string.h>

#define RING_SPACE 0xc000ull /* of one queue; each part gets a fixed place in it */
#define AVAIL_AT 0x8000ull
#define USED_AT 0xa000ull

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED (1u << VRING_PACKED_DESC_F_USED)

static void must(bool condition)
{
    if (!condition)
        abort();
}

void mock_ring_place(struct mock_ring *ring, const struct mock_guest *guest, unsigned index,
                     uint16_t size)
{
    uint64_t base = MOCK_RINGS + index * RING_SPACE;

    memset(mock_at(guest, base, RING_SPACE), 0, RING_SPACE);
    *ring = (struct mock_ring){
        .guest = guest,
        .packed = guest->packed,
        .size = size,
        .descriptors = base,
        .avail = base + AVAIL_AT,
        .used = base + USED_AT,
    };
}

void mock_ring_setup(const struct mock_ring *ring, struct virtq_setup *setup)
{
    *setup = (struct virtq_setup){ring->size, gpa(ring->descriptors), gpa(ring->avail),
                                  gpa(ring->used), true};
}

static uint16_t *word(const struct mock_ring *ring, uint64_t address)
{
    return mock_at(ring->guest, address, sizeof(uint16_t));
}

/* --- descriptors --- */

static void set_entry(const struct mock_guest *guest, uint64_t address, bool packed,
                      const struct mock_descriptor *descriptor)
{
    const struct vring_desc split = {descriptor->address, descriptor->length, descriptor->flags,
                                     descriptor->next};
    const struct vring_packed_desc other = {descriptor->address, descriptor->length,
                                            descriptor->next, descriptor->flags};

    memcpy(mock_at(guest, address, sizeof split), packed ? (const void *)&other : &split,
           sizeof split);
}

void mock_set_table_entry(const struct mock_guest *guest, uint64_t table, unsigned index,
                          const struct mock_descriptor *descriptor)
{
    set_entry(guest, table + index * sizeof(struct vring_desc), guest->packed, descriptor);
}

void mock_set_descriptor(const struct mock_ring *ring, uint16_t index,
                         const struct mock_descriptor *descriptor)
{
    set_entry(ring->guest, ring->descriptors + index * sizeof(struct vring_desc), ring->packed,
              descriptor);
}

/* --- positions in a packed ring --- */

static bool wrap_counter(const struct mock_ring *ring, uint16_t position)
{
    return position < ring->size;
}

static uint16_t forward(const struct mock_ring *ring, uint16_t position, unsigned slots)
{
    return (uint16_t)((position + slots) % (2u * ring->size));
}

static struct vring_packed_desc *slot_at(const struct mock_ring *ring, uint16_t position)
{
    return mock_at(ring->guest,
                   ring->descriptors + position % ring->size * sizeof(struct vring_packed_desc),
                   sizeof(struct vring_packed_desc));
}

/* Off_wrap of an event suppression structure, and back. */
static uint16_t event_of(const struct mock_ring *ring, uint16_t position)
{
    return (uint16_t)(position % ring->size |
                      wrap_counter(ring, position) << VRING_PACKED_EVENT_F_WRAP_CTR);
}

static uint16_t position_of(const struct mock_ring *ring, uint16_t event)
{
    bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR;

    return (uint16_t)((event & 0x7fff) + (wrap ? 0 : ring->size));
}

/* --- offering --- */

static void offer_slot(struct mock_ring *ring)
{
    struct vring_packed_desc *slot = slot_at(ring, ring->avail_position);
    unsigned flags = slot->flags & ~(FLAG_AVAIL | FLAG_USED);

    flags |= wrap_counter(ring, ring->avail_position) ? FLAG_AVAIL : FLAG_USED;
    __atomic_store_n(&slot->flags, (uint16_t)flags, __ATOMIC_SEQ_CST);
    ring->slots[slot->id % VIRTQ_SIZE_MAX] = 1;
    ring->avail_position = forward(ring, ring->avail_position, 1);
    ring->avail_idx++;
}

void mock_set_avail_idx(const struct mock_ring *ring, uint16_t idx)
{
    must(!ring->packed);
    __atomic_store_n(word(ring, ring->avail + 2), idx, __ATOMIC_SEQ_CST);
}

void mock_offer(struct mock_ring *ring, uint16_t head)
{
    if (ring->packed) {
        offer_slot(ring);
        return;
    }
    *word(ring, ring->avail + 4 + 2ull * (ring->avail_idx % ring->size)) = head;
    mock_set_avail_idx(ring, ++ring->avail_idx);
}

static uint16_t unused_id(struct mock_ring *ring)
{
    for (unsigned tries = 0; tries < ring->size; tries++) {
        uint16_t id = ring->next_id++ % ring->size;

        if (ring->slots[id] == 0)
            return id;
    }
    abort(); /* more chains than the ring has descriptors */
}

/* All but the first descriptor become available before the first does (2.8.17). */
static uint16_t add_packed(struct mock_ring *ring, const struct mock_descriptor *buffers,
                           unsigned count)
{
    uint16_t id = unused_id(ring);
    uint16_t first_flags = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t position = forward(ring, ring->avail_position, i);
        unsigned flags = buffers[i].flags & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
        struct vring_packed_desc *slot = slot_at(ring, position);

        flags |= wrap_counter(ring, position) ? FLAG_AVAIL : FLAG_USED;
        if (i + 1 < count)
            flags |= VRING_DESC_F_NEXT;
        slot->addr = buffers[i].address;
        slot->len = buffers[i].length;
        slot->id = i + 1 < count ? 0xeeee : id; /* only the last one counts (2.8.6) */
        if (i == 0)
            first_flags = (uint16_t)flags;
        else
            slot->flags = (uint16_t)flags;
    }
    __atomic_store_n(&slot_at(ring, ring->avail_position)->flags, first_flags, __ATOMIC_SEQ_CST);
    ring->slots[id] = (uint16_t)count;
    ring->avail_position = forward(ring, ring->avail_position, count);
    ring->avail_idx++;
    return id;
}

static uint16_t add_split(struct mock_ring *ring, const struct mock_descriptor *buffers,
                          unsigned count)
{
    uint16_t head = ring->next_descriptor % ring->size;

    for (unsigned i = 0; i < count; i++) {
        struct mock_descriptor copy = buffers[i];
        uint16_t index = ring->next_descriptor++ % ring->size;

        copy.next = ring->next_descriptor % ring->size;
        copy.flags &= VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
        if (i + 1 < count)
            copy.flags |= VRING_DESC_F_NEXT;
        mock_set_descriptor(ring, index, &copy);
    }
    mock_offer(ring, head);
    return head;
}

uint16_t mock_add(struct mock_ring *ring, const struct mock_descriptor *buffers, unsigned count)
{
    return ring->packed ? add_packed(ring, buffers, count) : add_split(ring, buffers, count);
}

/* --- taking back --- */

/* The used descriptor at `position`: how many slots its chain takes; 0 when it is none. */
static unsigned used_at(const struct mock_ring *ring, uint16_t position, uint32_t *id,
                        uint32_t *length)
{
    const struct vring_packed_desc *slot = slot_at(ring, position);
    uint16_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);
    bool wrap = wrap_counter(ring, position);
    unsigned slots;

    if (!!(flags & FLAG_USED) != wrap || !!(flags & FLAG_AVAIL) != wrap)
        return 0;
    slots = ring->slots[slot->id % VIRTQ_SIZE_MAX];
    *id = slot->id;
    *length = flags & VRING_DESC_F_WRITE ? slot->len : 0;
    return slots > 0 ? slots : 1; /* a chain that the device never got: the test sees its name */
}

static bool take_packed(struct mock_ring *ring, uint32_t *id, uint32_t *length)
{
    unsigned slots = used_at(ring, ring->used_position, id, length);

    if (slots == 0)
        return false;
    ring->slots[*id % VIRTQ_SIZE_MAX] = 0;
    ring->used_position = forward(ring, ring->used_position, slots);
    return true;
}

static uint16_t split_used_idx(const struct mock_ring *ring)
{
    return __atomic_load_n(word(ring, ring->used + 2), __ATOMIC_ACQUIRE);
}

static bool take_split(const struct mock_ring *ring, uint32_t *head, uint32_t *length)
{
    struct vring_used_elem element;

    if (split_used_idx(ring) == ring->used_idx)
        return false;
    memcpy(&element,
           mock_at(ring->guest, ring->used + 4 + 8ull * (ring->used_idx % ring->size), 8), 8);
    *head = element.id;
    *length = element.len;
    return true;
}

bool mock_take(struct mock_ring *ring, uint32_t *name, uint32_t *length)
{
    uint32_t its_name, its_length;

    if (!(ring->packed ? take_packed(ring, &its_name, &its_length)
                       : take_split(ring, &its_name, &its_length)))
        return false;
    ring->used_idx++;
    if (name)
        *name = its_name;
    if (length)
        *length = its_length;
    return true;
}

uint16_t mock_used_idx(const struct mock_ring *ring)
{
    uint16_t position = ring->used_position, count = ring->used_idx;
    uint32_t id, length;
    unsigned slots;

    if (!ring->packed)
        return split_used_idx(ring);
    while (count - ring->used_idx < ring->size &&
           (slots = used_at(ring, position, &id, &length)) > 0) {
        position = forward(ring, position, slots);
        count++;
    }
    return count;
}

/* --- event suppression --- */

uint16_t mock_used_flags(const struct mock_ring *ring)
{
    if (ring->packed)
        return *word(ring, ring->used + 2) == VRING_PACKED_EVENT_FLAG_DISABLE
                   ? VRING_USED_F_NO_NOTIFY : 0;
    return *word(ring, ring->used);
}

uint16_t mock_avail_event(const struct mock_ring *ring)
{
    if (!ring->packed)
        return *word(ring, ring->used + 4 + 8ull * ring->size);
    must(*word(ring, ring->used + 2) == VRING_PACKED_EVENT_FLAG_DESC);
    return position_of(ring, *word(ring, ring->used));
}

void mock_set_used_event(const struct mock_ring *ring, uint16_t value)
{
    if (!ring->packed) {
        *word(ring, ring->avail + 4 + 2ull * ring->size) = value;
        return;
    }
    *word(ring, ring->avail) = event_of(ring, value);
    *word(ring, ring->avail + 2) = VRING_PACKED_EVENT_FLAG_DESC;
}

void mock_set_avail_flags(const struct mock_ring *ring, uint16_t flags)
{
    if (!ring->packed)
        *word(ring, ring->avail) = flags;
    else
        *word(ring, ring->avail + 2) = flags & VRING_AVAIL_F_NO_INTERRUPT
                                           ? VRING_PACKED_EVENT_FLAG_DISABLE
                                           : VRING_PACKED_EVENT_FLAG_ENABLE;
}
