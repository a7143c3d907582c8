# SPDX-License-Identifier: Apache-2.0
# Which kernels boot, by which protocol, and that they have nothing to complain of.

# boots_by KERNEL LOADER: LOADER is what the kernel then thinks has loaded it. By PVH
# that is always the same (Linux, enlighten.c: 0xb0, "not Xen, but by its protocol").
boots_by() {
    micro_run 'fact loader "$(cat /proc/sys/kernel/bootloader_type)"' --kernel "$1"
    expect_no_messages
    expect_fact loader "$2"
}

# The PVH note (XEN_ELFNOTE_PHYS32_ENTRY, 18, of "Xen") as it is in a file.
pvh_note='\x04\x00\x00\x00[\x04\x08]\x00\x00\x00\x12\x00\x00\x00Xen\x00'

# pvh_note_offset FILE
pvh_note_offset() {
    LC_ALL=C grep -obUaP "$pvh_note" "$1" | head -n 1 | cut -d: -f1
}

test_elf_pvh() {
    [ -n "$(pvh_note_offset "$vmlinux")" ] || fail "$vmlinux has no PVH note"
    boots_by "$vmlinux" $((0xb0))
}

# Without its PVH note the same kernel starts by the 64-bit protocol.
test_elf_64() {
    cp "$vmlinux" kernel
    printf 'Non' | dd of=kernel bs=1 seek=$(($(pvh_note_offset kernel) + 12)) conv=notrunc status=none
    [ -z "$(pvh_note_offset kernel)" ] || fail "there is a second PVH note"
    boots_by kernel $((0xff))
}

# Without a kernel husk takes that of the host that it runs on, and says so.
test_of_this_host() {
    husk_run 4 --initrd "$micro/initrd" --append husk.do=hello
    expect_console '^micro: hello from userspace$'
    expect_message "no kernel given; booting this host's, /boot/vmlinuz-$(uname -r)"
}

# clean_log CONSOLE: with every kind of device, all of them used.
clean_log() {
    truncate -s 8M a.img b.img
    micro_run 'dd if=/dev/vda of=/dev/vdb bs=64k oflag=direct conv=notrunc
head -c 64 /dev/hwrng > /tmp/random
fact clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
dmesg' --cpus 2 --console "$1" --disk a.img --disk b.img
    expect_fact clocksource "$clock"
    expect_clean_log console
    expect_no_messages
}

test_clean_log_serial() { clean_log serial; }
test_clean_log_virtio() { clean_log virtio; }

test_random_numbers() {
    micro_run 'fact rng "$(cat /sys/class/misc/hw_random/rng_current)"
head -c 4096 /dev/hwrng > /tmp/first
head -c 4096 /dev/hwrng > /tmp/second
fact size "$(cat /tmp/first /tmp/second | wc -c)"
fact packed "$(cat /tmp/first /tmp/second | gzip | wc -c)"
if cmp -s /tmp/first /tmp/second; then fact same yes; else fact same no; fi'
    [[ $(fact rng) == virtio_rng.* ]] || fail "the guest's source is '$(fact rng)'"
    expect_fact size 8192
    expect_fact same no
    [ "$(fact packed)" -gt 8192 ] || fail "8192 random bytes can be compressed to $(fact packed)"
}
