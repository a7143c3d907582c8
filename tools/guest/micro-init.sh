# SPDX-License-Identifier: Apache-2.0
#
# The micro guest, run by busybox from the initramfs; see "micro --help" for what
# the kernel command line may ask of it.

/bin/busybox mount -t proc proc /proc
read -r command_line < /proc/cmdline

# The value of NAME=VALUE on the kernel command line.
argument() {
    local word
    for word in $command_line; do
        case $word in
        "$1="*) echo "${word#*=}"; return;;
        esac
    done
}

stop() {
    /bin/busybox "$1" -f
}

load_modules() {
    local module
    while read -r module; do
        insmod "/modules/$module"
    done < /etc/modules
}

# console=hvc0 exists only after its module: the last console= is where we talk.
reopen_console() {
    local tries=0
    until : < /dev/console; do
        tries=$((tries + 1))
        [ $tries -lt 20 ] || return
        usleep 50000
    done 2> /dev/null
    exec < /dev/console > /dev/console 2>&1
}

# A network card is asked for an address by DHCP, three times; husk.net=off: it is left alone.
start_network() {
    local card
    ip link set lo up
    for card in /sys/class/net/eth*; do
        [ -e "$card" ] || continue
        card=${card##*/}
        ip link set "$card" up
        udhcpc -i "$card" -q -n -t 3 -T 1 -s /etc/udhcpc.sh > /dev/null 2>&1 ||
            echo "micro: $card: no answer by DHCP"
    done
}

prepare() {
    /bin/busybox --install -s /bin
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    mkdir -p /dev/pts /dev/shm /tmp
    mount -t devpts devpts /dev/pts
    mount -t tmpfs tmpfs /tmp
    load_modules
    reopen_console
    [ "$(argument husk.net)" = off ] || start_network
}

run_script() {
    echo "$1" | base64 -d > /tmp/script
    sh /tmp/script
    echo "micro: script status $?"
    stop poweroff
}

action=$(argument husk.do)
case $action in
hello)
    [ "$(argument husk.modules)" != 1 ] || prepare
    echo "micro: hello from userspace"
    stop reboot
    ;;
poweroff | reboot)
    prepare
    echo "micro: $action"
    stop "$action"
    ;;
panic)
    prepare
    echo "micro: panic"
    echo c > /proc/sysrq-trigger
    ;;
script:*)
    prepare
    run_script "${action#script:}"
    ;;
*)
    prepare
    echo "micro: a shell; leave it to power off"
    setsid cttyhack sh
    stop poweroff
    ;;
esac
