# SPDX-License-Identifier: Apache-2.0
# husk-runner: what becomes of jobs, what its report says, and that nothing is left when it is killed.

# A root of busybox, and places of the test's own for sandboxes and packed roots.
make_place() {
    mkdir -p root/{bin,dev,proc,sys,tmp,etc} runtime cache
    cp "$(command -v busybox)" root/bin/busybox
    ln -s busybox root/bin/sh
    chroot root /bin/busybox --install -s /bin
    export XDG_RUNTIME_DIR=$PWD/runtime XDG_CACHE_HOME=$PWD/cache
}

runner() {
    husk-runner --kernel "${micro:?}/vmlinuz" --root root --memory 128M "$@"
}

# start_runner ARG...: the same in the background, as process $! itself; it says what it does in `said`.
start_runner() {
    husk-runner --kernel "${micro:?}/vmlinuz" --root root --memory 128M "$@" > said &
}

# job NAME COMMAND: a line of the list.
job() {
    printf '%s\t%s\n' "$1" "$2" >> jobs.txt
}

# expect_report NAME=ELEMENT...: the verdicts in report.xml; "passed" is none.
expect_report() {
    python3 - "$@" <<'END'
import sys
import xml.etree.ElementTree
suite = xml.etree.ElementTree.parse("report.xml").getroot()
found = {case.get("name"): next((part.tag + ":" + part.get("message") for part in case
                                 if not part.tag.startswith("system-")), "passed") for case in suite}
expected = dict(word.split("=", 1) for word in sys.argv[1:])
assert found == expected, found
END
}

# What is a process or a mount of a runner; zombies have ended.
expect_nothing_left() {
    local deadline=$((SECONDS + 30))
    while pgrep -r D,I,R,S,T 'husk-runner|husk-net-user|virtiofsd' > left; do
        ((SECONDS < deadline)) || fail "processes are left: $(tr '\n' ' ' < left)"
    done
    husk ps > /dev/null
    expect_equal "folders of sandboxes" \
        "$(find runtime/husk -mindepth 1 -maxdepth 1 ! -name ".*" 2> /dev/null || true)" ""
    expect_equal "mounts" "$(grep -c "$PWD" /proc/mounts || true)" 0
}

# More jobs than machines, and each kind of end.
test_verdicts() {
    local status=0
    make_place
    job pass 'echo fine'
    job fail 'echo bad >&2; exit 3'
    job slow@2 'sleep 600'
    job killed 'kill -KILL $$'
    job junk 'head -c 100000 /dev/urandom; printf "]]>&<\\0\\377"'
    job flood 'yes'
    runner --jobs 2 --max-output 200000 --junit report.xml jobs.txt || status=$?
    expect_equal "exit status" $status 1
    expect_report pass=passed "fail=failure:exit status 3" "slow=failure:it ran for more than 2 s" \
        "killed=failure:killed by signal 9" junk=passed \
        "flood=error:it wrote more than 200000 bytes and was ended"
    expect_equal "output of pass" "$(cat logs/pass.out)" fine
    expect_equal "errors of fail" "$(cat logs/fail.err)" bad
    expect_equal "size of junk" "$(stat -c %s logs/junk.out)" 100007
    expect_nothing_left
}

# SIGTERM ends what runs; what has not begun is not.
test_cancel() {
    local status=0
    make_place
    job first 'sleep 600'
    job second 'true'
    start_runner --jobs 1 --junit report.xml jobs.txt
    until grep -q '^running' said; do kill -0 $!; done
    kill -TERM $!
    wait $! || status=$?
    expect_equal "exit status" $status 1
    expect_report "first=skipped:the runner was asked to end" second=skipped:
    expect_nothing_left
}

# At any instant: nothing of it is left, once somebody has asked for the sandboxes.
test_kill() {
    local count=3 i delay
    is_full && count=200
    make_place
    job one 'sleep 600'
    job two 'sleep 600'
    for ((i = 0; i < count; i++)); do
        start_runner --jobs 2 --allow any jobs.txt
        delay=$((RANDOM % 6)).$((RANDOM % 10))
        sleep "$delay" # the instant is what is tested
        kill -KILL $!
        wait $! || true
        expect_nothing_left
    done
}
