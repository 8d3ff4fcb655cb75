#!/usr/bin/env bash
# The offline way to a compiler for guests, for a machine that reaches a Debian mirror but not rustup's server. It
# unpacks Debian's `rustc-web` into target/guest-toolchain/debian, installs nothing, and builds that compiler's std for
# wasm32-unknown-unknown once. guest-toolchain.sh calls it.
#
#   tests/setup/offline/debian-rust.sh          makes the compiler
#   tests/setup/offline/debian-rust.sh --env    prints the settings that make cargo use it; fails if it isn't there
source "$(dirname "${BASH_SOURCE[0]}")/../prelude.sh"

readonly target=wasm32-unknown-unknown
readonly home=$PWD/target/guest-toolchain
readonly debian=$home/debian

print_env() {
    compgen -G "$debian/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null || return 1
    "$debian/rustc" --version >/dev/null 2>&1 || return 1
    local linker
    linker=$(wasm_linker) || return 1
    echo "export RUSTC='$debian/rustc'"
    echo "export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$linker'"
}

# Debian's rustc comes without rust-lld. rustup's toolchains have it, and Debian's `lld` is as good.
wasm_linker() {
    local lld
    lld=$(rustc --print sysroot)/lib/rustlib/$(host_triple)/bin/rust-lld
    if [ -x "$lld" ]; then
        echo "$lld"
    else
        command -v rust-lld || command -v wasm-ld
    fi
}

host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# Each step says `|| return 1`: the caller's `||` switches the shell's own errexit off.
unpack() {
    command -v apt-get >/dev/null || return 1
    wasm_linker >/dev/null || die "no linker for wasm: install Debian's package lld"
    say "guest toolchain: unpacking Debian's rustc-web (about 140 MB, a minute or two)"

    # Built aside and moved into place in one step: an interrupted run leaves nothing half done.
    local work=$home/unfinished
    rm -rf "$work"
    mkdir -p "$work/packages"
    download_packages "$work/packages" || return 1
    local package
    for package in "$work"/packages/*.deb; do
        dpkg-deb -x "$package" "$work/root" || return 1
    done
    write_rustc_wrapper "$work/root/usr"
    build_std "$work/root/usr" "$work/std" || return 1

    # The rest is a compiler with one more target; it doesn't need its sources any more.
    rm -rf "$work/root/usr/src" "$work/root/usr/share" "$debian"
    mv "$work/root/usr" "$debian" || return 1
    rm -rf "$work"
    write_rustc_wrapper "$debian"
}

# Compiler and sources must have the same version. Security updates change the version that the mirror has, so the names
# that carry a version are read from the packages' own dependencies.
download_packages() {
    local folder=$1 version wanted std llvm
    if [ -z "$(candidate rustc-web)" ]; then
        as_root apt-get -q update || return 1
    fi
    version=$(candidate rustc-web)
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! dpkg --compare-versions "${version:-0}" ge "$wanted"; then
        say "guest toolchain: Debian's rustc-web is ${version:-not available}, but nbdbox needs $wanted or later"
        return 1
    fi
    std=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    llvm=$(dependency "$std" 'libllvm[0-9]*')
    # LLVM's own libraries, as far as this machine lacks them.
    local libraries=()
    mapfile -t libraries < <(apt-get -s --no-install-recommends install "$llvm" | awk '/^Inst/ { print $2 }')

    local packages=("rustc-web=$version" "libstd-rust-web-dev=$version" "$std=$version"
        "rust-web-src=$version" "${libraries[@]}")
    # Package lists from before the last security update name files that are gone, so refresh them once.
    download "$folder" "${packages[@]}" ||
        { as_root apt-get -q update && download "$folder" "${packages[@]}"; }
}

# As root, apt would warn that its helper user can't write here. The setting has no other effect.
download() (cd "$1" && apt-get -q -o APT::Sandbox::User=root download "${@:2}")

candidate() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p'; }

dependency() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

# With this wrapper only rustc finds its libraries beside itself.
write_rustc_wrapper() {
    local usr=$1 libraries
    libraries=$(dirname "$(find "$usr/lib" -name 'librustc_driver-*.so' | head -n 1)")
    cat >"$usr/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$usr/bin/rustc' "\$@"
EOF
    chmod +x "$usr/rustc"
}

# Debian ships no std for this target, but its source. cargo builds it once, with the unstable
# -Zbuild-std; put into the sysroot, it serves plain stable cargo from then on. Guests are linked with
# LTO, which needs the bitcode that cargo leaves out by default.
build_std() {
    local usr=$1 folder=$2 library
    library=$(echo "$usr"/src/rustc-*/library)
    say "guest toolchain: building std for $target"
    mkdir -p "$folder/src"
    printf '[package]\nname = "std-for-guests"\nedition = "2024"\n\n[workspace]\n' >"$folder/Cargo.toml"
    echo '//! Empty: only what it depends on matters.' >"$folder/src/lib.rs"
    env -u RUSTC_WRAPPER RUSTC="$usr/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
        __CARGO_TESTS_ONLY_SRC_ROOT="$library" CARGO_TARGET_DIR="$folder/target" \
        cargo build --manifest-path "$folder/Cargo.toml" --release --target "$target" \
        -Zbuild-std=std,panic_abort || return 1
    mkdir -p "$usr/lib/rustlib/$target/lib"
    cp "$folder/target/$target/release/deps/"*.rlib "$usr/lib/rustlib/$target/lib/" || return 1
    rm -f "$usr/lib/rustlib/$target/lib/"libstd_for_guests-*.rlib
}

case ${1-} in
"") unpack || die "Debian's Rust can't be unpacked here" ;;
--env) print_env || exit 1 ;;
*) die "usage: ${0##*/} [--env]" ;;
esac
