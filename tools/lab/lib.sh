# SPDX-License-Identifier: Apache-2.0
#
# The lab: a Linux host with true KVM, emulated in software by QEMU, that sees
# this machine's files. Sourced by run, start, exec and stop beside it.
#
# A session is one running lab host; its folder holds all there is of it:
#
#   qemu.pid, virtiofsd.pid   the two processes
#   console.log, *.log        what they and the lab host's kernel said
#   key, known-hosts, port    how ssh reaches it, on the loopback interface only
#   ssh.socket                the one ssh connection that commands share
#
# Sockets have short names because a socket's path may not exceed 107 bytes:
# programs are started inside the folder and name them relatively.

lab_folder=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
repository=$(readlink -f "$lab_folder/../..")
source "$repository/tools/packages"
source "$repository/tools/guest/cache.sh"
source "$repository/tools/guest/archives.sh"

lab_virtiofsd=/usr/lib/qemu/virtiofsd
lab_virtiofsd_locks=/run/virtiofsd
lab_boot_limit=120   # seconds that a lab host may take to start
lab_timeout_status=124   # as timeout(1) has it

# The lab host defends itself from nobody, and starts programs a sixth faster so.
lab_quick_args="mitigations=off init_on_alloc=0"

lab_say() {
    echo "lab: $*" >&2
}

lab_fail() {
    lab_say "$@"
    exit 1
}

# ---- options -----------------------------------------------------------------

# What every command shares; see lab_option.
lab_arch=$(uname -m)
lab_build=
lab_session=${HUSK_LAB_SESSION:-}
lab_memory=4096
lab_cpus=2
lab_gic=3
lab_timeout=0
lab_lifetime=14400
lab_shared=()
lab_cache=auto   # virtiofsd's

lab_options_help() {
    cat <<'EOF'
  --session DIR    the session's folder (default: $HUSK_LAB_SESSION, or BUILD/lab)
  --build BUILD    the build folder, whose husk is first on the lab's PATH
                   (default: build/ of the repository, build/ARCH for a foreign one)
  --arch ARCH      x86_64 or aarch64 (default: this machine's)
EOF
}

lab_boot_options_help() {
    cat <<'EOF'
  --cpus N         the lab host's CPUs (default 2)
  --memory MIB     the lab host's memory (default 4096); only what is touched counts
  --gic N          aarch64: the host's interrupt controller is a GICv2 or a GICv3 (default 3)
  --share DIR      a folder that is writable from inside, for results; may be repeated
  --still yes      files outside change by the lab alone while it runs, or are new: each
                   is read once, and programs start twice as fast
  --lifetime S     the lab ends by itself after S seconds (default 14400)
EOF
}

# lab_option NAME VALUE: sets one option; 1 if there is none of that name.
lab_option() {
    case $1 in
    --arch) lab_arch=$2;;
    --session) lab_session=$2;;
    --build) lab_build=$(realpath -m "$2");;
    --memory) lab_memory=$2;;
    --cpus) lab_cpus=$2;;
    --gic) lab_gic=$2;;
    --still) [ "$2" = yes ] || return 1; lab_cache=always;;
    --share) lab_shared+=("$(realpath -m "$2")");;
    --lifetime) lab_lifetime=$2;;
    --timeout) lab_timeout=$2;;
    *) return 1;;
    esac
}

# lab_parse HELP ARG...: reads options up to "--" or the first other word and
# leaves the rest in lab_command.
lab_parse() {
    local help=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --help) "$help"; exit 0;;
        --) shift; break;;
        -*)
            [ $# -ge 2 ] && lab_option "$1" "$2" || { "$help" >&2; exit 2; }
            shift 2;;
        *) break;;
        esac
    done
    lab_command=("$@")
    lab_use_arch "$lab_arch"
    lab_use_session "${lab_session:-$lab_build/lab}"
}

# What is of one architecture: its file, and where it is built.
lab_use_arch() {
    lab_arch=$1
    [ -e "$lab_folder/$lab_arch.sh" ] || lab_fail "no architecture '$lab_arch'"
    # shellcheck source=x86_64.sh
    source "$lab_folder/$lab_arch.sh"
    if [ -z "$lab_build" ]; then
        lab_build=$repository/build
        [ "$lab_arch" = "$(uname -m)" ] || lab_build+=/$lab_arch
    fi
}

lab_use_session() {
    lab_session=$(realpath -m "$1")
    lab_fs_socket=husk-lab-$(cache_key <<< "$lab_session").socket
}

# ---- what a lab needs --------------------------------------------------------

lab_check_host() {
    local missing
    missing=$(packages_missing lab "${lab_packages[@]}")
    [ -z "$missing" ] ||
        lab_fail "missing packages:" $missing "(try: tools/packages install lab ${lab_packages[*]})"
    [ "$(id -u)" = 0 ] ||
        lab_fail "must run as root: Debian's virtiofsd cannot share files otherwise"
}

# In the order that they are loaded in, after what they depend on.
lab_modules() {
    printf '%s\n' virtio_pci virtio_net virtiofs overlay "${lab_kvm_modules[@]}" tun vhost_net \
        vhost_vsock loop
}

# lab_build_initramfs KERNEL TREE FOLDER: what boots every lab of an architecture; what
# a session adds is a second archive behind it (lab_session_archive).
lab_build_initramfs() {
    local kernel=$1 tree=$2 folder=$3 version module path
    version=$(cat "$kernel/version")
    mkdir -p "$folder"/root/{bin,dev,proc,sys,lab/modules}
    cp "$tree/bin/busybox" "$folder/root/bin/"
    install -m 755 "$lab_folder/host-init" "$folder/root/init"
    install -m 755 "$lab_folder"/host-{main,exec} "$folder/root/lab/"
    for module in $(lab_modules); do
        modprobe -d "$kernel" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
        cp "$path" "$folder/root/lab/modules/"
        basename "$path" >> "$folder/root/lab/modules/order"
    done
    lab_archive "$folder/root" > "$folder/initramfs"
    rm -r "$folder/root"
}

# lab_archive FOLDER: its contents as an initramfs archive, not compressed:
# unpacking would be emulated, reading is not.
lab_archive() {
    (cd "$1" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0)
}

lab_initramfs() {
    local key
    key=$({ cat "$lab_folder"/*; echo "$lab_kernel"; cat "$lab_tree/bin/busybox"; } | cache_key)
    cache_entry "lab-initramfs-$lab_arch" "$key" \
        "$lab_folder/start" --build-initramfs "$lab_arch" "$lab_kernel" "$lab_tree"
}

# ---- a session ---------------------------------------------------------------

# lab_process NAME: prints the process id of the session's qemu or virtiofsd if
# it is alive and still that program.
lab_process() {
    local pid
    pid=$(cat "$lab_session/$1.pid" 2>/dev/null) &&
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1"* ]] && echo "$pid"
}

lab_running() {
    lab_process qemu >/dev/null && [ -e "$lab_session/ready" ]
}

# What only this session's initramfs holds.
lab_session_archive() {
    local folder live
    folder=$(mktemp -d)
    mkdir "$folder/lab"
    dropbearkey -t ed25519 -f "$folder/lab/host-key" > "$lab_session/host-key.pub" 2>/dev/null
    awk '/^ssh-/ { print "husk-lab", $1, $2 }' "$lab_session/host-key.pub" \
        > "$lab_session/known-hosts"
    rm -f "$lab_session/key" "$lab_session/key.pub"
    ssh-keygen -q -t ed25519 -N '' -C husk-lab -f "$lab_session/key"
    cp "$lab_session/key.pub" "$folder/lab/authorized-keys"
    echo "$lab_kernel" > "$folder/lab/kernel"
    echo "$lab_tree" > "$folder/lab/tree"
    for live in "$repository" "$lab_build" "$cache_root"; do
        [ ! -d "$live" ] || echo "$live"
    done | sort > "$folder/lab/live"
    printf '%s\n' "$lab_session" "${lab_shared[@]}" | sort > "$folder/lab/shared"
    lab_archive "$folder"
    rm -r "$folder"
}

# virtiofsd locks a file named after its socket as it was given, so that the
# name must be this session's own.
lab_start_virtiofsd() {
    (cd "$lab_session" && exec setsid "$lab_virtiofsd" --socket-path="$lab_fs_socket" \
        -o source=/ -o sandbox=chroot -o cache="$lab_cache" -f < /dev/null &> virtiofsd.log 9>&-) &
    echo $! > "$lab_session/virtiofsd.pid"
    disown
    lab_wait_for 10 test -S "$lab_session/$lab_fs_socket"
}

# lab_start_qemu PORT: its first argument list is the machine, the rest devices.
lab_start_qemu() {
    local port=$1
    (cd "$lab_session" && exec setsid "${lab_guard[@]}" timeout -k 5 "$lab_lifetime" \
        setpriv --pdeathsig KILL "$lab_qemu" \
        "${lab_machine[@]}" -accel tcg,thread=multi -smp "$lab_cpus" -m "$lab_memory" \
        -nodefaults -no-user-config -display none -no-reboot \
        -object "memory-backend-memfd,id=ram,size=${lab_memory}M,share=on" \
        -numa node,memdev=ram \
        -kernel "$lab_kernel/vmlinuz" -initrd initramfs \
        -append "$lab_kernel_args $lab_quick_args panic=-1" \
        -chardev file,id=console,path=console.log -serial chardev:console \
        -chardev "socket,id=fs,path=$lab_fs_socket" -device vhost-user-fs-pci,chardev=fs,tag=host \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" \
        -device virtio-net-pci,netdev=net,romfile= \
        -pidfile qemu.pid < /dev/null &> qemu.log 9>&-) &
    lab_starter=$!
    disown
    lab_wait_for 10 lab_qemu_settled && lab_process qemu >/dev/null
}

lab_qemu_settled() {
    lab_process qemu >/dev/null || ! kill -0 "$lab_starter" 2>/dev/null
}

# lab_wait_for SECONDS COMMAND...: until COMMAND succeeds; 1 if it never does.
lab_wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

# QEMU itself binds the port, so that no other program can have taken it
# meanwhile; a taken one is answered by trying another.
lab_start_qemu_on_free_port() {
    local attempt port
    for attempt in 1 2 3 4 5 6 7 8; do
        port=$((20000 + RANDOM % 40000))
        echo "$port" > "$lab_session/port"
        lab_start_qemu "$port" && return
        grep -q 'Could not set up host forwarding' "$lab_session/qemu.log" || return
    done
    return 1
}

# lab_become_ssh ARG...: never returns; call it in a subshell.
lab_become_ssh() {
    cd "$lab_session"
    exec "${lab_limit[@]}" ssh -F none -q -i key -l root -p "$(cat port)" \
        -o ControlPath=ssh.socket -o UserKnownHostsFile=known-hosts -o HostKeyAlias=husk-lab \
        -o GlobalKnownHostsFile=none -o IdentitiesOnly=yes -o BatchMode=yes \
        -o StrictHostKeyChecking=yes -o EscapeChar=none "$@"
}
lab_limit=()

lab_connect() {
    lab_process qemu >/dev/null || return 0
    (lab_become_ssh -o ControlMaster=yes -o ControlPersist=yes -o ConnectTimeout=2 \
        127.0.0.1 true < /dev/null &>> "$lab_session/ssh.log" 9>&-)
}

# lab_start [GUARD...]: boots the session's host. GUARD is put before QEMU's
# command line.
lab_start() {
    lab_guard=("$@")
    lab_check_host
    lab_kernel=$("$repository/tools/guest/stock-kernel" --arch "$lab_arch")
    lab_tree=$("$lab_folder/root" "$lab_arch")
    local base folder
    base=$(lab_initramfs)
    mkdir -p -m 700 "$lab_session"
    # Descriptor 9 is the lock on starting; no child may keep it.
    exec 9> "$lab_session/lock"
    flock -n 9 || lab_fail "another start is at work in $lab_session"
    for folder in "${lab_shared[@]}"; do
        mkdir -p "$folder"
    done
    rm -f "$lab_session"/{ready,*.pid,*.log,*.socket,port}
    lab_session_archive > "$lab_session/session.cpio"
    cat "$base/initramfs" "$lab_session/session.cpio" > "$lab_session/initramfs"
    rm "$lab_session/session.cpio"
    lab_start_virtiofsd || lab_start_failed "virtiofsd does not start" virtiofsd.log
    lab_start_qemu_on_free_port || lab_start_failed "$lab_qemu does not start" qemu.log
    lab_wait_for "$lab_boot_limit" lab_connect ||
        lab_start_failed "the host did not answer within $lab_boot_limit s" console.log
    lab_process qemu >/dev/null || lab_start_failed "the host stopped while booting" console.log
    touch "$lab_session/ready"
    exec 9>&-
}

# lab_start_failed REASON LOG
lab_start_failed() {
    lab_show "$2"
    lab_stop
    lab_fail "$1"
}

# lab_show LOG: its end, to say what went wrong.
lab_show() {
    lab_say "the end of $lab_session/$1:"
    tail -n 40 "$lab_session/$1" | sed 's/\r//; s/^/  | /' >&2
}

# Ends the session's processes, and leaves its logs.
lab_stop() {
    local name pid
    for name in qemu virtiofsd; do
        pid=$(lab_process "$name") || continue
        kill -KILL "$pid" 2>/dev/null || true
        lab_wait_for 10 lab_gone "$pid" || lab_say "process $pid ($name) does not end"
    done
    rm -f "$lab_session"/{ready,*.pid,*.socket,port,key,key.pub,initramfs}
    rm -f "$lab_virtiofsd_locks/$lab_fs_socket.pid"
}

lab_gone() {
    [ ! -e "/proc/$1" ]
}

# ---- commands ----------------------------------------------------------------

# lab_quote WORD...: as one line that any shell reads as these words.
lab_quote() {
    local word
    for word in "$@"; do
        printf "'%s' " "${word//\'/\'\\\'\'}"
    done
}

# lab_environment: what of the environment goes along.
lab_environment() {
    local name
    echo "PATH=$lab_build:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for name in HOME XDG_CACHE_HOME LANG TERM ${!HUSK_*}; do
        [ -z "${!name+set}" ] || echo "$name=${!name}"
    done
}

# lab_exec [COMMAND...]: runs it (or a shell) in the lab, on the terminal if there
# is one, and returns its exit status; lab_timeout_status if lab_timeout seconds
# pass first.
lab_exec() {
    local environment line status=0 terminal=-T session=setsid began=$SECONDS
    if [ -t 0 ] && [ -t 1 ]; then
        terminal=-tt session=   # dropbear begins a session only for a terminal
    fi
    [ $# -gt 0 ] || set -- env 'PS1=(lab) \w# ' bash --norc
    lab_command_id=$BASHPID.$RANDOM
    mapfile -t environment < <(lab_environment)
    line="exec $session $(lab_quote /run/lab/busybox sh /run/lab/host-exec run \
        "$lab_command_id" "$PWD" "${environment[@]}" -- "$@")"
    [ "$lab_timeout" = 0 ] || lab_limit=(timeout --foreground "$lab_timeout")
    lab_become_ssh $terminal 127.0.0.1 "$line" <&0 &
    lab_ssh_pid=$!
    wait "$lab_ssh_pid" || status=$?
    lab_limit=()
    if [ "$lab_timeout" != 0 ] && [ $status = $lab_timeout_status ] &&
           [ $((SECONDS - began)) -ge "$lab_timeout" ]; then
        lab_show console.log
        lab_say "timed out after $lab_timeout s: $*"
        return $lab_timeout_status
    fi
    if [ $status = 255 ] && ! lab_process qemu > /dev/null; then
        lab_show console.log
        lab_say "the lab host went away"
    fi
    return $status
}

# lab_kill_command: ends what lab_exec started, in the lab and here.
lab_kill_command() {
    [ -n "${lab_ssh_pid:-}" ] || return 0
    kill "$lab_ssh_pid" 2>/dev/null || true
    lab_limit=(timeout -k 1 15)
    (lab_become_ssh -T 127.0.0.1 \
        "$(lab_quote /run/lab/busybox sh /run/lab/host-exec kill "$lab_command_id")") \
        < /dev/null &> /dev/null || lab_say "the lab host does not answer any more"
    lab_limit=()
}
