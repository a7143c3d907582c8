# SPDX-License-Identifier: Apache-2.0
# Arm hosts whose only interrupt controller is a GICv2; in a lab of that kind.

# use_disk ARG...: a disk is read and written; every processor has a task and interrupts.
use_disk() {
    head -c 4M /dev/urandom > data.img
    local contents
    contents=$(digest data.img)
    micro_run 'fact online "$(cat /sys/devices/system/cpu/online)"
fact read "$(dd if=/dev/vda bs=64k iflag=direct | sha256sum)"
yes husk | dd of=/dev/vda bs=64k count=16 iflag=fullblock oflag=direct conv=notrunc
for cpu in 0 1; do
    taskset -c $cpu sh -c "usleep 1000; echo $cpu > /tmp/cpu.$cpu"
done
fact worked "$(ls /tmp/cpu.* | wc -l)"
fact timers "$(awk "/arch_timer/ { print (\$2 > 0) + (\$3 > 0), \$4 }" /proc/interrupts)"
fact disk "$(awk "/virtio0/ { n += \$2 + \$3; chip = \$4 } END { print (n > 10), chip }" /proc/interrupts)"' \
        --cpus 2 --disk data.img "$@"
    expect_fact online 0-1
    expect_fact worked 2
    expect_fact timers "2 GIC-0"
    expect_fact read "$contents  -"
    head -c 1M < <(yes husk) | cmp - <(slice data.img 0 1048576) || fail "the start is not the guest's"
    expect_no_messages
}

test_mmio() {
    use_disk
    expect_fact disk "1 GIC-0"
}

# Messages become shared interrupts, by a v2m frame.
test_pci() {
    use_disk --bus pci
    expect_fact disk "1 MSI"
}

test_nine_cpus() {
    husk_run 3 --cpus 9 --initrd "$micro/initrd" "$micro/vmlinuz" < /dev/null
    expect_equal "lines of explanation" "$(wc -l < messages)" 1
    expect_message '9 vCPUs are more than the 8 that this host.s KVM gives a machine; lower --cpus'
}

test_doctor() {
    husk doctor > console || fail "husk doctor's status is $?"
    expect_console 'yes: this host runs Linux'
}
