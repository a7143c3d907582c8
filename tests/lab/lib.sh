# SPDX-License-Identifier: Apache-2.0
#
# What a lab test has; sourced in the lab by tests/lab/run, which see.
#
#   $micro $debian   folders of the guests, see tools/guest/{micro,debian}
#   $vmlinux         the micro guest's kernel, unpacked
#   $shared          a folder on the disk outside; the current folder is in memory
#
# A test boots a guest with husk_run, micro_run or debian_run and then looks at
# what it said: in ./console (without carriage returns) and, husk itself, in
# ./messages. It fails by "fail" or by any command that fails; then the end of both
# is shown.
#
# Scripts for guests have "fact NAME VALUE", whose result is judged here by
# expect_fact.

# What a guest's kernel calls things, by architecture.
case $(uname -m) in
x86_64) serial=ttyS0 clock=kvm-clock rtc=rtc_cmos pins=IO-APIC messages=PCI-MSI;;
aarch64) serial=ttyAMA0 clock=arch_sys_counter rtc=rtc-pl031 pins=GICv3 messages=ITS-MSI;;
esac

husk_limit=240   # seconds for one guest that no test should need, however busy the machine
husk_pid=

# ---- a test ------------------------------------------------------------------

begin_test() {
    test_folder=$(mktemp -d /dev/shm/husk-test.XXXXXX)
    cd "$test_folder"
    touch console messages
    trap 'end_test $?' EXIT
}

end_test() {
    local action
    trap - EXIT
    [ -z "$husk_pid" ] || kill -KILL "$husk_pid" 2> /dev/null || true
    for action in "${end_actions[@]}"; do
        eval "$action" || true
    done
    if [ "$1" != 0 ] && [ "$1" != 77 ]; then
        echo "failed, status $1, at: ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}"
        show_end messages
        show_end console
    fi
    rm -rf "$test_folder"
    exit "$1"
}

# at_end COMMAND...: runs it when the test is over, whatever becomes of it.
end_actions=()
at_end() {
    end_actions+=("$(printf '%q ' "$@")")
}

show_end() {
    echo "--- the end of $1:"
    tail -n 60 "$1" | tr -d '\r' | sed 's/^/  | /'
}

fail() {
    echo "FAILED: $*"
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

is_full() {
    [ -n "${HUSK_FULL:-}" ]
}

# ---- machines ----------------------------------------------------------------

# husk_run STATUS ARG...: runs "husk run ARG..." to its end, on our standard input.
husk_run() {
    local wanted=$1 status=0
    shift
    timeout -k 5 "$husk_limit" husk run "$@" > console 2> messages || status=$?
    judge_status "$status" "$wanted"
}

judge_status() {
    sed -i 's/\r//g' console
    [ "$1" != 124 ] || fail "the guest did not end within $husk_limit s"
    [ "$1" = "$2" ] || fail "husk's exit status is $1, not $2"
}

# husk_start ARG...: the same in the background, with what husk_send sends as its
# standard input.
husk_start() {
    rm -f input
    mkfifo input
    : > console # what another guest has said is not awaited again
    exec {husk_input}<> input
    husk run "$@" < input > console 2> messages &
    husk_pid=$!
}

husk_send() {
    echo "$*" >&$husk_input
}

is_running() {
    kill -0 "$husk_pid" 2> /dev/null
}

# A moment between two looks at something. To start sleep(1) takes the guest's processor from it
# for longer than that.
exec {never}<> <(:)
pause() {
    read -r -t 0.1 -u $never || true
}

# await_said FILE REGEX: until husk or its guest has written it there. By the shell itself, see pause.
await_said() {
    local deadline=$((SECONDS + husk_limit)) file part line= whole over=
    exec {file}< "$1"
    while :; do
        whole=yes
        IFS= read -r -u $file part || whole= # without its end it may be a prompt
        line+=$part
        [[ ! ${line//$'\r'} =~ $2 ]] || break
        [ -z "$whole" ] || { line=; continue; }
        [ -z "$over" ] || fail "husk ended before '$2' was in $1"
        [ $SECONDS -lt $deadline ] || fail "'$2' was not in $1 within $husk_limit s"
        [ -z "$husk_pid" ] || is_running || over=yes # one last look
        pause
    done
    exec {file}<&-
}

# husk_await REGEX: until the guest has said it.
husk_await() {
    await_said console "$1"
}

# husk_finish STATUS: waits for the end of what husk_start began.
husk_finish() {
    local deadline=$((SECONDS + husk_limit)) status=0
    while is_running; do
        [ $SECONDS -lt $deadline ] || fail "the guest did not end within $husk_limit s"
        pause
    done
    wait "$husk_pid" || status=$?
    husk_pid=
    exec {husk_input}>&-
    judge_status "$status" "$1"
}

# ---- guests ------------------------------------------------------------------

guest_prelude='set -eu
fact() { echo "fact $1: $2"; }'

# make_initrd SCRIPT [PROGRAM...]: ./initrd is the micro guest's with /test, the
# script, and programs of this host with their libraries. With `extra_modules`, the
# kernel's modules of that name are in /modules/extra, in the order of loading.
extra_modules=()
make_initrd() {
    local script=$1 root=initrd-root program file
    shift
    if [ $# = 0 ] && [ ${#extra_modules[@]} = 0 ]; then # fewer programs to start
        printf '%s\n' "$guest_prelude" "$script" > test
        { cat "$micro/initrd"; cpio --quiet -o -H newc -R 0:0 <<< test; } > initrd
        return
    fi
    rm -rf "$root"
    mkdir "$root"
    printf '%s\n' "$guest_prelude" "$script" > "$root/test"
    mkdir "$root/host"
    for program in "$@"; do
        file=$(command -v "$program")
        cp -L "$file" "$root/host/$program"
        # shellcheck disable=SC2046  # one word a library
        cp -L --parents $(ldd "$file" | grep -oE '/[^ ]+') "$root"
    done
    copy_extra_modules "$root/modules/extra"
    (cd "$root" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | cat "$micro/initrd" - > initrd
    rm -r "$root"
}

copy_extra_modules() {
    local kernel version module path number=100
    [ ${#extra_modules[@]} -gt 0 ] || return 0
    kernel=$(dirname "$(readlink -f "$micro/vmlinuz")")
    version=$(cat "$kernel/version")
    mkdir -p "$1"
    for module in "${extra_modules[@]}"; do
        modprobe -d "$kernel" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
        cp "$path" "$1/$((number++))-$(basename "$path")"
    done
}

run_test_script=script:$(base64 -w0 <<< '. /test')

# micro_run SCRIPT [ARG...]: boots the micro guest, which runs the script and powers
# off; both must go well. The array `programs` names programs that the script needs.
programs=()
micro_run() {
    local script=$1
    shift
    make_initrd "$script" "${programs[@]}"
    husk_run 0 --kernel "$micro/vmlinuz" --initrd initrd \
        --append "husk.do=$run_test_script" "$@"
    expect_console '^micro: script status 0$'
}

# debian_run STATUS SCRIPT [ARG...]: boots Debian, which runs the script (short: it
# travels in the kernel's arguments), on the root disk that prepare_debian made.
debian_run() {
    local wanted=$1 script=$guest_prelude$'\n'$2
    shift 2
    husk_run "$wanted" --initrd "$debian/initrd.img" --disk "$shared/root.img" --memory 512M \
        --append "husk.run=$(base64 -w0 <<< "$script")" "$@" "$debian/vmlinuz"
}

# built NAME: what was built for these tests.
built() {
    echo "$(dirname "$(command -v husk)")/tests/lab/$1"
}

# ---- what is expected --------------------------------------------------------

expect_console() {
    grep -qE -- "$1" console || fail "the guest did not say '$1'"
}

expect_message() {
    grep -qE -- "$1" messages || fail "husk did not say '$1'"
}

expect_no_messages() {
    [ ! -s messages ] || fail "husk said something"
}

# expect_equal WHAT IS SHOULD
expect_equal() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

# expect_between WHAT IS LOWEST HIGHEST
expect_between() {
    [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || fail "$1 is $2, not between $3 and $4"
    echo "$1: $2 (allowed: $3 to $4)"
}

# The value that the guest stated last. By the shell itself, as starting programs takes long here.
fact() {
    local line value=
    while IFS= read -r line; do
        [[ $line != *"fact $1: "* ]] || value=${line#*"fact $1: "}
    done < console
    printf '%s\n' "$value"
}

expect_fact() {
    expect_equal "$1" "$(fact "$1")" "$2"
}

# digest FILE
digest() {
    local sum
    sum=$(sha256sum < "$1")
    echo "${sum%% *}"
}

# Bytes of the disk that a file takes.
allocated() {
    echo $(($(stat -c %b "$1") * 512))
}

# slice FILE OFFSET SIZE: a part of it, in bytes.
slice() {
    dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
}

# The release of a bzImage: boot.rst, kernel_version.
kernel_release() {
    local offset
    offset=$(od -An -j $((0x20e)) -N 2 -t u2 --endian=little "$1")
    slice "$1" $((offset + 0x200)) 100 | cut -z -d' ' -f1 | tr -d '\0'
}

# What software emulation does wrong, with any monitor: writes to XCR0 are not
# intercepted, so that KVM reports a wrong size of the XSAVE area. The processor's
# own faults, which the kernel explains with the word WARNING, are not ours.
lab_noise='XSAVE consistency problem|arch/x86/kernel/fpu/xstate.c|Overflow: WARNING: See'

# expect_clean_log FILE: a kernel's log without complaints.
expect_clean_log() {
    local complaints='WARNING|BUG|ACPI.*(Error|Warning)|nobody cared|lost interrupt|Oops|'
    complaints+='Unable to read current time from RTC|stall|I/O error|blocked for more'
    grep -q 'Linux version' "$1" || fail "$1 is not a whole kernel log"
    grep -q "clocksource: Switched to clocksource $clock" "$1" || fail "not on $clock"
    grep -q "$rtc .*: setting system clock to" "$1" || fail "the RTC does not work"
    ! grep -vE "$lab_noise" "$1" | grep -E "$complaints" || fail "the kernel complains"
}
