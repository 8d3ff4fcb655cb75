#!/usr/bin/env bash
# Checks the code without running it: format, lints, documentation, shell scripts. Makes all checks, then fails if any
# of them failed.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly wasm=wasm32-unknown-unknown
# The workspaces of the guests, the fuzz targets and the models are separate from the root's.
readonly workspaces=(. example-plugins tests/guests tests/fuzz tests/interleavings)
failed=()

main() {
    check "format" every_workspace cargo fmt --all --check
    check "lints" cargo clippy --workspace --all-targets -- -D warnings
    check "lints of the guests" lint_guests
    check "no I/O and no clock in the pure crates" pure_crates
    check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    check "shell scripts" shell_scripts

    [ "${#failed[@]}" -eq 0 ] || die "failed:$(printf ' %s;' "${failed[@]}")"
}

check() {
    local name=$1
    shift
    say "check: $name"
    "$@" || failed+=("$name")
}

every_workspace() {
    local folder outcome=0
    for folder in "${workspaces[@]}"; do
        [ -e "$folder/Cargo.toml" ] || continue
        (cd "$folder" && "$@") || outcome=1
    done
    return "$outcome"
}

# Clippy brings its own compiler, so this needs a Rust that has the target itself.
lint_guests() {
    local folder outcome=0
    if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$wasm/lib/libstd-*.rlib" >/dev/null; then
        say "SKIPPED: the guests are compiled with Debian's Rust here, which has no clippy for $wasm"
        return
    fi
    for folder in example-plugins tests/guests; do
        [ -e "$folder/Cargo.toml" ] || continue
        (cd "$folder" && CARGO_TARGET_DIR=$OLDPWD/target/guests \
            cargo clippy --release --workspace --target "$wasm" -- -D warnings) || outcome=1
    done
    return "$outcome"
}

# Compiles the crates with core and alloc alone, so that neither they nor their dependencies can use std.
pure_crates() (
    # shellcheck source=/dev/null
    source target/guest-toolchain/env
    libraries=lib/rustlib/$wasm/lib
    sysroot=$PWD/target/guests/without-std
    rm -rf "$sysroot" && mkdir -p "$sysroot/$libraries" || return 1
    ln -s "$("${RUSTC:-rustc}" --print sysroot)/$libraries"/lib{core,alloc,compiler_builtins}-* \
        "$sysroot/$libraries" || return 1
    CARGO_TARGET_DIR=target/guests RUSTFLAGS="--sysroot $sysroot" \
        cargo build -p extent-map -p nbd-proto --target "$wasm"
)

shell_scripts() {
    git ls-files '*.sh' .ci/run | xargs shellcheck
}

main
