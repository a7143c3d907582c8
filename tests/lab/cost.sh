# SPDX-License-Identifier: Apache-2.0
# What a machine costs, in counts, and that it starts every time.

tracing=/sys/kernel/tracing

# Exits to userspace of a quiet boot: how often the kernel bothers husk.
test_exits() {
    local instance
    mountpoint -q $tracing || mount -t tracefs tracefs $tracing
    instance=$tracing/instances/husk-$$
    mkdir "$instance"
    at_end rmdir "$instance"
    echo 16384 > "$instance/buffer_size_kb"
    echo 1 > "$instance/options/event-fork"
    echo $BASHPID > "$instance/set_event_pid"
    echo 1 > "$instance/events/kvm/kvm_userspace_exit/enable"
    husk_run 4 --initrd "$micro/initrd" --append husk.do=hello "$micro/vmlinuz"
    echo 0 > "$instance/events/kvm/kvm_userspace_exit/enable"
    grep -o 'reason KVM_EXIT_[A-Z_]*' "$instance/trace" > exits
    sort exits | uniq -c
    expect_between "exits to userspace" "$(wc -l < exits)" 100 600
}

# idle_shell: a machine of 1 vCPU and 128 MiB that waits for a command.
idle_shell() {
    husk_start --memory 128M --initrd "$micro/initrd" --append husk.do=shell "$micro/vmlinuz"
    husk_await 'a shell; leave it'
}

# Kilobytes (PSS) of all mappings but the guest's memory, which is the only one that large, and the
# files of the C library as far as it has not written to them: all programs of a host share these,
# and very few of a lab.
overhead() {
    awk '/^[0-9a-f]+-/ { size = 0; shared = /\/(libc|ld-linux)[^\/]*$/ } /^Size:/ { size = $2 }
        /^Pss:/ && !shared && size < 64 * 1024 { sum += $2 }
        /^Private_Dirty:/ && shared { sum += $2 } END { print sum }' "/proc/$1/smaps"
}

test_memory_and_descriptors() {
    ! grep -q __asan_init "$(command -v husk)" || skip "a sanitizer's memory would count too"
    idle_shell
    expect_between "KiB outside the guest's memory" "$(overhead $husk_pid)" 100 920
    expect_between "open descriptors" "$(ls /proc/$husk_pid/fd | wc -l)" 5 32
    expect_between "threads" "$(ls /proc/$husk_pid/task | wc -l)" 2 4
    husk_send exit
    husk_finish 0
}

test_boots_in_a_row() {
    local count=5 i
    ! is_full || count=250
    for ((i = 1; i <= count; i++)); do
        husk_run 4 --initrd "$micro/initrd" --append husk.do=hello "$micro/vmlinuz"
        grep -q '^micro: hello from userspace$' console || fail "boot $i of $count"
    done
}

test_doctor() {
    husk doctor > console
    ! grep -E '^ *no ' console || fail "the doctor finds something missing in the lab"
    expect_console '^yes: this host runs Linux in Husk$'
}
