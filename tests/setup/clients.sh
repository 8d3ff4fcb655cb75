#!/usr/bin/env bash
# The programs that nbdbox is built and tested with: Rust, a C and C++ compiler, and the real NBD
# clients. Asks Debian's package manager only for what is missing, so a second run is instant and
# needs no network.
#
#   tests/setup/clients.sh            installs what is missing, as root or with sudo
#   tests/setup/clients.sh --check    installs nothing; fails if something is missing
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

mode=$(setup_mode "$@")

# The folders of the file systems' tools, which aren't on every user's path.
PATH=$PATH:/usr/sbin:/sbin

# program → Debian package. nbdsh comes with the Python binding; the C++ compiler builds libFuzzer.
readonly programs=(
    nbdkit:nbdkit
    nbdinfo:libnbd-bin
    nbdcopy:libnbd-bin
    nbdsh:python3-libnbd
    qemu-img:qemu-utils
    qemu-io:qemu-utils
    qemu-nbd:qemu-utils
    fio:fio
    strace:strace
    curl:curl
    systemd-analyze:systemd
    sfdisk:fdisk
    mcopy:mtools
    fsck.vfat:dosfstools
    zstd:zstd
    shellcheck:shellcheck
    gcc:gcc
    g++:g++
)

# Debian's libnbd binding belongs to Debian's interpreter; another python3 that comes first on PATH (pyenv's, say)
# doesn't see it.
python_sees_libnbd() { /usr/bin/python3 -c 'import nbd' 2>/dev/null; }

# A test reads the admin listener's answers with this parser.
python_reads_metrics() { /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null; }

missing_packages() {
    local entry
    for entry in "${programs[@]}"; do
        command -v "${entry%%:*}" >/dev/null || echo "${entry#*:}"
    done
    [ -x /usr/bin/python3 ] || echo python3
    python_sees_libnbd || echo python3-libnbd
    python_reads_metrics || echo python3-prometheus-client
    # A compiler without the C library's headers can't build wasmtime's helpers.
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    # cargo needs authorities to trust.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -d /etc/pki/tls/certs ] || echo ca-certificates
}

check_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null ||
        die "Rust is missing: install Rust $wanted or later, preferably with rustup."
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        die "Rust $found is too old, nbdbox needs $wanted or later: rustup update stable"
}

check_rust

mapfile -t packages < <(missing_packages | sort -u)
if [ "${#packages[@]}" -eq 0 ]; then
    say "clients: nbdkit, libnbd, qemu, fio, strace and the compilers are there"
    exit 0
fi

[ "$mode" = install ] || die "these are missing (Debian's names): ${packages[*]}" "install them: make setup"

by_hand="install these by hand (Debian's names): ${packages[*]}"
command -v apt-get >/dev/null || die "this isn't Debian or a relative of it" "$by_hand"
say "clients: installing ${packages[*]}"
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
# One unreachable source doesn't matter if the others have the packages.
as_root "${apt[@]}" update || say "clients: the package lists can't be refreshed, trying those at hand"
as_root "${apt[@]}" install -y --no-install-recommends "${packages[@]}" ||
    die "apt-get can't install the missing packages (no root, or no network)" "$by_hand"

mapfile -t packages < <(missing_packages | sort -u)
[ "${#packages[@]}" -eq 0 ] || die "still missing after the installation: ${packages[*]}"
