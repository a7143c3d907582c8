# SPDX-License-Identifier: Apache-2.0
# Devices on PCI: found by ECAM alone, interrupted by messages alone.

tracing=/sys/kernel/tracing
first=/sys/bus/pci/devices/0000:00:01.0

# The disk is written and read, the console is the test's own. Each queue has its message.
test_devices() {
    local contents
    head -c 4M /dev/urandom > data.img
    contents=$(sha256sum < data.img)
    micro_run "fact vendor \"\$(cat $first/vendor)\"
fact driver \"\$(basename \$(readlink $first/driver))\"
fact read \"\$(dd if=/dev/vda bs=64k iflag=direct | sha256sum)\"
yes husk | dd of=/dev/vda bs=64k count=16 iflag=fullblock oflag=direct conv=notrunc
fact messages \"\$(grep -c '$messages.*virtio' /proc/interrupts)\"
fact pins \"\$(grep -c '$pins.*virtio' /proc/interrupts || :)\"
fact requests \"\$(awk '/virtio0-req/ { n += \$2 + \$3 } END { print (n > 10) }' /proc/interrupts)\"" \
        --bus pci --console virtio --cpus 2 --disk data.img,serial=on-pci
    expect_fact vendor 0x1af4
    expect_fact driver virtio-pci
    expect_fact read "$contents"
    expect_fact pins 0
    expect_fact requests 1
    expect_between "vectors" "$(fact messages)" 5 12
    head -c 1M < <(yes husk) | cmp - <(slice data.img 0 1048576) || fail "the start is not the guest's"
}

# Linux looks whether the ports of old configuration access are there, which takes 11 accesses; it
# configures nothing by them, which would take hundreds.
test_no_configuration_by_ports() {
    local instance
    mountpoint -q $tracing || mount -t tracefs tracefs $tracing
    instance=$tracing/instances/husk-$$
    mkdir "$instance"
    at_end rmdir "$instance"
    echo 16384 > "$instance/buffer_size_kb"
    echo 1 > "$instance/options/event-fork"
    echo $BASHPID > "$instance/set_event_pid"
    echo 1 > "$instance/events/kvm/kvm_pio/enable"
    husk_run 4 --bus pci --initrd "$micro/initrd" --append husk.do=hello "$micro/vmlinuz"
    echo 0 > "$instance/events/kvm/kvm_pio/enable"
    grep -o 'pio_.* at 0x[0-9a-f]*' "$instance/trace" | sort | uniq -c > ports
    cat ports
    grep -E ' at 0xcf[8-f]$' ports > cf8 || true
    expect_between "accesses to ports 0xcf8 to 0xcff" "$(awk '{ n += $1 } END { print n + 0 }' cf8)" 0 12
}

# Its driver is taken from the disk and given back; then the device itself is removed and found
# again, which sizes its BAR and turns decoding off and on.
test_rebind() {
    head -c 2M /dev/urandom > data.img
    micro_run "fact before \"\$(dd if=/dev/vda bs=64k iflag=direct | sha256sum)\"
for i in 1 2 3 4 5; do
    echo 0000:00:01.0 > /sys/bus/pci/drivers/virtio-pci/unbind
    [ ! -e /dev/vda ]
    echo 0000:00:01.0 > /sys/bus/pci/drivers/virtio-pci/bind
    dd if=/dev/vda of=/dev/null bs=64k iflag=direct
done
for i in 1 2 3; do
    echo 1 > $first/remove
    [ ! -e /dev/vda ]
    echo 1 > /sys/bus/pci/rescan
done
fact after \"\$(dd if=/dev/vda bs=64k iflag=direct | sha256sum)\"" --bus pci --cpus 2 --disk data.img
    expect_fact before "$(sha256sum < data.img)"
    expect_fact after "$(fact before)"
    expect_no_messages
}

# A vector moves from processor to processor, masked and given another message each time, while
# its queue is in use: no interrupt may be lost, for the reader would wait for ever. Those of a
# disk's queues are Linux's to place; those of the random number device are not.
test_affinity() {
    micro_run "irq=\$(awk -F: '/virtio.*-input/ { print \$1 + 0; exit }' /proc/interrupts)
(while :; do
    for cpu in 1 2 4; do echo \$cpu > /proc/irq/\$irq/smp_affinity; echo moved >> /tmp/moves; done
done) & mover=\$!
dd if=/dev/hwrng of=/tmp/random bs=64 count=600 iflag=fullblock
kill \$mover
fact bytes \"\$(stat -c %s /tmp/random)\"
fact moves \"\$(wc -l < /tmp/moves)\"
fact processors \"\$(awk '/virtio.*-input/ { print (\$2 > 0) + (\$3 > 0) + (\$4 > 0); exit }' /proc/interrupts)\"" \
        --bus pci --cpus 3
    expect_fact bytes 38400
    expect_between "moves" "$(fact moves)" 10 1000000
    expect_between "processors that were interrupted" "$(fact processors)" 2 3
}
