# SPDX-License-Identifier: Apache-2.0
# Stock Debian: its own kernel, its own initrd, systemd, its root on virtio-blk.

facts='fact nproc "$(nproc)"
fact cpuinfo "$(grep -c ^processor /proc/cpuinfo)"
for key in Socket Core Thread; do
    fact "$key" "$(lscpu | sed -n "s/^ *$key(s).*: *//p")"
done
fact release "$(uname -r)"
fact os "$(. /etc/os-release; echo "$ID $VERSION_ID")"
fact root "$(findmnt -no SOURCE,FSTYPE /)"
fact failed "$(systemctl list-units --failed --no-legend | wc -l)"
fact clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
echo written by the guest > /root/mark
dmesg > /root/dmesg'

prepare_root() {
    cp --sparse=always "$debian/rootfs.img" root.img
}

# read_root FILE: from the guest's root disk, once it is off.
read_root() {
    debugfs -R "cat $1" "$shared/root.img" 2> /dev/null
}

# boot_with_cpus N STATUS COMMAND ARG...: COMMAND is the guest's last one.
boot_with_cpus() {
    debian_run "$2" "$facts"$'\n'"$3" --cpus "$1" "${@:4}"
    expect_no_messages
    expect_fact nproc "$1"
    expect_fact cpuinfo "$1"
    expect_fact Socket 1
    expect_fact Core "$1"
    expect_fact Thread 1
    expect_fact release "$(kernel_release "$debian/vmlinuz")"
    expect_fact os "debian 12"
    expect_fact root "/dev/vda ext4"
    expect_fact failed 0
    expect_fact clocksource kvm-clock
    expect_equal "what the guest wrote" "$(read_root /root/mark)" "written by the guest"
    read_root /root/dmesg > dmesg
    expect_clean_log dmesg
    ! dumpe2fs -h "$shared/root.img" 2> /dev/null | grep -q needs_recovery ||
        fail "the root file system was not unmounted"
}

prepare_cpus_1() { prepare_root; }
test_cpus_1() {
    boot_with_cpus 1 0 true
    expect_console '^husk-run: script status 0$'
}

prepare_cpus_2_on_pci() { prepare_root; }
test_cpus_2_on_pci() {
    boot_with_cpus 2 4 'fact place "$(readlink -f /sys/block/vda/device)"
systemctl --no-block --job-mode=replace-irreversibly start reboot.target
sleep infinity' --bus pci
    expect_fact place "/sys/devices/pci0000:00/0000:00:01.0/virtio0"
    expect_console 'reboot: Restarting system'
}

prepare_cpus_4() { prepare_root; }
test_cpus_4() { boot_with_cpus 4 0 true; }
