# SPDX-License-Identifier: Apache-2.0
#
# The cache of things that take long to make: kernels, initramfs archives, disk
# images. Sourced by tools/guest/* and tools/lab/*.
#
# An entry is a folder $cache_root/NAME/KEY. KEY is a digest of all that went
# into it, so that a changed script makes a new entry. An entry is built in a
# folder beside it and renamed into place: it is complete or it is not there.
# The whole cache may be deleted at any time; entries are then made again.

cache_root=${XDG_CACHE_HOME:-$HOME/.cache}/husk

# cache_key: digest of standard input.
cache_key() {
    sha256sum | cut -c1-16
}

# cache_entry NAME KEY COMMAND...: prints the entry's folder. When it is not there
# yet, runs "COMMAND... FOLDER" to fill it (a process of its own, so that its
# set -e means what it says), then drops NAME's older entries that nothing has
# used for a week. One builder works at a time; its output goes to stderr.
cache_entry() {
    local name=$1 key=$2 entry=$cache_root/$1/$2
    shift 2
    if [ ! -d "$entry" ]; then
        mkdir -p "$cache_root/$name"
        (
            flock 9
            [ ! -d "$entry" ] || exit 0
            rm -rf "$entry.new"
            mkdir "$entry.new" &&
                "$@" "$entry.new" >&2 9>&- &&
                mv -T "$entry.new" "$entry" || exit
            find "$cache_root/$name" -mindepth 1 -maxdepth 1 -type d ! -name "$key" \
                -mtime +7 -exec rm -rf {} +
        ) 9>"$cache_root/$name/lock" || return
    fi
    touch "$entry" 2> /dev/null || true  # a cache that cannot be written still serves
    echo "$entry"
}

# compile_freestanding MACHINE SOURCE PROGRAM: a static program without a libc, for a guest.
# What is the architecture's own, it finds in the folder of that name beside this file.
compile_freestanding() {
    local machine=$1 folder system=/
    shift
    folder=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
    [ "$machine" = "$(uname -m)" ] || system=$("$folder/../sysroot" "$machine")
    "$machine-linux-gnu-gcc" --sysroot="$system" -I"$folder/$machine" -Os -Wall -Wextra \
        -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie \
        -Wl,--build-id=none -s -o "$2" "$1"
}
