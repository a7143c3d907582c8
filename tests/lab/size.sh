# SPDX-License-Identifier: Apache-2.0
# Machines of unusual size.

# guest_memory MIB: what the guest sees lies between the kernel's own share and all.
guest_memory() {
    micro_run 'fact total "$(sed -n "s/^MemTotal: *\([0-9]*\).*/\1/p" /proc/meminfo)"' --memory "$1M"
    expect_between "MemTotal in MiB" $(($(fact total) / 1024)) "$2" "$1"
}

test_memory_128() { guest_memory 128 75; }

# Debian's kernel does not unpack into so little: one line says so, or it boots.
test_memory_32() {
    local status=0
    husk run --memory 32M --initrd "$micro/initrd" --append husk.do=poweroff "$micro/vmlinuz" \
        > console 2> messages < /dev/null || status=$?
    if [ $status = 0 ]; then
        expect_console '^micro: poweroff'
        return
    fi
    expect_equal "status" $status 2
    cat messages
    expect_equal "lines of explanation" "$(wc -l < messages)" 1
    expect_message 'memory'
}

# Linux takes memory above 4 GiB first: 1 GiB of files lies there, and with
# HUSK_FULL, 3.5 GiB lie on both sides of the hole.
test_memory_6g() {
    local chunks=32
    ! is_full || chunks=112
    head -c 32M /dev/urandom > chunk.img
    micro_run "chunks=$chunks"'
fact total "$(sed -n "s/^MemTotal: *\([0-9]*\).*/\1/p" /proc/meminfo)"
high() { awk "/zone +Normal/ { on = 1 } on && /nr_zone_inactive_anon|nr_zone_active_anon/ { n += \$2 }
    END { print int(n / 256) }" /proc/zoneinfo; }
before=$(high)
mount -o remount,size=5G /tmp
for i in $(seq $chunks); do
    cat /dev/vda > /tmp/chunk.$i
done
fact high $(($(high) - before))
for i in $(seq 1 10 $chunks); do
    md5sum < /tmp/chunk.$i
done | sort | uniq -c > /tmp/sums
fact sums "$(cat /tmp/sums)"' --memory 6G --disk chunk.img,ro
    expect_between "MemTotal in MiB" $(($(fact total) / 1024)) 5800 6144
    expect_between "MiB used above 4 GiB" "$(fact high)" 900 4096
    expect_equal "copies read back" "$(fact sums | awk '{ print $1, $2 }')" \
        "$(((chunks + 9) / 10)) $(md5sum < chunk.img | cut -d' ' -f1)"
}

# run_on_cpus N MIB: every vCPU runs a task of its own.
run_on_cpus() {
    local cpus=$1
    micro_run 'fact cpus "$(nproc)"
fact online "$(cat /sys/devices/system/cpu/online)"
for cpu in $(seq 0 $(($(nproc) - 1))); do
    taskset -c $cpu sh -c "echo $cpu > /tmp/cpu.$cpu" &
done
wait
fact worked "$(ls /tmp/cpu.* | wc -l)"
fact sockets "$(sort -u /sys/devices/system/cpu/cpu*/topology/physical_package_id | wc -l)"
fact cores "$(cat /sys/devices/system/cpu/cpu*/topology/core_id | sort -u | wc -l)"
fact threads "$(cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list)"
fact total "$(sed -n "s/^MemTotal: *\([0-9]*\).*/\1/p" /proc/meminfo)"' \
        --cpus "$cpus" --memory "$2M"
    expect_fact cpus $cpus
    expect_fact online 0-$((cpus - 1))
    expect_fact worked $cpus
    expect_fact sockets 1
    expect_fact cores $cpus
    expect_fact threads 0
    expect_between "MemTotal in MiB" $(($(fact total) / 1024)) $(($2 * 8 / 10)) "$2"
}

test_four_cpus() { run_on_cpus 4 5120; }

# All that husk makes: each processor starts by PSCI, knows itself and its part of the GIC.
test_sixty_four_cpus() {
    husk_run 0 --cpus 64 --memory 64M --cmdline none "$(built cpus_aarch64)"
    expect_equal "processors that are right" \
        "$(grep -cE '^processor [0-9]+ itself, its own$' console)" 64
    expect_console '^processors: 64$'
    expect_no_messages
}

# Until Linux has set up its clocks an idle processor has a timer interrupt every 4 ms; those of 64
# are more than the emulation serves, so that nothing else proceeds. So all but one are turned on
# after that, which takes minutes.
test_linux_on_64_cpus() {
    husk_limit=3000
    micro_run 'cd /sys/devices/system/cpu
fact present "$(cat present)"
for cpu in cpu[1-9]*; do
    echo 1 > $cpu/online
done
fact online "$(cat online)"
for cpu in $(seq 0 63); do
    taskset -c $cpu sh -c "echo $cpu > /tmp/cpu.$cpu" &
done
wait
fact worked "$(ls /tmp/cpu.* | wc -l)"' \
        --cpus 64 --memory 512M --append "husk.do=$run_test_script maxcpus=1 quiet nowatchdog"
    expect_fact present 0-63
    expect_fact online 0-63
    expect_fact worked 64
}

test_many_cpus() {
    local cpus=16
    ! is_full || cpus=64
    run_on_cpus $cpus 512
}
