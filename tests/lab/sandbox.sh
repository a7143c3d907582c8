# SPDX-License-Identifier: Apache-2.0
# husk sandbox and what manages sandboxes: Debian's kernel, with Debian's root disk as the root.

# In the lab, sandboxes are in a runtime folder of the test, and caches in its memory.
begin_sandboxes() {
    export XDG_RUNTIME_DIR=$PWD/runtime XDG_CACHE_HOME=$PWD/cache
    mkdir -p "$XDG_RUNTIME_DIR" "$XDG_CACHE_HOME"
}

# sandbox STATUS ARG...: husk sandbox with these arguments, to its end; its streams are ./out and ./messages.
sandbox() {
    local wanted=$1 status=0
    shift
    timeout -k 5 "$husk_limit" husk sandbox --kernel "$micro/vmlinuz" --root "${root:-$debian/rootfs.img}" \
        "$@" > out 2> messages || status=$?
    judge_sandbox "$status" "$wanted"
}

# in_sandbox STATUS NAME ARG...: husk exec, the same way.
in_sandbox() {
    local wanted=$1 status=0
    shift
    timeout -k 5 "$husk_limit" husk exec "$@" > out 2> messages || status=$?
    judge_sandbox "$status" "$wanted"
}

judge_sandbox() {
    cp out console
    [ "$1" = "$2" ] || fail "the status is $1, not $2"
}

# detached NAME ARG...: one that stays, and is ended with the test.
detached() {
    local name=$1
    shift
    at_end husk rm --force "$name"
    timeout "$husk_limit" husk sandbox --kernel "$micro/vmlinuz" --root "${root:-$debian/rootfs.img}" \
        --detach --name "$name" "$@" > out 2> messages || fail "the sandbox does not start"
    expect_equal "the name" "$(cat out)" "$name"
}

expect_out() {
    expect_equal "the output" "$(cat out)" "$1"
}

# expect_nothing_left: no sandbox, no process of one, no file.
expect_nothing_left() {
    expect_equal "what husk ps lists" "$(husk ps --quiet)" ""
    expect_equal "the folders" "$(ls "$XDG_RUNTIME_DIR/husk")" ""
    ! pgrep -f "husk sandbox --kernel $micro" > /dev/null || fail "a sandbox's process is left"
    ! pgrep -x husk-net-user > /dev/null || fail "a network's process is left"
}

# What a person types first.
test_command() {
    begin_sandboxes
    sandbox 7 -- sh -c 'echo out; echo err >&2; cat; exit 7' <<< input
    expect_out $'out\ninput'
    expect_message '^err$'
    expect_nothing_left
}

# On any architecture: a root that is a folder with one program.
test_small_root() {
    begin_sandboxes
    mkdir -p small/bin
    cp "$(command -v busybox)" small/bin/busybox
    ln -s busybox small/bin/sh
    root=small sandbox 7 --net user -- sh -c 'busybox uname -m; exit 7'
    expect_out "$(uname -m)"
    expect_nothing_left
}

# As another program would use it: one sandbox, many commands.
test_exec() {
    begin_sandboxes
    detached box --hostname boxy
    in_sandbox 0 box true
    in_sandbox 143 box -- sh -c 'kill $$'
    in_sandbox 127 box no-such-program
    expect_message 'no-such-program: .*No such file'
    in_sandbox 126 box /etc/passwd
    in_sandbox 125 --user nobody-at-all box true
    in_sandbox 0 --env A=1 --env HOME=/x --workdir /usr --user nobody:daemon box -- \
        sh -c 'echo $A $HOME $PWD; id -un; id -gn; hostname'
    expect_out $'1 /x /usr\nnobody\ndaemon\nboxy'
    in_sandbox 124 --timeout 1 box -- sh -c 'trap "" TERM HUP; echo $$ > /pid; while :; do sleep 1; done'
    in_sandbox 1 box -- sh -c 'kill -0 $(cat /pid)'
    in_sandbox 125 --max-output 1000 box yes
    expect_equal "bytes of output" "$(wc -c < out)" 1000
    in_sandbox 0 box -- sh -c 'sleep 1000 & echo started'
    expect_out started
    in_sandbox 0 box -- sh -c 'for i in $(seq 200); do echo o$i; echo e$i >&2; done'
    expect_equal "stdout" "$(md5sum < out)" "$(seq -f o%g 200 | md5sum)"
    expect_equal "stderr" "$(md5sum < messages)" "$(seq -f e%g 200 | md5sum)"
    in_sandbox 0 box -- head -c 5 < /dev/zero
    husk stop box
    expect_equal "the list" "$(husk ps | awk '/^box/ {print $2}')" exited
    husk rm box
    expect_nothing_left
}

# All bytes, in both directions at once: as many as there are patience for.
test_streams() {
    local size=16
    begin_sandboxes
    ! is_full || size=1024 husk_limit=1200
    head -c 8M /dev/urandom > block
    for _ in $(seq $((size / 8))); do cat block; done | tee >(md5sum > sent) |
        sandbox 0 -- cat
    expect_equal "the sum of ${size} MiB" "$(md5sum < out)" "$(cat sent)"
    expect_no_messages
}

# A terminal: it has the size of this one, and Ctrl-C is the command's.
test_terminal() {
    begin_sandboxes
    detached box
    cat > dialogue.py <<'END'
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("husk", ["husk", "exec", "--tty", "box", "--", "sh", "-c",
                       "tty; stty size; trap 'echo interrupted; exit 9' INT; echo ready; sleep 100 & wait"])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
seen = b""
while True:
    try:
        part = os.read(terminal, 1000)
    except OSError:
        break
    seen += part
    if b"ready" in part:
        os.write(terminal, b"\3")
sys.stdout.write(seen.decode().replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
    local status=0
    timeout "$husk_limit" python3 dialogue.py > console || status=$?
    expect_equal status "$status" 9
    expect_console '^/dev/pts/'
    expect_console '^33 77$|^0 0$'
    expect_console interrupted
}

# Removed by force, one on a terminal gives that back as it was.
test_removed() {
    begin_sandboxes
    cat > dialogue.py <<'END'
import os, pty, subprocess, sys, termios
def echoes():
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("husk", ["husk", "sandbox", *sys.argv[1:], "--tty", "--name", "box", "--",
                       "sh", "-c", "echo ready; exec sleep 1000"])
seen = b""
while b"ready" not in seen:
    seen += os.read(terminal, 1000)
print("raw" if not echoes() else "cooked")
print("removed", subprocess.run(["husk", "rm", "--force", "box"]).returncode)
print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print("raw" if not echoes() else "cooked")
END
    timeout "$husk_limit" python3 dialogue.py --kernel "$micro/vmlinuz" --root "$debian/rootfs.img" \
        > out 2> messages
    judge_sandbox $? 0
    expect_out $'raw\nremoved 0\nended 143\ncooked'
    expect_no_messages
    expect_nothing_left
}

# Files in and out, a layer that is kept, and that nothing else is.
test_files() {
    begin_sandboxes
    detached box
    mkdir -p tree/deep
    head -c 300000 /dev/urandom > tree/deep/file
    ln -s deep/file tree/link
    chmod 4755 tree/deep/file
    husk cp tree box:/srv
    in_sandbox 0 box -- sh -c 'md5sum < /srv/tree/link; stat -c %a /srv/tree/deep/file'
    expect_out "$(md5sum < tree/deep/file)"$'\n4755'
    husk cp box:/srv/tree back
    cmp tree/deep/file back/deep/file
    expect_equal "the mode" "$(stat -c %a back/deep/file)" 755
    ! husk cp box:/nowhere . 2> messages || fail "a file that is not there was copied"
    expect_message 'nowhere.*No such file'
    husk cp box:/proc/version version
    expect_equal "the guest's version" "$(cut -d ' ' -f 1,2 version)" "Linux version"
    ! husk cp box:/etc/hostname /dev/null 2> messages || fail "a device was replaced"
    expect_message '/dev/null.*neither a file nor a folder'
    [ -c /dev/null ] || fail "/dev/null is a device no more"
    ! husk cp version box:/dev/null 2> messages || fail "the guest's device was replaced"
    sandbox 0 --keep layer --disk-size 64M --out /made:made -- sh -c 'echo kept > /made'
    expect_equal made "$(cat made)" kept
    sandbox 0 --keep layer -- cat /made
    expect_out kept
    sandbox 1 -- test -e /made
}

# Folders of this host: the root, live and read-only, and others, of which one can be written.
test_shares() {
    begin_sandboxes
    mkdir shared given linked
    echo live > given/file
    root=/ sandbox 0 --bind "$PWD/shared:/shared" --bind "$PWD/given:/given:ro" \
        --bind "$PWD/linked:/var/run/linked" -- sh -c '
        echo by a link of the root > /var/run/linked/file
        echo made > /shared/file; cat /given/file; echo no > /given/other; echo mine > /etc/mine; ls /proc/1/exe
        touch /given/file; test -e /usr/bin/env && cat /etc/mine'
    expect_out $'live\n/proc/1/exe\nmine'
    expect_equal "what was written" "$(cat shared/file)" made
    expect_equal "what went by a link" "$(cat linked/file)" 'by a link of the root'
    expect_message 'Read-only file system'
    [ ! -e /etc/mine ] || fail "the host's root was written"
    mkdir -p packed/bin
    cp /bin/busybox packed/bin/
    root=packed sandbox 0 -- /bin/busybox ls /bin
    expect_out busybox
    expect_nothing_left
}

# What a job may do to its machine.
test_hostile() {
    begin_sandboxes
    sandbox 1 --disk-size 32M -- sh -c 'dd if=/dev/zero of=/full bs=1M; rm /full && echo room > /ok && exit 1'
    expect_message 'No space left'
    sandbox 137 --memory 128M -- tail /dev/zero
    sandbox 124 --timeout 5 -- sh -c 'f() { f & f & }; f; while :; do :; done'
    sandbox 125 -- sh -c 'echo before; echo o > /proc/sysrq-trigger; sleep 100'
    expect_out before
    expect_message 'powered off before the command'
    sandbox 125 -- sh -c 'echo b > /proc/sysrq-trigger; sleep 100'
    expect_message 'reset itself before'
    sandbox 125 -- sh -c 'sleep 1; echo c > /proc/sysrq-trigger; sleep 100'
    expect_message '(panicked|reset itself) before'
    expect_nothing_left
}

# What fails before the agent has reached the host is in the kernel's log.
test_bad_module() {
    local tree
    begin_sandboxes
    tree=$(echo "$(dirname "$(readlink -f "$micro/vmlinuz")")"/lib/modules/*)
    mkdir -p modules/spoilt
    ln -s "$tree"/{kernel,modules.builtin} modules/
    echo 'no module' > modules/spoilt/virtio_mmio.ko
    sed 's|^[^ ]*/virtio_mmio\.ko:|spoilt/virtio_mmio.ko:|' "$tree/modules.dep" > modules/modules.dep
    sandbox 125 --modules modules -- true
    expect_message 'it said last: .*husk-agent: cannot load the module virtio_mmio\.ko: '
    expect_nothing_left
}

# Nothing is reached that is not allowed, and that quickly; two sandboxes do not see each other.
test_network() {
    begin_sandboxes
    mkdir www
    echo served > www/file
    busybox httpd -f -p 127.0.0.1:8000 -h www &
    at_end kill $!
    busybox httpd -f -p 127.0.0.1:8001 -h www &
    at_end kill $!
    detached one --net user,allow=host:8000,publish=8080:80
    detached two --net user
    local get='exec 3<> /dev/tcp/10.0.2.2/$0 && printf "GET /file HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3'
    in_sandbox 0 one -- bash -c "$get" 8000
    expect_out served
    in_sandbox 1 --timeout 20 one -- bash -c "$get" 8001
    in_sandbox 1 --timeout 20 two -- bash -c "$get" 8000
    in_sandbox 1 --timeout 20 two -- bash -c ': < /dev/tcp/192.0.2.1/80'
    in_sandbox 0 one -- perl -MIO::Socket -e 'my $l = IO::Socket::INET->new(LocalPort => 80, Listen => 1, ReuseAddr => 1) or die; if (!fork) { my $c = $l->accept; print $c "published\n"; }'
    expect_equal "the published port" "$(timeout 20 bash -c 'cat < /dev/tcp/127.0.0.1/8080')" published
    in_sandbox 0 one touch /mine
    in_sandbox 1 two test -e /mine
}

# The first signal is the command's, the second ends the machine.
test_signals() {
    begin_sandboxes
    start_sandbox -- sh -c 'trap "echo got it" TERM; echo ready; while :; do sleep 0.2; done'
    await_out ready
    kill -TERM "$husk_pid"
    await_out 'got it'
    kill -TERM "$husk_pid"
    finish_sandbox 143
    start_sandbox -- sleep 1000
    kill -TERM "$husk_pid" # while it starts
    finish_sandbox 143
    start_sandbox -- true
    kill -WINCH "$husk_pid" # while it starts
    finish_sandbox 0
    expect_nothing_left
}

# Who asks for one in the background, and goes before it has a name, leaves none.
test_detach_given_up() {
    local deadline=$((SECONDS + 60))
    begin_sandboxes
    start_sandbox --detach -- sleep 1000
    until [ -n "$(husk ps --quiet)" ]; do
        [ $SECONDS -lt $deadline ] || fail "no sandbox starts"
        pause
    done
    kill -TERM "$husk_pid"
    finish_sandbox 143
    while pgrep -f "husk sandbox --kernel $micro" > /dev/null; do
        [ $SECONDS -lt $deadline ] || fail "the sandbox goes on"
        pause
    done
    expect_nothing_left
}

start_sandbox() {
    : > out
    husk sandbox --kernel "$micro/vmlinuz" --root "$debian/rootfs.img" "$@" > out 2> messages &
    husk_pid=$!
}

await_out() {
    await_said out "$1"
}

finish_sandbox() {
    local status=0
    wait "$husk_pid" || status=$?
    husk_pid=
    judge_sandbox "$status" "$1"
}

# Killed at any instant, it leaves nothing that the next command does not remove.
test_killed() {
    local round rounds=4
    begin_sandboxes
    ! is_full || rounds=200
    for round in $(seq "$rounds"); do
        start_sandbox --net user --disk-size 32M --name victim -- sleep 1000
        sleep "$((RANDOM % 8)).$((RANDOM % 10))"
        kill -KILL "$husk_pid" 2> /dev/null || true
        wait "$husk_pid" 2> /dev/null || true
        husk_pid=
        husk ps > /dev/null
        expect_children_gone
        expect_equal "the folders after round $round" "$(ls "$XDG_RUNTIME_DIR/husk")" ""
    done
    expect_nothing_left
}

# Helpers end with the socket that they serve, which takes them a moment.
expect_children_gone() {
    local deadline=$((SECONDS + 20))
    while pgrep -x 'husk-net-user|virtiofsd|mkfs.ext4' > /dev/null; do
        [ $SECONDS -lt $deadline ] || fail "a helper is left: $(pgrep -a 'husk-net-user|virtiofsd|mkfs')"
        pause
    done
}
