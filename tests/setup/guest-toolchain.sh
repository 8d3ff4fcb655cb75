#!/usr/bin/env bash
# The compiler for guests: Rust for wasm32-unknown-unknown. Either the installed Rust has that target, or rustup adds
# it. If rustup can't reach its server, offline/debian-rust.sh is the way.
#
#   tests/setup/guest-toolchain.sh            installs what is missing
#   tests/setup/guest-toolchain.sh --check    installs nothing; fails if something is missing
#
# NBDBOX_GUEST_TOOLCHAIN=rustup or =debian forces one way. The result is target/guest-toolchain/env, which
# plugins.sh reads. The file sets nothing if the installed Rust is the compiler.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly target=wasm32-unknown-unknown
readonly home=$PWD/target/guest-toolchain
readonly offline=tests/setup/offline/debian-rust.sh
readonly way=${NBDBOX_GUEST_TOOLCHAIN:-auto}

main() {
    mkdir -p "$home"
    # Without the lock, two runs at once (`make test` and `make demo` in two terminals) would unpack over each other.
    if command -v flock >/dev/null; then
        exec 9>"$home/lock"
        flock 9
    fi

    case $way in
    auto) has_target || debian_has_target || { may_install && { add_with_rustup || use_debian; }; } || give_up ;;
    rustup) has_target || { may_install && add_with_rustup; } || give_up ;;
    debian) debian_has_target || { may_install && use_debian; } || give_up ;;
    *) die "NBDBOX_GUEST_TOOLCHAIN=$way: set it to rustup or debian, or unset it to take the first that works" ;;
    esac
}

may_install() { [ "$mode" = install ]; }

# Each step says `|| return 1`: inside a chain of `||` the shell's own errexit is off.
has_target() {
    compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null || return 1
    say "guest toolchain: $(rustc --version), which has $target"
    write_env
}

add_with_rustup() {
    command -v rustup >/dev/null || return 1
    say "guest toolchain: rustup target add $target"
    # If the network swallows packets instead of refusing them, this doesn't wait for ever.
    RUST_BACKTRACE=0 timeout 180 rustup target add "$target" || return 1
    has_target
}

debian_has_target() {
    local settings
    settings=$("$offline" --env) || return 1
    say "guest toolchain: Debian's Rust, unpacked in target/guest-toolchain"
    write_env "$settings"
}

use_debian() {
    say "guest toolchain: the offline way, Debian's packages ($offline)"
    "$offline" || return 1
    debian_has_target
}

give_up() {
    may_install || die "the Rust compiler for guests ($target) is missing" "install it: make setup"
    die "no Rust compiler for $target." \
        "Either: rustup target add $target" \
        "Or, on Debian with its security updates enabled: apt-get update, then make setup again" \
        "(it unpacks the packages rustc-web and rust-web-src; nothing is installed)."
}

# The file is replaced only if it changes.
write_env() {
    {
        echo "# Written by tests/setup/guest-toolchain.sh: how to compile for $target."
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >"$home/env.new"
    if cmp -s "$home/env.new" "$home/env"; then rm "$home/env.new"; else mv "$home/env.new" "$home/env"; fi
}

mode=$(setup_mode "$@")
main
