/* SPDX-License-Identifier: Apache-2.0 */
/* What config*.c know of networks. */
#ifndef HUSK_VMM_CONFIG_NET_H
#define HUSK_VMM_CONFIG_NET_H

#include "vmm/config.h"
#include "vmm/config_parts.h"

#define CONFIG_MTU_MIN 68u /* of IPv4, and of the device's feature (virtio 1.2, 5.1.4.1) */
#define CONFIG_MTU_MAX 65535u

/* Each says what would be right, naming the key. `err` may be NULL. */
int config_check_net(const struct husk_net *net, struct err *err);
int config_parse_mac(const char *text, uint8_t mac[CONFIG_MAC_SIZE], struct err *err);

/* "deny", or "allow" as without it. */
int config_set_egress(struct husk_net *net, const char *value, struct err *err);

/* As config_append_forward(), a rule of what is allowed. */
int config_append_allow(struct husk_config *config, struct husk_net *net, const char *rule,
                        struct err *err);

/* Adds a forward, whose string must live as long as `config`, to a network that is not yet its. */
int config_append_forward(struct husk_config *config, struct husk_net *net, const char *rule,
                          struct err *err);

/* The address that was given, or one made for the index-th network of a machine. */
void config_net_mac(const struct husk_net *net, uint32_t index, uint8_t mac[CONFIG_MAC_SIZE]);

#endif
