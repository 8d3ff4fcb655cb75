#!/usr/bin/env bash
# One figure per language for what a plugin costs: the same disk, served by reference from one granted
# file, by the example plugin of each language. Prints a Markdown table; guest-sdk/README.md holds one.
#
#   size      of the component
#   memory    the least --limit memory, in whole MiB, with which it is served
#   ready     from starting nbdbox, with the plugin in the compile cache, to nbdinfo's answer (best of 3)
#   reads/s   random 4 KiB reads, fio, 32 in flight on one connection, for SECONDS
source "$(dirname "${BASH_SOURCE[0]}")/../setup/prelude.sh"

readonly nbdbox=${NBDBOX_PROGRAM:-target/release/nbdbox} seconds=${SECONDS_EACH:-3} plugins=target/plugins
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
[ -x "$nbdbox" ] || die "$nbdbox isn't built: make build plugins"

# The file is a disk with one partition of 16 MiB from 1 MiB on; the others serve the same 16 MiB.
prepare() {
    head -c 17M /dev/urandom >"$folder/disk"
    echo 'start=2048, size=32768' | PATH=$PATH:/sbin sfdisk -q -X dos "$folder/disk"
    tail -c 16M "$folder/disk" >"$folder/part"
    echo '{ "regions": [{ "offset": 0, "length": 16777216, "blob": "part" }] }' >"$folder/json"
}

# What follows `serve` for each language.
arguments() {
    case $1 in
    Rust) echo "--blob disk=$folder/part:map-only $plugins/file.wasm" ;;
    C) echo "--blob disk=$folder/disk $plugins/partition.wasm" ;;
    Zig) echo "--blob part=$folder/part:map-only $plugins/concat.wasm blobs=part" ;;
    Python) echo "--blob part=$folder/part:map-only $plugins/fat.wasm files=part" ;;
    JavaScript) echo "--blob part=$folder/part:map-only --blob description=$folder/json $plugins/regions.wasm" ;;
    esac
}

# The file's first byte in the FAT volume is after its tables; the others begin with it.
offset() { if [ "$1" = Python ]; then echo 544768; else echo 0; fi; }

serve() { # LANGUAGE COMMAND [OPTION…]
    # shellcheck disable=SC2046
    "$nbdbox" serve "${@:3}" $(arguments "$1") --run "$2" 2>/dev/null
}

least_memory() {
    local mib
    for mib in $(seq 1 64); do
        serve "$1" true --limit "memory=${mib}MiB" && echo "$mib" && return
    done
}

ready() {
    local start best=999999 took
    for _ in 1 2 3; do
        start=$(date +%s%N)
        # shellcheck disable=SC2016 # the shell that nbdbox runs puts the address in
        serve "$1" 'nbdinfo --size "$uri" >&2'
        took=$((($(date +%s%N) - start) / 1000000))
        [ "$took" -ge "$best" ] || best=$took
    done
    echo "$best"
}

reads() {
    # shellcheck disable=SC2016 # the shell that nbdbox runs puts the address in
    local fio='fio --name=r --ioengine=nbd --uri="$uri" --rw=randread --bs=4k --iodepth=32 --time_based
        --size=16M --output-format=terse --terse-version=3'
    serve "$1" "${fio//$'\n'/ } --runtime=$seconds --offset=$(offset "$1")" | grep '^3;' | cut -d';' -f8
}

main() {
    prepare
    echo '| Language | component | least memory | ready | reads/s |'
    echo '|---|---|---|---|---|'
    local language plugin
    for language in Rust C Zig Python JavaScript; do
        plugin=$(arguments "$language" | grep -o '[^ ]*\.wasm')
        serve "$language" true # Compiled once; that isn't measured.
        printf '| %s | %s | %s MiB | %s ms | %s |\n' "$language" "$(numfmt --to=iec "$(stat -c %s "$plugin")")" \
            "$(least_memory "$language")" "$(ready "$language")" "$(reads "$language")"
    done
}

main
