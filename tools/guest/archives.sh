# SPDX-License-Identifier: Apache-2.0
#
# Debian's archives, for trees of packages that are made beside this machine's own: what it knows of
# them (where they are, how they are reached) serves every architecture, and its own packages and
# architectures are left alone. Sourced by tools/guest/*, tools/lab/* and tools/sysroot.

suite=bookworm

# debian_architecture MACHINE: Debian's name of what uname -m calls MACHINE.
debian_architecture() {
    case $1 in
    x86_64) echo amd64;;
    aarch64) echo arm64;;
    *) echo "no such architecture: $1 (there are: x86_64 aarch64)" >&2; return 2;;
    esac
}

# The Debian archives this machine itself uses, as sources.list lines.
debian_sources() {
    apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' | grep -E " $suite(-updates|-security)? " | sort -u |
        grep . || {
        echo "apt knows no archive of Debian $suite; try: apt-get update" >&2
        return 1
    }
}

# The apt settings of this machine that reaching those archives may need, as
# options for mmdebstrap.
apt_options() {
    apt-config dump | grep -iE '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' |
        sed 's/^/--aptopt=/; s/;$//'
}

# debian_tree FOLDER OPTION...: mmdebstrap makes FOLDER of those archives.
debian_tree() {
    local folder=$1 settings sources
    shift
    mapfile -t settings < <(apt_options)
    sources=$(debian_sources) || return
    mmdebstrap --mode=root --format=directory "${settings[@]}" "$@" "$suite" "$folder" - \
        <<< "$sources"
}

# debian_unpack ARCHITECTURE FOLDER PACKAGE...: the packages and what they depend on, unpacked.
# Nothing of them is run, so that it may be a foreign architecture. Names are Debian's.
debian_unpack() {
    local architecture=$1 folder=$2
    shift 2
    [ "$(id -u)" = 0 ] || {
        echo "must run as root, to make files that belong to root" >&2
        return 1
    }
    debian_tree "$folder" --variant=extract --architectures="$architecture" --include="$*" \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --quiet
}

# apt_of ARCHITECTURE FOLDER: from here on apt's programs are about another architecture's packages,
# with all that they keep in FOLDER.
apt_of() {
    local architecture=$1 folder=$2
    mkdir -p "$folder/lists/partial"
    debian_sources > "$folder/sources.list"
    cat > "$folder/apt.conf" <<END
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State "$folder";
Dir::State::Status "/dev/null";
Dir::Cache "$folder";
Dir::Etc::SourceList "$folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
END
    export APT_CONFIG=$folder/apt.conf
    apt-get update -qq
}
