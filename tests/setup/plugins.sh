#!/usr/bin/env bash
# Compiles the guests: example-plugins/ into target/plugins/NAME.wasm, the misbehaving ones of
# tests/guests/ into target/test-guests/NAME.wasm. They are core modules with their component type
# inside, as cargo leaves them: nbdbox makes components of them at load.
#
#   tests/setup/plugins.sh                    all of them
#   tests/setup/plugins.sh --only NAME…       these of example-plugins/, with the same features
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly target=wasm32-unknown-unknown
root=$PWD

[ -e target/guest-toolchain/env ] || die "no guest toolchain yet: make setup"
# shellcheck source=/dev/null
source target/guest-toolchain/env

# Builds the modules of one workspace, those packages that cargo's words choose, and copies what changed.
build_guests() {
    local workspace=$1 outcome=$2 module copy
    shift 2
    [ -e "$workspace/Cargo.toml" ] || return 0
    say "plugins: $workspace → $outcome"
    mkdir -p "$outcome"
    # cargo names what it made on stdout, and shows its progress on stderr. It runs inside the
    # workspace so that a .cargo/config.toml there counts.
    (cd "$workspace" && CARGO_TARGET_DIR=$root/target/guests cargo build --release --target "$target" \
        "$@" --message-format=json-render-diagnostics) >"$outcome/.built"
    while read -r module; do
        copy=$outcome/$(basename "$module" | tr _ -)
        cmp -s "$module" "$copy" || cp "$module" "$copy"
    done < <(grep -o '"filenames":\[[^]]*\]' "$outcome/.built" | grep -o '[^"]*\.wasm')
    rm "$outcome/.built"
}

if [ "${1-}" = --only ]; then
    shift
    build_guests example-plugins target/plugins "${@/#/--package=}"
else
    build_guests example-plugins target/plugins --workspace
    build_guests tests/guests target/test-guests --workspace
fi
