#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What busybox's udhcpc calls, with what it has been given in the environment.
# shellcheck disable=SC2154
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
for gateway in $router; do
    ip route add default via "$gateway" dev "$interface"
done
for server in $dns; do
    echo "nameserver $server"
done > /etc/resolv.conf
