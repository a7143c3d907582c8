/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/packet.h"
#include "devices/net/forward.h"

#include <netinet/in.h>
#include <string.h>

#define TCP_SIZE 20u
#define ICMP_SIZE 8u
#define TIME_TO_LIVE 64u
#define IP_DONT_FRAGMENT 0x4000u
#define ICMP_UNREACHABLE 3u
#define ICMP_PROHIBITED 13u /* RFC 1812, 5.2.7.1 */

/* What libslirp calls itself on the wire: 52:55 and the gateway's address. */
static const uint8_t gateway_address[PACKET_ADDRESS_SIZE] = {0x52, 0x55, 10, 0, 2, NET_USER_HOST};

static uint16_t read_16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t read_32(const uint8_t *from)
{
    return (uint32_t)read_16(from) << 16 | read_16(from + 2);
}

static void write_16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static void write_32(uint8_t *to, uint32_t value)
{
    write_16(to, (uint16_t)(value >> 16));
    write_16(to + 2, (uint16_t)value);
}

/* --- reading --- */

uint16_t packet_frame_kind(const uint8_t *frame, size_t size)
{
    return size < PACKET_ETHERNET_SIZE ? 0 : read_16(frame + 12);
}

static bool read_tcp(struct packet *packet, const uint8_t *segment, size_t size)
{
    size_t header;

    if (size < TCP_SIZE)
        return false;
    header = (size_t)(segment[12] >> 4) * 4;
    if (header < TCP_SIZE || header > size)
        return false;
    packet->source_port = read_16(segment);
    packet->destination_port = read_16(segment + 2);
    packet->sequence = read_32(segment + 4);
    packet->tcp_flags = segment[13];
    packet->payload = segment + header;
    packet->payload_size = size - header;
    return true;
}

static bool read_udp(struct packet *packet, const uint8_t *datagram, size_t size)
{
    size_t length;

    if (size < PACKET_UDP_SIZE)
        return false;
    length = read_16(datagram + 4);
    if (length < PACKET_UDP_SIZE || length > size)
        return false;
    packet->source_port = read_16(datagram);
    packet->destination_port = read_16(datagram + 2);
    packet->payload = datagram + PACKET_UDP_SIZE;
    packet->payload_size = length - PACKET_UDP_SIZE;
    return true;
}

bool packet_read(struct packet *packet, const uint8_t *frame, size_t size)
{
    const uint8_t *ip = frame + PACKET_ETHERNET_SIZE;
    size_t header, length;

    *packet = (struct packet){0};
    if (packet_frame_kind(frame, size) != PACKET_IPV4 || size < PACKET_ETHERNET_SIZE + PACKET_IP_SIZE)
        return false;
    header = (size_t)(ip[0] & 15) * 4;
    length = read_16(ip + 2);
    if (ip[0] >> 4 != 4 || header < PACKET_IP_SIZE || header > length ||
        length > size - PACKET_ETHERNET_SIZE)
        return false;
    memcpy(packet->sender, frame + PACKET_ADDRESS_SIZE, sizeof packet->sender);
    packet->ip = ip;
    packet->ip_header_size = header;
    packet->source = read_32(ip + 12);
    packet->destination = read_32(ip + 16);
    packet->protocol = ip[9];
    packet->fragment = (read_16(ip + 6) & ~IP_DONT_FRAGMENT) != 0;
    if (packet->fragment)
        return true;
    switch (packet->protocol) {
    case IPPROTO_TCP:
        return read_tcp(packet, ip + header, length - header);
    case IPPROTO_UDP:
        return read_udp(packet, ip + header, length - header);
    case IPPROTO_ICMP:
        packet->icmp_type = length - header < ICMP_SIZE ? 0 : ip[header];
        return length - header >= ICMP_SIZE;
    default:
        return true;
    }
}

/* --- writing --- */

static uint32_t sum(uint32_t total, const uint8_t *from, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        total += read_16(from + i);
    if (size % 2)
        total += (uint32_t)from[size - 1] << 8;
    return total;
}

static uint16_t checksum(uint32_t total)
{
    while (total >> 16)
        total = (total & UINT16_MAX) + (total >> 16);
    return (uint16_t)~total;
}

/* The headers around `size` bytes of the protocol, which follow them. The frame's size. */
static size_t wrap(uint8_t *frame, const uint8_t *to, uint32_t source, uint32_t destination,
                   uint8_t protocol, size_t size)
{
    uint8_t *ip = frame + PACKET_ETHERNET_SIZE;

    memcpy(frame, to, PACKET_ADDRESS_SIZE);
    memcpy(frame + PACKET_ADDRESS_SIZE, gateway_address, PACKET_ADDRESS_SIZE);
    write_16(frame + 12, PACKET_IPV4);
    memset(ip, 0, PACKET_IP_SIZE);
    ip[0] = 0x45;
    write_16(ip + 2, (uint16_t)(PACKET_IP_SIZE + size));
    write_16(ip + 6, IP_DONT_FRAGMENT);
    ip[8] = TIME_TO_LIVE;
    ip[9] = protocol;
    write_32(ip + 12, source);
    write_32(ip + 16, destination);
    write_16(ip + 10, checksum(sum(0, ip, PACKET_IP_SIZE)));
    return PACKET_ETHERNET_SIZE + PACKET_IP_SIZE + size;
}

/* Of what TCP and UDP sum up besides themselves: addresses, protocol and length. */
static uint32_t pseudo_sum(uint32_t source, uint32_t destination, uint8_t protocol, size_t size)
{
    return (source >> 16) + (source & UINT16_MAX) + (destination >> 16) +
           (destination & UINT16_MAX) + protocol + (uint32_t)size;
}

size_t packet_write_reset(const struct packet *packet, uint8_t frame[PACKET_ANSWER_MAX])
{
    uint8_t *segment = frame + PACKET_ETHERNET_SIZE + PACKET_IP_SIZE;
    uint32_t total;

    memset(segment, 0, TCP_SIZE);
    write_16(segment, packet->destination_port);
    write_16(segment + 2, packet->source_port);
    write_32(segment + 8, packet->sequence + 1 + (uint32_t)packet->payload_size);
    segment[12] = TCP_SIZE / 4 << 4;
    segment[13] = PACKET_TCP_RST | PACKET_TCP_ACK;
    total = pseudo_sum(packet->destination, packet->source, IPPROTO_TCP, TCP_SIZE);
    write_16(segment + 16, checksum(sum(total, segment, TCP_SIZE)));
    return wrap(frame, packet->sender, packet->destination, packet->source, IPPROTO_TCP, TCP_SIZE);
}

/* What is refused is quoted: its IP header and 8 bytes, which every packet that was read has. */
size_t packet_write_prohibited(const struct packet *packet, uint8_t frame[PACKET_ANSWER_MAX])
{
    uint8_t *message = frame + PACKET_ETHERNET_SIZE + PACKET_IP_SIZE;
    size_t quoted = packet->ip_header_size + 8;

    memset(message, 0, ICMP_SIZE);
    message[0] = ICMP_UNREACHABLE;
    message[1] = ICMP_PROHIBITED;
    memcpy(message + ICMP_SIZE, packet->ip, quoted);
    write_16(message + 2, checksum(sum(0, message, ICMP_SIZE + quoted)));
    return wrap(frame, packet->sender, NET_USER_NETWORK | NET_USER_HOST, packet->source,
                IPPROTO_ICMP, ICMP_SIZE + quoted);
}

size_t packet_write_datagram(const struct packet_ends *asked, uint8_t *frame, size_t size)
{
    uint8_t *datagram = frame + PACKET_ETHERNET_SIZE + PACKET_IP_SIZE;
    size_t length = PACKET_UDP_SIZE + size;
    uint32_t total = pseudo_sum(asked->destination, asked->source, IPPROTO_UDP, length);
    uint16_t check;

    write_16(datagram, asked->destination_port);
    write_16(datagram + 2, asked->source_port);
    write_16(datagram + 4, (uint16_t)length);
    write_16(datagram + 6, 0);
    check = checksum(sum(total, datagram, length));
    write_16(datagram + 6, check ? check : UINT16_MAX);
    return wrap(frame, asked->sender, asked->destination, asked->source, IPPROTO_UDP, length);
}
