#!/usr/bin/env bash
# What nbdbox is about, in a few commands, each of which is shown before it runs: copy any of them into a
# shell at the repository's root. `make demo` builds what this needs.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly nbdbox=target/debug/nbdbox
readonly disk=target/demo.img
readonly copy=target/demo-copy.img

main() {
    need "$nbdbox" "tests/setup/demo.sh"
    need target/plugins/file.wasm "tests/setup/demo.sh"
    trap 'rm -f "$disk" "$copy"' EXIT

    step "A plugin is a WebAssembly file, here target/plugins/sparse.wasm. What can this one do?"
    show "$nbdbox inspect sparse | grep -E '^(plugin|features)'"

    step "Serve it, for as long as one command runs, to a real client."
    show "$nbdbox serve sparse size=1G --run 'nbdinfo --map --totals \"\$uri\"'"

    if "$nbdbox" map --help >/dev/null 2>&1; then
        step "Where is its data?"
        show "$nbdbox map --picture sparse size=128K runlength=4K"
    fi

    step "The point: this plugin may say where a disk's bytes are, and can't read one (map-only)."
    show "truncate -s 64M $disk && head -c 4M /dev/urandom | dd of=$disk bs=1M seek=32 conv=notrunc status=none"
    show "$nbdbox serve --blob disk=$disk:map-only file \\
    --run 'qemu-img convert -f raw -O raw \"\$uri\" $copy' && cmp $disk $copy && echo 'the same 64 MiB'"

    step "What isn't granted can't be reached. This is refused before anything is served:"
    refused "$nbdbox serve file --run 'nbdinfo \"\$uri\"'"
}

need() {
    [ -e "$1" ] && return
    printf 'demo: %s is missing: run make demo, or %s\n' "$1" "$2" >&2
    exit 1
}

step() { printf '\n# %s\n' "$1"; }

# Shows a command and runs it.
show() {
    printf '$ %s\n' "$1"
    bash -euo pipefail -c "$1"
}

# Shows a command that has to fail, with its words.
refused() {
    printf '$ %s\n' "$1"
    if bash -c "$1" 2>&1; then
        echo "demo: that should have been refused" >&2
        exit 1
    fi
}

main
