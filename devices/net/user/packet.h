/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 in Ethernet frames: read with suspicion, and written as answers to what was read. Numbers
 * are in the host's byte order.
 */
#ifndef HUSK_DEVICES_NET_USER_PACKET_H
#define HUSK_DEVICES_NET_USER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_ADDRESS_SIZE 6u /* of Ethernet */
#define PACKET_ETHERNET_SIZE 14u
#define PACKET_IP_SIZE 20u /* without options */
#define PACKET_UDP_SIZE 8u

#define PACKET_ARP 0x0806u
#define PACKET_IPV4 0x0800u

#define PACKET_TCP_FIN 0x01u
#define PACKET_TCP_SYN 0x02u
#define PACKET_TCP_RST 0x04u
#define PACKET_TCP_ACK 0x10u

#define PACKET_ICMP_ECHO 8u

/* The largest that is written here, but for datagrams: a refusal. */
#define PACKET_ANSWER_MAX (PACKET_ETHERNET_SIZE + PACKET_IP_SIZE + 8 + 60 + 8)

struct packet {
    uint8_t sender[PACKET_ADDRESS_SIZE]; /* of Ethernet */
    const uint8_t *ip; /* the header, in the frame */
    size_t ip_header_size;
    uint32_t source;
    uint32_t destination;
    uint8_t protocol;
    bool fragment; /* one of several, or what could be taken for one; what follows is not set then */

    const uint8_t *payload; /* of UDP and TCP */
    size_t payload_size;
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t sequence; /* of TCP */
    uint8_t tcp_flags;
    uint8_t icmp_type;
};

/* What the frame carries by its header; 0: it is too short. */
uint16_t packet_frame_kind(const uint8_t *frame, size_t size);

/* False: no IPv4 packet, or one whose lengths are wrong. It points into the frame. */
bool packet_read(struct packet *packet, const uint8_t *frame, size_t size);

/* A frame that says no to `packet`: a TCP reset for a SYN. Its size. */
size_t packet_write_reset(const struct packet *packet, uint8_t frame[PACKET_ANSWER_MAX]);

/* The same by ICMP, from the gateway: "communication administratively prohibited". */
size_t packet_write_prohibited(const struct packet *packet, uint8_t frame[PACKET_ANSWER_MAX]);

/* Who has asked, and whom: where a datagram that answers goes, and where it comes from. */
struct packet_ends {
    uint8_t sender[PACKET_ADDRESS_SIZE];
    uint32_t source;
    uint32_t destination;
    uint16_t source_port;
    uint16_t destination_port;
};

/*
 * The datagram that answers what has these ends; its payload of `size` bytes is in the frame already,
 * behind PACKET_DATAGRAM_HEADER bytes. The frame's size.
 */
#define PACKET_DATAGRAM_HEADER (PACKET_ETHERNET_SIZE + PACKET_IP_SIZE + PACKET_UDP_SIZE)
size_t packet_write_datagram(const struct packet_ends *asked, uint8_t *frame, size_t size);

#endif
