# SPDX-License-Identifier: Apache-2.0
#
# The labs that the tests share; sourced by session and run beside it.
#
#   BUILD/lab/guests    what the tests boot, as shell variables
#   BUILD/lab/options   of tools/lab/start, words: what kind of labs they are
#   BUILD/lab/watcher   the process that ends the labs when the tests are over
#   BUILD/lab/1, 2...   a lab session each, see tools/lab; "lease" in it is locked by
#                       the test that uses it
#
# Each lab host has one CPU, and there is one lab for each CPU here: QEMU's emulation
# of one CPU is sound, while with several that run at once a kernel that rewrites its
# code, or nests virtual machines on both, goes wrong now and then.
#
# A lab reads each file outside once (--still): what it has run may not be built anew before
# the labs have ended.
#
# A lab that was started by hand (tools/lab/start) is BUILD/lab itself; if it runs, it
# is the only one that is used, and left running.

pool_memory=8192   # MiB a lab; only what is touched counts

# How many labs there are. Each may come to hold 3 GiB.
pool_size() {
    local cpus memory
    cpus=$(nproc)
    memory=$(awk '/^MemAvailable/ { print int($2 / 1024 / 1024 / 3) }' /proc/meminfo)
    echo $((memory < 1 ? 1 : memory < cpus ? memory : cpus))
}

pool_by_hand() {
    [ -e "$pool/ready" ]
}

# The folders of the labs that "start" made.
pool_sessions() {
    if pool_by_hand; then
        echo "$pool"
    else
        find "$pool" -mindepth 2 -maxdepth 2 -name lease -printf '%h\n' 2> /dev/null | sort -V
    fi
}

# pool_boot SESSION: boots its lab if it does not run. Descriptor 8 may be a lease, which no lab
# may keep.
pool_boot() {
    local options
    read -ra options < "$pool/options"
    pool_by_hand || "$repository/tools/lab/start" --session "$1" --build "$build" \
        "${options[@]}" --cpus 1 --memory "$pool_memory" --still yes 8>&-
}

# pool_lease: waits for a lab that nobody uses, which is ours until this process ends, and leaves
# its folder in `session`; 1 if there is no lab at all. One that died is booted anew.
pool_lease() {
    local sessions
    mapfile -t sessions < <(pool_sessions)
    [ ${#sessions[@]} -gt 0 ] || return 1
    while :; do
        for session in "${sessions[@]}"; do
            exec 8> "$session/lease"
            flock -n 8 && { pool_boot "$session" 2> "$session/boot.log" && return
                            cat "$session/boot.log" >&2; return 1; }
        done
        sleep 0.2
    done
}
