# SPDX-License-Identifier: Apache-2.0
# How guests end, and the exit status that each end has.

# end_of STATUS WHAT [ARGUMENTS]: the micro guest does WHAT.
end_of() {
    husk_run "$1" --initrd "$micro/initrd" --append "husk.do=$2 ${3:-}" "$micro/vmlinuz"
    expect_console "^micro: $2"
}

test_power_off() {
    end_of 0 poweroff
    expect_console 'reboot: Power down'
    expect_no_messages
}

test_reboot() {
    end_of 4 reboot
    expect_console 'reboot: Restarting system'
    expect_no_messages
}

test_reboot_by_keyboard_controller() { end_of 4 reboot reboot=k; }

# Linux without ACPI's and our help jumps to the reset vector in real mode.
test_reboot_by_reset_vector() {
    husk_run 4 --initrd "$micro/initrd" --cmdline "console=ttyS0 reboot=e husk.do=reboot" \
        "$micro/vmlinuz"
    expect_console 'Kernel command line: console=ttyS0 reboot=e husk.do=reboot$'
    expect_no_messages
}

test_panic() {
    end_of 5 panic
    expect_console 'Kernel panic - not syncing: sysrq triggered crash'
    expect_message "the guest's kernel panicked"
}

# A stock kernel's button driver, and the smallest program that listens to it: an event is a time
# (16 bytes), a type (1, a key), a code (116, KEY_POWER) and a value (1, pressed).
test_button() {
    extra_modules=(button evdev)
    make_initrd 'for module in /modules/extra/*; do insmod "$module" || true; done
device=$(grep -l "Power Button" /sys/class/input/event*/device/name)
device=${device#/sys/class/input/}
exec 3< "/dev/input/${device%%/*}" # who opens it later misses what came before
echo "listens to ${device%%/*}"
fact event "$(head -c 24 <&3 | od -An -t u2 -j 16 -N 6 | xargs)"'
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --stop-grace "$husk_limit"
    husk_await '^listens to event'
    kill -TERM "$husk_pid"
    husk_finish 0
    expect_fact event "1 116 1"
    expect_console '^micro: script status 0$'
    expect_console 'reboot: Power down'
    expect_no_messages
}

test_triple_fault() {
    end_of 6 reboot reboot=t
    expect_message 'triple fault'
}
