# SPDX-License-Identifier: Apache-2.0
# vsock: a stock kernel's sockets of AF_VSOCK, and Unix sockets of the host.

program() {
    perl -Mstrict -w "$here/vsock.pl" "$@"
}

# What the guest does first; its programs give back what they are sent, on port 5000.
guest_vsock="cat > /tmp/vsock.pl <<'END_OF_PROGRAM'
$(cat "$here/vsock.pl")
END_OF_PROGRAM
"'for module in /modules/extra/*; do insmod "$module" || true; done
perl() { LC_ALL=C /host/perl /tmp/vsock.pl "$@"; }
await() { echo "waits: $1"; read -r line; }
rebind() {
    local driver=/sys/bus/virtio/drivers/vmw_vsock_virtio_transport device
    device=$(basename $driver/virtio*)
    echo "$device" > $driver/unbind
    echo "$device" > $driver/bind
}
perl serve vsock:-1:5000 &
head -c 1048576 /dev/urandom > /tmp/out
'

# exchange ADDRESS: a mebibyte there and back.
exchange() {
    head -c 1M /dev/urandom > out
    program talk "$1" < out > in
    cmp in out
}

# expect_all_closed: of the connections that there were, in both directions.
expect_all_closed() {
    python3 - <<'END'
import json
vsock = next(d for d in json.load(open("stats"))["devices"] if d["device"] == "vsock")
for queue in vsock["queues"][:2]:
    print({name: queue[name] for name in queue if name.startswith("connections")})
    assert queue["connections"] > 200, "connections were not made"
    assert queue["connections"] == queue["connections_closed"], "connections were not closed"
END
}

# both_ways ARG...: connections of the host and of the guest, many at once, and again
# after the guest's driver has left and come back.
both_ways() {
    extra_modules=(vmw_vsock_virtio_transport)
    make_initrd "$guest_vsock"'perl talk vsock:2:6000 < /tmp/out > /tmp/in
cmp /tmp/in /tmp/out
fact many "$(perl many vsock:2:6000 200)"
fact refused "$(perl many vsock:2:6001 1 2>&1 || true)"
await host
rebind
await "host again"' perl
    program serve unix:vsock_6000 &
    at_end kill $!
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --vsock vsock,cid=42 --stats stats "$@"
    husk_await '^waits: host'
    exchange guest:vsock:5000
    expect_equal "many" "$(program many guest:vsock:5000 200)" "200 right"
    husk_send go
    husk_await '^waits: host again'
    exchange guest:vsock:5000
    husk_send go
    husk_finish 0
    expect_console '^micro: script status 0$'
    expect_fact many "200 right"
    expect_fact refused "connect to vsock:2:6001: Connection reset by peer"
    expect_no_messages
    expect_all_closed
    [ ! -e vsock ] || fail "the socket was left"
}

test_mmio() { both_ways; }
test_pci_packed() { both_ways --bus pci --rings packed; }
