# SPDX-License-Identifier: Apache-2.0
# User-mode networking: DHCP, name service, TCP in both directions, what is restricted and denied, and
# its end.

address='ip -4 -o addr show dev eth0 | sed "s/.*inet \([^ ]*\).*/\1/"'

# Of the lab host, which several tests can share.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        grep -q "$(printf ':%04X ' "$port")" /proc/net/tcp || break
    done
    echo "$port"
}

# serve_folder FOLDER: over HTTP, on the port that becomes $port.
serve_folder() {
    port=$(free_port)
    busybox httpd -f -p "127.0.0.1:$port" -h "$1" &
    at_end kill $!
}

# read_from PORT: all that comes from a connection to it.
read_from() {
    exec 4<> "/dev/tcp/127.0.0.1/$1"
    cat <&4
    exec 4>&-
}

# await_listening PORT...: for guests.
await_listening='await_listening() {
    local port
    for port in "$@"; do
        until netstat -ltn | grep -q ":$port "; do usleep 50000; done
    done
    fact listening 1
}'

# The micro guest fetches from the host, and is sent to and read from through forwards.
test_tcp() {
    local in out
    in=$(free_port) out=$(free_port)
    mkdir public
    head -c 8M /dev/urandom > public/data
    serve_folder public
    make_initrd "$await_listening
fact address \"\$($address)\"
fact route \"\$(ip route show default)\"
fact mtu \"\$(cat /sys/class/net/eth0/mtu)\"
fact fetched \"\$(wget -qO- http://10.0.2.2:$port/data | sha256sum | cut -d' ' -f1)\"
head -c 8388608 /dev/urandom > /tmp/random
fact random \"\$(sha256sum < /tmp/random | cut -d' ' -f1)\"
nc -l -p 7002 < /tmp/random > /dev/null &
mkfifo /tmp/silence
nc -l -p 7001 <> /tmp/silence > /tmp/received &
await_listening 7001 7002
wait
fact received \"\$(sha256sum < /tmp/received | cut -d' ' -f1)\""
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --net "user,hostfwd=tcp:$in:7001,hostfwd=tcp::$out:10.0.2.15:7002"
    husk_await '^fact listening'
    read_from "$out" > sent
    cat public/data > "/dev/tcp/127.0.0.1/$in"
    husk_finish 0
    expect_no_messages
    expect_fact address 10.0.2.15/24
    expect_fact route "default via 10.0.2.2 dev eth0 "
    expect_fact mtu 32000
    expect_fact fetched "$(digest public/data)"
    expect_fact random "$(digest sent)"
    expect_fact received "$(digest public/data)"
}

# Nothing of the host is reached; a forward still leads in.
test_restrict() {
    local in
    in=$(free_port)
    mkdir public
    echo secret > public/data
    serve_folder public
    make_initrd "$await_listening
fact address \"\$($address)\"
fact fetched \"\$(timeout 5 wget -qO- http://10.0.2.2:$port/data || echo nothing)\"
echo hello | nc -l -p 7001 > /dev/null &
await_listening 7001
wait"
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --net "user,restrict,hostfwd=tcp:$in:7001"
    husk_await '^fact listening'
    expect_equal "what comes through the forward" "$(read_from "$in")" hello
    husk_finish 0
    expect_fact address 10.0.2.15/24
    expect_fact fetched nothing
    expect_equal "what the host itself can fetch" \
        "$(busybox wget -qO- "http://127.0.0.1:$port/data")" secret
}

# serve_names: the host's resolver, as husk knows it, has an address for every name: 192.0.2.7; and
# 192.0.2.8 for self.test.
serve_names() {
    : > resolver.log
    python3 -u - > resolver.log << 'END' &
import socket, struct
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.77", 53))
print("ready")
while True:
    query, peer = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    found = query[end - 4:end - 2] == b"\0\1"  # an A record
    last = 8 if b"\4self\4test" in query else 7
    answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, last])
    server.sendto(query[:2] + struct.pack(">HHHHH", 0x8180, 1, found, 0, 0) + query[12:end] +
                  answer * found, peer)
END
    at_end kill $!
    await_said resolver.log ready
    echo nameserver 127.0.0.77 > resolv.conf
    mkdir bin
    printf '#!/bin/sh\nmount --bind "%s" /etc/resolv.conf\nexec "%s" "$@"\n' \
        "$PWD/resolv.conf" "$(command -v husk)" > bin/husk-with-resolver
    printf '#!/bin/sh\nexec unshare -m "%s" "$@"\n' "$PWD/bin/husk-with-resolver" > bin/husk
    chmod +x bin/*
    PATH=$PWD/bin:$PATH
}

# The host's resolver answers the guest.
test_names() {
    serve_names
    micro_run 'fact server "$(cat /etc/resolv.conf)"
fact found "$(nslookup -type=a husk.test | tail -n 3 | sed -n "s/^Address.*: *//p")"' --net user
    expect_fact server "nameserver 10.0.2.3"
    expect_fact found 192.0.2.7
}

# try NAME COMMAND...: for guests; says whether it went well, and if it took more than 20 s, that.
try='try() {
    local name=$1 begin end result
    shift
    read begin _ < /proc/uptime
    if timeout 60 "$@" > /tmp/out 2>&1 < /dev/null; then result=reached; else result=denied; fi
    read end _ < /proc/uptime
    [ $((${end%%.*} - ${begin%%.*})) -le 20 ] || result="$result late"
    fact "$name" "$result"
}'

# add_other_host ADDRESS: the namespace "other", which is no address of this host: no name leads to those.
add_other_host() {
    ip netns add other
    at_end ip netns del other
    ip link add other type veth peer name eth0 netns other
    ip address add 192.0.2.1/32 dev other
    ip link set other up
    ip route add "$1" dev other src 192.0.2.1
    ip -n other address add "$1/24" dev eth0
    ip -n other link set eth0 up
}

# Only what is allowed is reached, of the host, of other addresses and of names; the rest fails soon.
test_egress() {
    local denied=192.0.2.8 open=198.51.100.9 named=192.0.2.7 address host_port
    serve_names
    mkdir public
    echo hello > public/data
    serve_folder public
    host_port=$port
    port=$(free_port)
    for address in "$denied" "$open"; do
        ip address add "$address/32" dev lo
        at_end ip address del "$address/32" dev lo
    done
    add_other_host "$named"
    busybox httpd -f -p "$port" -h public &
    at_end kill $!
    ip netns exec other busybox httpd -f -p "$port" -h public &
    at_end kill $!
    micro_run "$try
fetch() { try \$1 wget -qO- http://\$2/data; }
fetch host 10.0.2.2:$port
fetch host_allowed 10.0.2.2:$host_port
fetch loopback 127.0.0.1:$host_port
fetch nameserver 10.0.2.3:$port
fetch address $denied:$port
fetch address_allowed $open:$port
fetch port_denied $open:$host_port
fetch named_before $named:$port
try datagram sh -c 'echo x | nc -u $denied 9'
try ping ping -c 1 -W 5 $denied
try name nslookup -type=a denied.test
try name_allowed nslookup -type=a web.test
fetch named $named:$port
fetch named_port $named:$host_port
try name_self nslookup -type=a self.test
fetch self $denied:$port" \
        --net "user,egress=deny,allow=tcp:$open:$port,allow=web.test:$port,allow=self.test,allow=tcp:host:$host_port"
    for address in host loopback nameserver address port_denied named_before datagram ping name \
                   named_port self; do
        expect_fact "$address" denied
    done
    for address in host_allowed address_allowed name_allowed named name_self; do
        expect_fact "$address" reached
    done
    expect_equal "what the host itself can fetch" \
        "$(busybox wget -qO- "http://$denied:$port/data")" hello
}

# Its process is killed: the link goes down, and the guest lives on.
test_killed() {
    make_initrd 'fact carrier "$(cat /sys/class/net/eth0/carrier)"
tries=0
until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ] || [ $tries = 300 ]; do
    tries=$((tries + 1))
    usleep 100000
done
fact carrier_now "$(cat /sys/class/net/eth0/carrier)"'
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --net user
    husk_await '^fact carrier:'
    pkill -KILL -P "$husk_pid" -x husk-net-user
    husk_finish 0
    expect_fact carrier 1
    expect_fact carrier_now 0
    expect_equal "what husk said" "$(cat messages)" \
        "husk: network user: the peer is gone; the guest's link is down"
}

# Stock Debian brings the interface up by itself, and only where there is one.
prepare_debian() {
    cp --sparse=always "$debian/rootfs.img" root.img
}
test_debian() {
    mkdir public
    head -c 1M /dev/urandom > public/data
    serve_folder public
    debian_run 0 'card=$(ls /sys/class/net | grep -v lo)
for try in $(seq 300); do
    address=$(ip -4 -o addr show dev "$card" scope global | sed "s/.*inet \([^ ]*\).*/\1/")
    [ -z "$address" ] || break
    sleep 0.1
done
fact address "$address"
fetch="exec 3<>/dev/tcp/10.0.2.2/'"$port"'; printf \"GET /data HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3"
fact fetched "$(bash -c "$fetch" | sed "1,/^\r$/d" | sha256sum | cut -d" " -f1)"
fact failed "$(systemctl list-units --failed --no-legend | wc -l)"' --net user
    expect_fact address 10.0.2.15/24
    expect_fact failed 0
    expect_fact fetched "$(digest public/data)"
}
