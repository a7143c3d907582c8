# SPDX-License-Identifier: Apache-2.0
# The balloon: memory that a stock kernel frees leaves the host, and serves the guest again.

fill=200 # MiB

guest_balloon='for module in /modules/extra/*; do insmod "$module" || true; done
await() { echo "waits: $1"; read -r line; }
head -c 8388608 /dev/urandom > /root-data
fill() { dd if=/dev/zero of=/tmp/fill bs=1M count='$fill'; }
await "to fill"
fill
await "to free"
rm /tmp/fill
await "to fill again"
fill
cat /root-data > /tmp/copy
cmp /root-data /tmp/copy
fact zeros "$(tr -d "\000" < /tmp/fill | wc -c)"
rm /tmp/fill'

# MiB of the guest's memory, which is the only mapping that large, on the host.
resident() {
    awk '/^[0-9a-f]+-/ { size = 0 } /^Size:/ { size = $2 } /^Rss:/ && size > 64 * 1024 { sum += $2 }
        END { print int(sum / 1024) }' "/proc/$husk_pid/smaps"
}

# await_resident HIGHEST: until no more MiB than that are on the host.
await_resident() {
    local deadline=$((SECONDS + husk_limit))
    until [ "$(resident)" -le "$1" ]; do
        is_running || fail "husk ended"
        [ $SECONDS -lt $deadline ] || fail "$(resident) MiB are still on the host, not $1"
        pause
    done
    echo "MiB on the host: $(resident) (awaited: $1 at most)"
}

# A system call for each piece of 2 MiB or more, and none in vain.
expect_few_calls() {
    python3 - <<'END'
import json
balloon = next(d for d in json.load(open("stats"))["devices"] if d["device"] == "balloon")
reports = [queue for queue in balloon["queues"][2:] if queue["chains"]]
print(reports)
assert len(reports) == 1, "the driver has one queue for reports"
discards, size = reports[0]["discards"], reports[0]["discarded_bytes"]
assert size >= 150 << 20, "memory was not reported"
assert size / discards >= 2 << 20, "the pieces are small"
assert reports[0]["refused"] == 0, "reports were refused"
END
}

reports() {
    local full
    extra_modules=(virtio_balloon)
    make_initrd "$guest_balloon"
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" \
        --memory 512M --balloon --stats stats "$@"
    husk_await '^waits: to fill'
    husk_send go
    husk_await '^waits: to free'
    full=$(resident)
    expect_between "MiB on the host, full" "$full" $fill 512
    husk_send go
    husk_await '^waits: to fill again'
    await_resident $((full - fill * 3 / 4))
    husk_send go
    husk_finish 0
    expect_console '^micro: script status 0$'
    expect_fact zeros 0
    expect_no_messages
    expect_few_calls
}

# Pages go into the balloon one by one; most of them are neighbours, for which one call is made.
expect_runs() {
    python3 - <<'END'
import json
balloon = next(d for d in json.load(open("stats"))["devices"] if d["device"] == "balloon")
inflate = balloon["queues"][0]
print(inflate)
assert inflate["actual_pages"] == 0, "the guest has not all of its memory back"
assert inflate["discarded_bytes"] >= 200 << 20, "pages were not discarded"
assert inflate["discarded_bytes"] / inflate["discards"] >= 4 * 4096, "neighbours were not found"
assert inflate["refused"] == 0, "pages were refused"
END
}

give_up() {
    extra_modules=(virtio_balloon)
    make_initrd 'for module in /modules/extra/*; do insmod "$module" || true; done
while :; do sleep 60; done'
    timeout -k 5 "$husk_limit" "$(dirname "$(command -v husk)")/tests/lab/give_up" \
        "$micro/vmlinuz" initrd "husk.do=$run_test_script" "$1" 200 > console 2> messages ||
        fail "the guest does not give up memory, or not take it back"
    cat messages
    expect_runs
}

test_give_up() { give_up mmio; }
test_mmio() { reports; }
test_pci() { reports --bus pci; }
