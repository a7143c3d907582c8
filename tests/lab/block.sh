# SPDX-License-Identifier: Apache-2.0
# Disks under load and in trouble, over all engines, caches, buses and rings: fio verifies what it
# writes, filesystems are checked, and what the guest took for durable is looked for after a crash.

# ---- tools for the guest, too large for an initrd, on a disk of their own ----

block_programs=(fio mkfs.ext4 e2fsck mkfs.btrfs btrfs wipefs)

make_tools() {
    local root program file
    root=$(mktemp -d)
    for program in "${block_programs[@]}"; do
        program=$(command -v "$program")
        for file in "$program" $(ldd "$program" | grep -oE '/[^ ]+'); do
            install -D "$(readlink -f "$file")" "$root/$file"
        done
    done
    mkdir -p "$root"/{dev,proc,sys,tmp,mnt}
    rm -f "$shared/tools.img"
    truncate -s 256M "$shared/tools.img"
    mkfs.ext4 -q -F -d "$root" "$shared/tools.img"
    rm -r "$root"
}

prepare_fio() { make_tools; }
prepare_filesystems() { make_tools; }

# The last disk holds the tools; ext4 must be there to mount it, so its modules come by the initrd.
with_tools='for module in /modules/extra/*; do insmod "$module" || true; done
mkdir -p /tools
mount -o ro,noload "$(ls /dev/vd? | tail -n 1)" /tools
for folder in dev proc sys tmp; do mount --bind /$folder /tools/$folder; done
tool() { PATH=/usr/bin:/usr/sbin:/bin:/sbin chroot /tools "$@"; }'

# tools_run SCRIPT [ARG...]: micro_run with the tools at hand.
tools_run() {
    local script=$1
    shift
    extra_modules=("${extra_modules[@]:-ext4}")
    micro_run "$with_tools"$'\n'"$script" --memory 512M "$@" --disk "$shared/tools.img,ro"
}

# A folder on ext4, for tmpfs has no O_DIRECT.
make_ext4() {
    local device
    modprobe loop 2> /dev/null || [ -e /dev/loop-control ] || skip "no module loop"
    truncate -s "$1" ext4.img
    mkfs.ext4 -q -F ext4.img
    mkdir ext4
    device=$(losetup --find --show ext4.img)
    at_end losetup -d "$device"
    mount "$device" ext4
    at_end umount "$PWD/ext4"
}

# "bus rings" to try: two that differ in both, or all.
transports() {
    printf '%s\n' 'mmio split' 'pci packed'
    ! is_full || printf '%s\n' 'mmio packed' 'pci split'
}

# ---- tests -------------------------------------------------------------------

# Six disks at once, one for each engine and cache, with two queues on two threads.
test_fio() {
    local bus rings engine cache disks
    make_ext4 300M
    while read -r bus rings; do
        disks=()
        for engine in io_uring sync; do
            for cache in writeback none unsafe; do
                truncate -s 16M "ext4/$engine-$cache.img"
                disks+=(--disk "ext4/$engine-$cache.img,engine=$engine,cache=$cache,queues=2")
            done
        done
        tools_run 'cd /tmp
for disk in /dev/vd[a-f]; do
    tool fio --name="${disk#/dev/}" --filename="$disk" --rw=randrw --bsrange=512-64k \
        --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --size=16M \
        --io_size=12M --fsync=64 --trim_percentage=5 --trim_verify_zero=0 --minimal \
        > "/tmp/${disk#/dev/}.out" 2>&1 || { cat "/tmp/${disk#/dev/}.out"; echo "fio failed"; } &
done
wait
fact done yes' --cpus 2 --iothreads 2 --bus "$bus" --rings "$rings" "${disks[@]}"
        ! grep 'fio failed' console || fail "fio found something wrong over $bus with $rings rings"
        expect_fact done yes
        rm ext4/*.img
    done < <(transports)
}

# ext4 and btrfs made, filled, unmounted, checked, through the host's page cache and past it.
test_filesystems() {
    local bus rings
    extra_modules=(ext4 btrfs)
    make_ext4 900M
    while read -r bus rings; do
        truncate -s 200M ext4/a.img ext4/b.img
        tools_run 'try() {
    tool "mkfs.$1" -q "$2"
    mount -t "$1" "$2" /mnt
    cp -r /tools/usr /mnt/
    (cd /tools && find usr -type f -exec md5sum {} +) > /tmp/sums
    umount /mnt
    echo 3 > /proc/sys/vm/drop_caches
    mount -t "$1" "$2" /mnt
    (cd /mnt && md5sum -c /tmp/sums > /tmp/check 2>&1) || { grep -v OK /tmp/check; echo "wrong sums"; }
    umount /mnt
}
mkdir -p /mnt
for disk in /dev/vda /dev/vdb; do
    try ext4 $disk
    tool e2fsck -fn $disk || echo "ext4 is damaged"
    tool wipefs -aq $disk
    try btrfs $disk
    tool btrfs check -q $disk || echo "btrfs is damaged"
done
fact files "$(wc -l < /tmp/sums)"
fact done yes' --cpus 2 --bus "$bus" --rings "$rings" --disk ext4/a.img --disk ext4/b.img,cache=none
        ! grep -E 'damaged|wrong sums' console || fail "a filesystem lost something over $bus"
        expect_fact done yes
        rm ext4/[ab].img
    done < <(transports)
}

# husk is killed while the guest appends to a file and syncs it; then the host's own ext4 looks.
test_crash() {
    local cache last
    make_ext4 300M
    for cache in writeback none; do
        rm -f ext4/log.img
        truncate -s 64M ext4/log.img
        mkfs.ext4 -q -F ext4/log.img
        extra_modules=("${extra_modules[@]:-ext4}")
        make_initrd 'for module in /modules/extra/*; do insmod "$module" || true; done
mkdir -p /mnt
mount /dev/vda /mnt
number=0
while :; do
    number=$((number + 1))
    echo "entry $number" >> /mnt/log
    sync /mnt/log
    echo "durable $number"
done'
        husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
            --disk "ext4/log.img,cache=$cache"
        husk_await "durable $((20 + RANDOM % 80))"
        kill -KILL "$husk_pid"
        wait "$husk_pid" || true
        husk_pid=
        last=$(tr -d '\r' < console | grep -oE '^durable [0-9]+$' | tail -n 1 | cut -d' ' -f2)
        mkdir -p crashed
        mount -o loop ext4/log.img crashed
        tail -n 2 crashed/log
        grep -qx "entry $last" crashed/log || { umount crashed; fail "entry $last is lost"; }
        expect_equal "the log" "$(head -n "$last" crashed/log | md5sum)" \
            "$(seq -f 'entry %g' "$last" | md5sum)"
        umount crashed
    done
}

# A host that is full: the guest gets an error for that disk, and the other goes on.
test_full_host() {
    mkdir small
    mount -t tmpfs -o size=2M tmpfs small
    at_end umount "$PWD/small"
    truncate -s 16M small/disk.img
    truncate -s 16M other.img
    micro_run 'if dd if=/dev/zero of=/dev/vda bs=1M count=8 oflag=direct; then fact full no; else fact full yes; fi
dd if=/dev/zero of=/dev/vdb bs=1M count=8 oflag=direct && fact other well
dd if=/dev/vda of=/dev/null bs=64k count=4 iflag=direct && fact read well' \
        --disk small/disk.img --disk other.img
    expect_fact full yes
    expect_fact other well
    expect_fact read well
    grep -q 'No space left on device' messages || fail "husk does not say what is wrong"
}

# map_disk NAME TABLE: /dev/mapper/NAME-PID, from 16 MiB of memory, called LOOP in the table (dmsetup(8)).
map_disk() {
    truncate -s 16M "$1.img"
    loops[$1]=$(losetup --find --show "$1.img")
    dmsetup create "$1-$$" --table "${2//LOOP/${loops[$1]}}"
    at_end dmsetup remove "$1-$$"
    at_end losetup -d "${loops[$1]}"
}

# remap_disk NAME TABLE: what it is from now on.
remap_disk() {
    dmsetup reload "$1-$$" --table "${2//LOOP/${loops[$1]}}"
    dmsetup resume "$1-$$"
}

# A disk that does not answer for as long as the test wants, and two with a bad spot at 8 MiB. The guest
# waits or gets errors, and its other disk and its console go on meanwhile, which all have one thread.
test_bad_hosts() {
    local -A loops
    local good='0 32768 linear LOOP 0' spot
    spot=$'0 16384 linear LOOP 0\n16384 2048 error\n18432 14336 linear LOOP 18432'
    modprobe -a loop dm_mod
    export DM_DISABLE_UDEV=1 # there is none in the lab
    at_end dmsetup resume "slow-$$"
    map_disk slow "$good"
    map_disk cached "$spot"
    map_disk direct "$spot"
    truncate -s 16M other.img
    make_initrd 'await() { echo "waits: $1"; read -r line; }
try() { local name=$1; shift; if dd "$@"; then fact "$name" well; else fact "$name" refused; fi; }
is_slow() { [ -e /tmp/over ] && echo no || echo yes; }
await slowness
{ try slow if=/dev/vda of=/dev/null bs=4k skip=2048 count=1 iflag=direct; touch /tmp/over; } &
try other if=/dev/vdd of=/dev/null bs=4k count=200 iflag=direct
fact disk-meanwhile "$(is_slow)"
await console
fact console-meanwhile "$(is_slow)"
await answer
wait
fact over "$(is_slow)"
for disk in b c; do
    try read-$disk if=/dev/vd$disk of=/dev/null bs=4k skip=2048 count=1 iflag=direct
    try beside-$disk if=/dev/vd$disk of=/dev/null bs=4k skip=2047 count=1 iflag=direct
    try write-$disk if=/dev/zero of=/dev/vd$disk bs=4k seek=2048 count=1 oflag=direct conv=notrunc
    try flush-$disk if=/dev/zero of=/dev/vd$disk bs=4k count=1 oflag=direct conv=notrunc,fsync
done
await repair
for disk in b c; do
    try again-$disk if=/dev/vd$disk of=/dev/null bs=4k skip=2048 count=1 iflag=direct
    try reflush-$disk if=/dev/zero of=/dev/vd$disk bs=4k count=1 oflag=direct conv=notrunc,fsync
done'
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --disk "/dev/mapper/slow-$$" --disk "/dev/mapper/cached-$$" \
        --disk "/dev/mapper/direct-$$,cache=none" --disk other.img
    husk_await '^waits: slowness'
    dmsetup suspend "slow-$$"
    husk_send go
    husk_await '^waits: console'
    husk_send go
    husk_await '^waits: answer'
    dmsetup resume "slow-$$"
    husk_await '^fact slow'
    husk_send go
    husk_await '^waits: repair'
    remap_disk cached "$good"
    remap_disk direct "$good"
    husk_send go
    husk_finish 0
    expect_fact slow well
    expect_fact other well
    expect_fact disk-meanwhile yes
    expect_fact console-meanwhile yes
    expect_fact over no
    # What the host had taken into its cache is lost with the flush, and remains so.
    expect_fact write-b well
    expect_fact flush-b refused
    expect_fact reflush-b refused
    expect_fact write-c refused
    expect_fact flush-c well
    expect_fact reflush-c well
    local disk
    for disk in b c; do
        expect_fact "read-$disk" refused
        expect_fact "beside-$disk" well
        expect_fact "again-$disk" well
    done
}

# An image that somebody cuts off, and one that grows: told by SIGUSR1.
test_size() {
    truncate -s 16M disk.img
    make_initrd 'fact size "$(cat /sys/block/vda/size)"
await() { until [ "$(cat /sys/block/vda/size)" = "$1" ]; do sleep 0.1; done; fact size "$1"; }
await 65536
dd if=/dev/zero of=/dev/vda bs=1M count=1 seek=31 oflag=direct && fact end well
await 8192'
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --disk disk.img
    husk_await 'fact size: 32768'
    truncate -s 32M disk.img
    kill -USR1 "$husk_pid"
    husk_await 'fact end: well'
    truncate -s 4M disk.img
    kill -USR1 "$husk_pid"
    husk_finish 0
    expect_fact size 8192
}
