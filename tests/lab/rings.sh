# SPDX-License-Identifier: Apache-2.0
# Packed rings under unmodified drivers. All other tests have split ones.

# What the drivers took: VIRTIO_F_RING_PACKED is bit 34 of a device's features, which are shown
# as one digit each.
count_packed='fact devices "$(cat /sys/bus/virtio/devices/*/features | grep -c .)"
fact packed "$(cut -c 35 /sys/bus/virtio/devices/*/features | grep -c 1 || true)"'

# expect_packed DEVICES: so many there are, and all have packed rings.
expect_packed() {
    expect_fact devices "$1"
    expect_fact packed "$1"
}

test_split_unless_asked() {
    micro_run "$count_packed" --disk "$(new_disk data.img 1M)"
    expect_fact devices 2
    expect_fact packed 0
}

new_disk() {
    truncate -s "$2" "$1"
    echo "$1"
}

# As lab.disk.contents and lab.disk.parallel: both directions, long chains, eight writers at once.
test_packed_disk() {
    head -c 2M /dev/urandom > source.img
    micro_run "$count_packed"'
write() {
    dd if=/dev/vda of=/dev/vdb bs="$2" seek=$(($1 * 2097152 / $2)) conv=notrunc,fsync ${3:-} ||
        echo "writer $1 failed"
}
write 0 4096 oflag=direct & write 1 524288 oflag=direct &
write 2 65536 oflag=direct & write 3 16384 oflag=direct &
write 4 1048576 & write 5 4096 & write 6 2097152 oflag=direct & write 7 512 &
wait
echo 3 > /proc/sys/vm/drop_caches
fact source "$(dd if=/dev/vda bs=64k iflag=direct | sha256sum)"
fact target "$(sha256sum < /dev/vdb)"' \
        --rings packed --cpus 2 --disk source.img,ro --disk "$(new_disk target.img 16M)"
    expect_packed 3
    ! grep 'failed' console || fail "a writer failed"
    local part
    for part in 0 1 2 3 4 5 6 7; do
        slice target.img $((part * 2097152)) 2097152 | cmp - source.img
    done
    expect_fact source "$(sha256sum < source.img)"
    expect_fact target "$(sha256sum < target.img)"
}

# Random text out, a line in. The driver writes 40 bytes at a time, which takes a while.
test_packed_console() {
    head -c 75K /dev/urandom | base64 -w 76 > text
    cp text text.img
    truncate -s 1M text.img
    make_initrd "$count_packed
stty -opost
echo ready
read -r line
echo \"heard: \$line\"
echo; echo begin
head -c $(stat -c %s text) /dev/vda
echo end"
    husk_start --initrd initrd --append "husk.do=$run_test_script" --console virtio --rings packed \
        --disk text.img,ro "$micro/vmlinuz"
    husk_await '^ready'
    husk_send 'by a packed ring'
    husk_finish 0
    expect_packed 3
    expect_console '^heard: by a packed ring$'
    sed '1,/^begin$/d; /^end$/,$d' console | cmp - text
}
