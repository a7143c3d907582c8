# SPDX-License-Identifier: Apache-2.0
# Disks: what the guest writes is on the host's side, and the other way round.

# Host and guest each write one half. The guest reads the host's by buffered and by
# direct I/O, and its own back with the cache dropped between.
test_contents() {
    head -c 8M /dev/urandom > data.img
    truncate -s 16M data.img
    micro_run 'half=$((8 * 1024 * 1024))
fact size "$(blockdev --getsize64 /dev/vdb)"
fact host "$(head -c $half /dev/vdb | sha256sum)"
fact direct "$(dd if=/dev/vdb bs=64k count=128 iflag=direct | sha256sum)"
head -c $half /dev/urandom > /tmp/random
dd if=/tmp/random of=/dev/vdb bs=1M seek=8 conv=notrunc,fsync
echo 3 > /proc/sys/vm/drop_caches
fact guest "$(sha256sum < /tmp/random)"
fact back "$(dd if=/dev/vdb bs=64k skip=128 iflag=direct | sha256sum)"' \
        --disk "$(new_disk other.img 1M)" --disk data.img
    expect_fact size $((16 << 20))
    expect_fact host "$(head -c 8M data.img | sha256sum)"
    expect_fact direct "$(fact host)"
    expect_fact guest "$(tail -c 8M data.img | sha256sum)"
    expect_fact back "$(fact guest)"
}

# Eight writers with blocks of different sizes, buffered and direct, at once.
test_parallel() {
    head -c 2M /dev/urandom > source.img
    truncate -s 16M target.img
    micro_run 'write() {
    dd if=/dev/vda of=/dev/vdb bs="$2" seek=$(($1 * 2097152 / $2)) conv=notrunc,fsync ${3:-} ||
        echo "writer $1 failed"
}
write 0 4096 oflag=direct & write 1 524288 oflag=direct &
write 2 65536 oflag=direct & write 3 16384 oflag=direct &
write 4 1048576 & write 5 4096 & write 6 2097152 oflag=direct & write 7 512 &
wait' --cpus 2 --disk source.img,ro --disk target.img
    ! grep 'failed' console || fail "a writer failed"
    local part
    for part in 0 1 2 3 4 5 6 7; do
        slice target.img $((part * 2097152)) 2097152 | cmp - source.img
    done
}

# new_disk NAME SIZE: makes an empty image and prints its name.
new_disk() {
    truncate -s "$2" "$1"
    echo "$1"
}

# Discard gives the host its space back; writing zeroes does what it says.
test_discard_and_write_zeroes() {
    head -c 16M /dev/urandom > disk.img
    local before
    before=$(allocated disk.img)
    programs=(blkdiscard)
    micro_run 'fact discard_max "$(cat /sys/block/vda/queue/discard_max_bytes)"
fact zeroes_max "$(cat /sys/block/vda/queue/write_zeroes_max_bytes)"
/host/blkdiscard -o 4M -l 4M /dev/vda
/host/blkdiscard -z -o 12M -l 1M /dev/vda' --disk disk.img --disk "$(new_disk copy.img 1M)"
    [ "$(fact discard_max)" -gt 0 ] || fail "no discard is offered"
    [ "$(fact zeroes_max)" -gt 0 ] || fail "no write zeroes is offered"
    slice disk.img 4194304 4194304 | cmp -n 4194304 - /dev/zero
    slice disk.img 12582912 1048576 | cmp -n 1048576 - /dev/zero
    expect_between "bytes given back" $((before - $(allocated disk.img))) $((4 << 20)) $((5 << 20))
    expect_equal "size" "$(stat -c %s disk.img)" $((16 << 20))
}

test_serial_number() {
    micro_run 'fact first "$(cat /sys/block/vda/serial)"
fact second "$(cat /sys/block/vdb/serial)"' \
        --disk "$(new_disk a.img 1M),serial=HUSK-0123456789abcde" --disk "$(new_disk b.img 1M)"
    expect_fact first HUSK-0123456789abcde
    [ -n "$(fact second)" ] || fail "a disk without a serial number of its own has none"
}

test_read_only() {
    head -c 1M /dev/urandom > disk.img
    local before
    before=$(digest disk.img)
    chmod a-w disk.img
    micro_run 'fact ro "$(cat /sys/block/vda/ro)"
if dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=notrunc,fsync; then fact wrote yes; else fact wrote no; fi
fact read "$(sha256sum < /dev/vda | cut -d" " -f1)"' --disk disk.img,ro
    expect_fact ro 1
    expect_fact wrote no
    expect_fact read "$before"
    expect_equal "the disk" "$(digest disk.img)" "$before"
}

test_block_device() {
    local device
    modprobe loop 2> /dev/null || [ -e /dev/loop-control ] || skip "no module loop"
    head -c 4M /dev/urandom > disk.img
    device=$(losetup --find --show disk.img)
    at_end losetup -d "$device"
    micro_run 'fact size "$(blockdev --getsize64 /dev/vda)"
fact read "$(sha256sum < /dev/vda)"
yes husk | dd of=/dev/vda bs=4k count=256 iflag=fullblock conv=notrunc,fsync' --disk "$device"
    expect_fact size $((4 << 20))
    head -c 1M < <(yes husk) | cmp - <(slice disk.img 0 1048576) || fail "the start is not the guest's"
}

# While a machine writes to a disk nobody else gets it; readers may share one.
test_lock() {
    new_disk disk.img 1M
    new_disk shared.img 1M
    husk_start --initrd "$micro/initrd" --append husk.do=shell --disk disk.img --disk shared.img,ro \
        "$micro/vmlinuz"
    husk_await 'a shell'
    refused disk.img
    refused disk.img,ro
    refused shared.img
    mkdir second
    (cd second
     husk_run 4 --initrd "$micro/initrd" --append husk.do=hello --disk ../shared.img,ro "$micro/vmlinuz")
    husk_send exit
    husk_finish 0
    husk_run 4 --initrd "$micro/initrd" --append husk.do=hello --disk disk.img "$micro/vmlinuz"
}

# refused DISK: husk says that it is in use, and exits with 2.
refused() {
    local status=0
    husk run --disk "$1" "$micro/vmlinuz" > /dev/null 2> refusal < /dev/null || status=$?
    expect_equal "status for $1 in use" "$status" 2
    grep -q 'in use' refusal || fail "husk does not say that $1 is in use: $(cat refusal)"
}

test_fifteen() {
    local i disks=()
    for i in a b c d e f g h i j k l m n o; do
        printf 'disk %s' $i > $i.img
        truncate -s 1M $i.img
        disks+=(--disk "$i.img")
    done
    micro_run 'for disk in /dev/vd?; do
    fact "${disk#/dev/vd}" "$(head -c 6 "$disk")"
    echo seen | dd of="$disk" bs=512 seek=1 conv=notrunc,fsync
done' "${disks[@]}"
    for i in a b c d e f g h i j k l m n o; do
        expect_fact $i "disk $i"
        expect_equal "$i.img" "$(slice $i.img 512 4)" seen
    done
}
