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

test_triple_fault() {
    end_of 6 reboot reboot=t
    expect_message 'triple fault'
}
