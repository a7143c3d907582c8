# SPDX-License-Identifier: Apache-2.0
# The guest's console, in both directions, on pipes and terminals.

# shell_by_pipe ARG...: commands on standard input, their output on standard output.
shell_by_pipe() {
    husk_start --initrd "$micro/initrd" "$@" "$micro/vmlinuz"
    husk_await 'a shell; leave it'
    husk_send 'echo "sum: $((40 + 2)) on $(cat /sys/class/tty/console/active)"'
    husk_await 'sum: 42'
    husk_send exit
    husk_finish 0
}

test_serial_pipe() {
    shell_by_pipe --append husk.do=shell
    expect_console "^sum: 42 on $serial"
    expect_no_messages
}

test_virtio_pipe() {
    shell_by_pipe --append husk.do=shell --console virtio
    expect_console '^sum: 42 on hvc0'
    expect_no_messages
}

# What is on standard input before the guest runs waits for it.
test_early_input() {
    printf 'echo "sum: $((40 + 2))"\nexit\n' |
        husk_run 0 --initrd "$micro/initrd" --append husk.do=shell "$micro/vmlinuz"
    expect_console '^sum: 42'
}

# input_arrives CONSOLE: a text of several KiB, by a terminal that changes nothing.
input_arrives() {
    make_initrd 'stty raw -echo
echo ready
dd bs=1 count=6000 2> /dev/null > /tmp/input || true
stty sane
fact input "$(sha256sum < /tmp/input)"'
    husk_start --initrd initrd --append "husk.do=$run_test_script" --console "$1" "$micro/vmlinuz"
    husk_await ready
    base64 -w0 < "$micro/initrd" | head -c 6000 > text || true
    cat text >&$husk_input
    husk_finish 0
    expect_fact input "$(sha256sum < text)"
}

test_serial_input() { input_arrives serial; }
test_virtio_input() { input_arrives virtio; }

# A mebibyte of random text, between two marks.
test_virtio_output() {
    head -c 750K /dev/urandom | base64 -w 76 > text
    cp text text.img
    truncate -s 2M text.img
    micro_run "stty -opost
echo; echo begin
head -c $(stat -c %s text) /dev/vda
echo end" --console virtio --disk text.img,ro
    expect_between "bytes" "$(stat -c %s text)" 1000000 1100000
    sed '1,/^begin$/d; /^end$/,$d' console | cmp - text
}

test_serial_output() {
    head -c 24K /dev/urandom | base64 -w 76 > text
    cp text text.img
    truncate -s 1M text.img
    micro_run "stty -opost
echo; echo begin
head -c $(stat -c %s text) /dev/vda
echo end" --disk text.img,ro
    sed '1,/^begin$/d; /^end$/,$d' console | cmp - text
}

# on_terminal EXPECT-SCRIPT ARG...: husk run on a terminal of 33 lines, 101 columns.
on_terminal() {
    local script=$1
    shift
    expect -f - -- "$@" > console 2> messages <<END || fail "on a terminal: status $?"
set timeout $husk_limit
proc await {regex} { global expect_out; expect -re \$regex {} timeout { exit 91 } eof { exit 92 } }
proc finish {status} {
    expect eof {} timeout { exit 93 }
    set ended [lindex [wait] 3]
    if {\$ended != \$status} { puts "status \$ended, not \$status"; exit 94 }
}
set stty_init "rows 33 columns 101"
eval spawn -noecho \$argv
$script
END
    sed -i 's/\r//g' console
}

test_window_size() {
    on_terminal 'await "a shell; leave it"
send "stty size\r"
await "33 101"
stty rows 44 columns 77 < $spawn_out(slave,name)
exec kill -WINCH [exp_pid]
send "sleep 1; stty size\r"
await "44 77"
send "exit\r"
finish 0' husk run --console virtio --initrd "$micro/initrd" --append husk.do=shell "$micro/vmlinuz"
}

# Ctrl-a x ends the machine, and the terminal is what it was.
test_escape() {
    on_terminal 'await "begin:(\[^\r\n]*)"
set before $expect_out(1,string)
await "a shell; leave it"
send "stty -echo; echo rea\\dy; cat -v\r"
await "ready"
send "typed:\001\001\r"
await "typed:\\^A"
send "\001h"
await "Ctrl-a x +stop the machine"
send "\001x"
await "status:130"
await "end:(\[^\r\n]*)"
if {$before ne $expect_out(1,string)} { puts "terminal settings changed"; exit 95 }
finish 0' sh -c 'echo "begin:$(stty -g)"
husk run --initrd "$0/initrd" --append husk.do=shell "$0/vmlinuz"
echo "status:$?"
echo "end:$(stty -g)"' "$micro"
}

test_off() {
    husk_run 0 --console off --initrd "$micro/initrd" --append husk.do=poweroff "$micro/vmlinuz" \
        <<< 'not read'
    expect_equal "output" "$(cat console)" ""
    expect_no_messages
}
