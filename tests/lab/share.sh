# SPDX-License-Identifier: Apache-2.0
# Shared directories: a stock kernel's virtiofs, and QEMU's virtiofsd of Debian 12.

guest_share='for module in /modules/extra/*; do insmod "$module" || true; done
await() { echo "waits: $1"; read -r line; }
share() { mkdir -p "/mnt/$1"; mount -t virtiofs "$1" "/mnt/$1"; }
error() { "$@" 2>&1 > /dev/null | sed "s/.*: //"; }
'

# share_start SCRIPT ARG...: boots a guest with the script in the background.
share_start() {
    extra_modules=(virtiofs)
    make_initrd "$guest_share$1"
    shift
    husk_start --kernel "$micro/vmlinuz" --initrd initrd --append "husk.do=$run_test_script" "$@"
}

# The virtiofsd that are children of husk.
servers() {
    pgrep -P "$husk_pid" -x virtiofsd || true
}

# live ARG...: what one side writes the other reads, a large file too; the driver leaves and comes
# back; and what is to be read only is.
live() {
    mkdir -p work/folder fixed
    echo "from the host" > work/folder/file
    echo "fixed" > fixed/file
    head -c 100M /dev/urandom > work/large
    share_start 'share work
share fixed
fact read "$(cat /mnt/work/folder/file)"
fact digest "$(sha256sum < /mnt/work/large | cut -d" " -f1)"
echo "from the guest" > /mnt/work/answer
ln -s folder /mnt/work/link
await host
fact again "$(cat /mnt/work/later)"
fact fixed "$(cat /mnt/fixed/file)"
fact refused "$(error touch /mnt/fixed/new)"
umount /mnt/work
umount /mnt/fixed
for device in /sys/bus/virtio/drivers/virtiofs/virtio*; do
    echo "${device##*/}" > /sys/bus/virtio/drivers/virtiofs/unbind
    echo "${device##*/}" > /sys/bus/virtio/drivers/virtiofs/bind
done
share work
fact bound "$(cat /mnt/work/later)"
umount /mnt/work' --share work=work --share fixed=fixed,ro --stats stats "$@"
    husk_await '^waits: host'
    expect_equal "what the guest wrote" "$(cat work/answer)" "from the guest"
    expect_equal "its link" "$(readlink work/link)" folder
    echo "later" > work/later
    husk_send go
    husk_finish 0
    expect_console '^micro: script status 0$'
    expect_no_messages
    expect_fact read "from the host"
    expect_fact digest "$(digest work/large)"
    expect_fact again later
    expect_fact fixed fixed
    expect_fact refused "Read-only file system"
    expect_fact bound later
    [ ! -e fixed/new ] || fail "the guest wrote to what is read-only"
}

test_mmio() { live; }
test_pci() { live --bus pci; }

# A virtiofsd that is killed, idle and at work, costs the guest its files and nothing else.
test_killed() {
    mkdir -p idle busy
    echo file > idle/file
    share_start 'share idle
share busy
(while :; do echo line >> /mnt/busy/file || break; done 2> /tmp/complaint; fact busy "$(sed "s/.*: //" /tmp/complaint)") &
await host
fact idle "$(error cat /mnt/idle/file)"
wait
fact unmounted "$(umount /mnt/idle && umount /mnt/busy && echo yes)"
fact again "$(error mount -t virtiofs idle /mnt/idle)"' --share idle=idle --share busy=busy --bus pci
    husk_await '^waits: host'
    # shellcheck disable=SC2046  # two numbers
    kill -KILL $(servers)
    husk_send go
    husk_finish 0
    expect_console '^micro: script status 0$'
    expect_fact idle "Transport endpoint is not connected"
    expect_fact busy "Transport endpoint is not connected"
    expect_fact unmounted yes
    expect_equal "lines of the log" "$(grep -c 'lost virtiofsd: it ended' messages)" 2
}

# This host's own root, without what is mounted below it, that nobody can write to; and whatever
# becomes of husk, virtiofsd does not stay.
test_root() {
    local pids pid
    echo "seen" > /root/share-test
    at_end rm -f /root/share-test
    share_start 'share root
fact file "$(cat /mnt/root/root/share-test)"
fact refused "$(error touch /mnt/root/root/share-test)"
fact shell "$(chroot /mnt/root /bin/bash -c "echo \$BASH_VERSION" > /dev/null && echo yes)"
fact below "$([ ! -e /mnt/root/run/lab ] || echo seen)"
await "kill"' --share root=/,ro,one_file_system
    husk_await '^waits: kill'
    sed -i 's/\r//g' console
    expect_fact file seen
    expect_fact refused "Read-only file system"
    expect_fact shell yes
    [ -e /run/lab ] || fail "nothing is mounted at /run"
    expect_fact below ""
    pids=$(servers)
    [ -n "$pids" ] || fail "there is no virtiofsd"
    kill -KILL "$husk_pid"
    for pid in $pids; do
        timeout 60 tail --pid="$pid" -f /dev/null || fail "virtiofsd stays"
    done
    ! grep -q husk /proc/net/unix || fail "a socket stays"
    expect_equal "mounts of virtiofsd that stay" "$(grep -c /proc/driver /proc/mounts)" 0
}
