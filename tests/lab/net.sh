# SPDX-License-Identifier: Apache-2.0
# Networks: a stock kernel's virtio_net behind a tap interface, in a network namespace of the test.

# make_network [FLAG...]: tap0 with 10.0.0.1, in a namespace in which husk runs from now on.
make_network() {
    namespace=husk-test-$$
    modprobe -a tun vhost_net
    ip netns add "$namespace"
    at_end ip netns del "$namespace"
    inside ip link set lo up
    inside ip tuntap add tap0 mode tap "$@"
    inside ip address add 10.0.0.1/24 dev tap0
    inside ip link set tap0 up
    mkdir bin
    printf '#!/bin/sh\nexec ip netns exec %s %s "$@"\n' "$namespace" "$(command -v husk)" > bin/husk
    chmod +x bin/husk
    PATH=$PWD/bin:$PATH
}

inside() {
    ip netns exec "$namespace" "$@"
}

# What every guest does first, and how it exchanges files that can be told
# apart, and lets its driver go and come back.
guest_network='ip link set lo up
ip link set eth0 up
ip address add 10.0.0.2/24 dev eth0
mkfifo /tmp/silence
digest() { sha256sum | cut -d" " -f1; }
exchange() {
    fact "sent-$1" "$(head -c "$2" /dev/urandom | tee /tmp/out | digest)"
    nc 10.0.0.1 2001 < /tmp/out
    fact "received-$1" "$(nc 10.0.0.1 2002 <> /tmp/silence | digest)"
}
rebind() {
    local device
    device=$(basename "$(readlink /sys/class/net/eth0/device)")
    echo $device > /sys/bus/virtio/drivers/virtio_net/unbind
    echo $device > /sys/bus/virtio/drivers/virtio_net/bind
    ip link set eth0 up
    ip address add 10.0.0.2/24 dev eth0
}'

# serve_exchanges COUNT SIZE: the host's half of exchange(), so many times; expect_exchanged judges.
serve_exchanges() {
    head -c "$2" /dev/urandom > file
    inside python3 - "$1" << 'END' &
import hashlib, socket, sys
receive, send = [socket.create_server(("10.0.0.1", port)) for port in (2001, 2002)]
for number in range(int(sys.argv[1])):
    with receive.accept()[0] as peer:
        digest = hashlib.sha256()
        while block := peer.recv(65536):
            digest.update(block)
    open(f"arrived-{number + 1}", "w").write(digest.hexdigest())
    with send.accept()[0] as peer:
        peer.sendall(open("file", "rb").read())
END
    at_end kill $!
}

# expect_exchanged NAME...: in the order of the exchanges.
expect_exchanged() {
    local name i=0
    for name in "$@"; do
        i=$((i + 1))
        expect_fact "sent-$name" "$(cat "arrived-$i")"
        expect_fact "received-$name" "$(digest file)"
    done
}

serve_iperf() {
    inside iperf3 -s > iperf-server 2>&1 &
    at_end kill $!
}

# ---- data --------------------------------------------------------------------

# exchange_with ARG...: files both ways with offloads as they come, and with fewer and fewer.
exchange_with() {
    serve_exchanges 3 262144
    programs=(ethtool)
    micro_run "$guest_network
ping -c 3 -q 10.0.0.1
ping -c 3 -q -s 4000 10.0.0.1
exchange all 262144
/host/ethtool -K eth0 tso off gso off rx-gro-hw off
exchange no-segments 262144
/host/ethtool -K eth0 sg off tx off
exchange no-checksums 262144" --net tap=tap0 "$@"
    expect_no_messages
    expect_exchanged all no-segments no-checksums
}

test_exchange() {
    make_network
    exchange_with
}

test_exchange_packed() {
    make_network
    exchange_with --rings packed
}

# A small MTU, so that segmentation is what the host does.
test_small_mtu() {
    make_network
    serve_exchanges 1 262144
    inside ip link set tap0 mtu 600
    micro_run "$guest_network
fact mtu \"\$(cat /sys/class/net/eth0/mtu)\"
exchange small 262144" --net tap=tap0
    expect_fact mtu 600
    expect_exchanged small
}

test_throughput() {
    local way
    make_network
    serve_iperf
    programs=(iperf3)
    micro_run "$guest_network"'
/host/iperf3 -c 10.0.0.1 -t 1 > /tmp/send
/host/iperf3 -c 10.0.0.1 -t 1 -R > /tmp/receive
/host/iperf3 -c 10.0.0.1 -t 1 --bidir > /tmp/both
/host/iperf3 -c 10.0.0.1 -t 1 -u -b 0 -l 64 -R > /tmp/small
for way in send receive both small; do
    fact $way "$(grep receiver /tmp/$way | tr -s " ")"
done
ping -c 3 -q 10.0.0.1' --net tap=tap0 --cpus 2
    expect_no_messages
    for way in send receive both small; do
        fact "$way" | grep -q receiver || fail "iperf3 has no result: $way"
    done
}

test_several_queues() {
    make_network multi_queue
    serve_iperf
    serve_exchanges 1 262144
    programs=(iperf3 ethtool)
    micro_run "$guest_network"'
fact queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
/host/iperf3 -c 10.0.0.1 -t 1 -P 4
/host/iperf3 -c 10.0.0.1 -t 1 -P 4 -R
/host/ethtool -L eth0 combined 1
ping -c 3 -q 10.0.0.1
/host/ethtool -L eth0 combined 2
exchange again 262144' --net tap=tap0,queues=2 --cpus 2 --iothreads 2
    expect_no_messages
    expect_fact queues 2
    expect_exchanged again
}

# ---- what goes wrong ---------------------------------------------------------

# More small frames than the guest's receive ring and the tap's queue hold; all comes through in the end.
test_exhaustion() {
    make_network
    serve_exchanges 1 262144
    inside ip neighbour replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev tap0
    inside bash -c 'while :; do echo -n x > /dev/udp/10.0.0.2/9; done' 2> /dev/null &
    at_end kill $!
    micro_run "$guest_network"'
fact begun "$(cat /sys/class/net/eth0/statistics/rx_packets)"
sleep 2
fact flooded "$(cat /sys/class/net/eth0/statistics/rx_packets)"
ping -c 3 -q 10.0.0.1
exchange afterwards 262144' --net tap=tap0,mac=02:00:00:00:00:02
    expect_no_messages
    [ "$(fact flooded)" -gt "$(fact begun)" ] || fail "the guest received nothing"
    expect_exchanged afterwards
}

test_the_tap_goes() {
    make_network
    serve_iperf
    programs=(iperf3)
    make_initrd "$guest_network"'
fact carrier-before "$(cat /sys/class/net/eth0/carrier)"
/host/iperf3 -c 10.0.0.1 -t 20 > /dev/null 2>&1 &
sleep 2
echo "please remove it"
while [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done
kill $!
fact carrier-after "$(cat /sys/class/net/eth0/carrier)"
ping -c 1 -W 1 10.0.0.1 || echo "nobody there"' "${programs[@]}"
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --net tap=tap0
    husk_await 'please remove it'
    inside ip link del tap0
    husk_finish 0
    expect_console 'nobody there'
    expect_fact carrier-before 1
    expect_fact carrier-after 0
    expect_message 'tap0: the interface is gone'
}

test_rebind() {
    make_network
    serve_exchanges 3 262144
    micro_run "$guest_network
exchange first 262144
rebind
exchange second 262144
rebind
exchange third 262144" --net tap=tap0
    expect_no_messages
    expect_exchanged first second third
}

# No faster than the limit and its burst allow; how much slower is the host's affair.
test_limits() {
    make_network
    serve_iperf
    programs=(iperf3)
    micro_run "$guest_network"'
rate() { grep receiver "$1" | sed "s/.* \([0-9.]*\) Kbits.*/\1/; s/\..*//"; }
/host/iperf3 -c 10.0.0.1 -t 2 -f k > /tmp/send
/host/iperf3 -c 10.0.0.1 -t 2 -f k -R > /tmp/receive
fact send "$(rate /tmp/send)"
fact receive "$(rate /tmp/receive)"' --net tap=tap0,rx_bps=512K,tx_bps=1M,rx_bps_burst=64K,tx_bps_burst=64K
    expect_between "kbit/s sent" "$(fact send)" 1 10000
    expect_between "kbit/s received" "$(fact receive)" 1 5500
}

# ---- by vhost-net ------------------------------------------------------------

# expect_unseen: husk itself moved no frame.
expect_unseen() {
    python3 - << 'END'
import json
def frames(node):
    nodes = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    own = [node["frames"]] if isinstance(node, dict) and "frames" in node else []
    return sum((frames(child) for child in nodes), own)
seen = frames(json.load(open("stats")))
assert seen and not any(seen), f"frames by husk: {seen}"
END
}

# vhost_with ARG...: both ways with and without offloads, and the driver leaves and comes back.
vhost_with() {
    make_network
    serve_exchanges 3 262144
    programs=(ethtool)
    micro_run "$guest_network
ping -c 3 -q 10.0.0.1
ping -c 3 -q -s 4000 10.0.0.1
exchange first 262144
rebind
exchange second 262144
/host/ethtool -K eth0 tso off gso off rx-gro-hw off sg off tx off
exchange plain 262144" --net tap=tap0,vhost=on --stats "$PWD/stats" "$@"
    expect_no_messages
    expect_exchanged first second plain
    expect_unseen
}

remove_when_asked() {
    await_said console 'please remove it'
    inside ip link del tap0
}

test_vhost() {
    vhost_with
}

test_vhost_pci() {
    vhost_with --bus pci
}

# At its end the interface is removed, of which no frame tells.
test_vhost_queues() {
    make_network multi_queue
    serve_iperf
    serve_exchanges 2 262144
    remove_when_asked &
    at_end kill $!
    programs=(iperf3 ethtool)
    micro_run "$guest_network
/host/iperf3 -c 10.0.0.1 -t 1 -P 4
/host/ethtool -L eth0 combined 2
/host/iperf3 -c 10.0.0.1 -t 1 -P 4 -R
exchange several 262144
rebind
exchange again 262144
echo 'please remove it'
while [ \"\$(cat /sys/class/net/eth0/carrier)\" = 1 ]; do sleep 0.1; done
fact carrier \"\$(cat /sys/class/net/eth0/carrier)\"
rebind" --net tap=tap0,queues=2,vhost=on --cpus 2 --bus pci --stats "$PWD/stats"
    expect_message 'tap0: the interface is gone'
    expect_equal "lines of messages" "$(wc -l < messages)" 1
    expect_fact carrier 0
    expect_exchanged several again
    expect_unseen
}
