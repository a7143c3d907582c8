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

# refused STATUS REGEX ARG...: husk gives one line that says so, and no machine.
refused() {
    local status=$1 regex=$2
    shift 2
    husk_run "$status" "$@" < /dev/null
    cat messages
    expect_equal "lines of explanation" "$(wc -l < messages)" 1
    expect_message "$regex"
    [ ! -s console ] || fail "a guest said something"
}

# An Image's header (Linux, arm64/booting.rst) without a kernel: image TEXT_OFFSET SIZE MAGIC
image() {
    perl -e 'print pack "L2 Q6 a4 L", 0xfa405a4d, 0x14000000, hex $ARGV[0], hex $ARGV[1], 0xa, 0, 0,
        0, $ARGV[2], 0; print "\0" x 4096' "$@"
}

# Kernels that do not fit, and hosts that cannot.
test_refused_arm64() {
    local magic=ARMd
    { printf 'MZ'; head -c 512 /dev/zero; printf 'HdrS'; head -c 4096 /dev/zero; } > bzImage
    refused 2 'is no kernel for aarch64 but an x86 bzImage; give an arm64 Image' bzImage
    printf '\x7fELF\x02\x01\x01%57s' '' > vmlinux
    refused 2 'is no kernel for aarch64 but an ELF file; give an arm64 Image' vmlinux
    image 0 400000 what > Image
    refused 2 'is no kernel for aarch64 but an EFI or Windows program; give an arm64 Image' Image
    image 200000 400000 $magic > Image
    refused 2 'is broken: its text_offset, 0x200000, is no multiple of 4 KiB below 2 MiB' Image
    image 0 0 $magic > Image
    refused 2 'does not say its size; Linux 3.17 or later is needed' Image
    image 0 8000000 $magic > Image
    refused 2 'needs at least 130 MiB of memory; raise --memory' --memory 128M Image
    image 0 ffffffffffffffff $magic > Image
    refused 2 'wants 18446744073709551615 bytes' Image
    refused 2 '65: give a number from 1 to 64' --cpus 65 "$micro/vmlinuz"
    faked one-vcpu 3 '2 vCPUs are more than the 1' --cpus 2 "$micro/vmlinuz"
    faked no-gic 3 "KVM has no interrupt controller for guests, neither GICv3 nor GICv2" "$micro/vmlinuz"
}

# faked WHAT STATUS REGEX ARG...: refused on a host that is made worse by tests/guest/fake_kvm.c.
faked() {
    FAKE_KVM=$1 LD_PRELOAD=$(built libfake_kvm.so) refused "${@:2}"
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
