#!/usr/bin/env bash
# Measures what a plugin costs in each language. Each plugin is the folder that `nbdbox new` makes, unchanged: a
# disk on which every byte is its offset modulo 251, computed by the plugin. Prints a Markdown table;
# guest-sdk/README.md has one, and explains it.
#
#   first byte  the time of `nbdbox new`, `make`, and the start of a server until nbdinfo has its answer. The
#               language's compiler is installed, but its caches are empty: C and Zig build a libc, Rust builds its
#               dependencies
#   again       the time of `make` after a change of the source, and of the start, until nbdinfo has its answer
#   component   the size of the component
#   memory      the most memory that an instance had, in reads of 16 MiB
#   ready       the time from the start of nbdbox, with the plugin in the compile cache, until nbdinfo has its
#               answer; the best of 3
#   calls/s     calls of `read` of 4 KiB, one after the other, without a client (`nbdbox test --only speed`)
#   reads/s     random reads of 4 KiB by fio, 32 in flight on one connection, for SECONDS_EACH
source "$(dirname "${BASH_SOURCE[0]}")/../setup/prelude.sh"

nbdbox=$(realpath "${NBDBOX_PROGRAM:-target/release/nbdbox}")
readonly nbdbox seconds=${SECONDS_EACH:-3} kits=$PWD/target/guest-kits
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
[ -x "$nbdbox" ] || die "$nbdbox isn't built: make build plugins"
export NBDBOX=$nbdbox ZIG="$kits/python/bin/python -m ziglang" CARGO_NET_OFFLINE=true
export COMPONENTIZE_PY=$kits/python/bin/componentize-py XDG_CACHE_HOME=$folder/cache
# shellcheck source=/dev/null
source target/guest-toolchain/env

now() { date +%s%N; }

seconds_since() { milliseconds_since "$1" | awk '{ printf "%.1f s\n", $1 / 1000 }'; }

milliseconds_since() { echo $((($(now) - $1) / 1000000)); }

# make_plugin LANGUAGE: makes $folder/LANGUAGE/disk.wasm. Prints the time until a client has read from it, in seconds.
make_plugin() {
    local start
    start=$(now)
    "$nbdbox" new --lang "$1" "$folder/$1/disk" >/dev/null
    case $1 in js | ts) ln -s "$kits/node/node_modules" "$folder/$1/disk/node_modules" ;; esac
    make -s -C "$folder/$1/disk" >"$folder/log" 2>&1 || die "$(cat "$folder/log")"
    # shellcheck disable=SC2016 # the shell that nbdbox runs expands $uri
    serve "$1" 'nbdinfo --size "$uri" >&2'
    seconds_since "$start"
}

# again LANGUAGE: prints the same time after a change of the source.
again() {
    local start
    touch "$folder/$1"/disk/disk.* "$folder/$1"/disk/src/lib.rs 2>/dev/null || true
    rm "$folder/$1/disk/disk.wasm"
    start=$(now)
    make -s -C "$folder/$1/disk" >"$folder/log" 2>&1 || die "$(cat "$folder/log")"
    # shellcheck disable=SC2016 # the shell that nbdbox runs expands $uri
    serve "$1" 'nbdinfo --size "$uri" >&2'
    seconds_since "$start"
}

# serve LANGUAGE COMMAND: serves the plugin while the command runs.
serve() {
    "$nbdbox" serve "$folder/$1/disk/disk.wasm" size=16M --run "$2" 2>/dev/null
}

# ready LANGUAGE: prints the time until a server with a warm cache has answered, in milliseconds.
ready() {
    local start best=999999 took
    for _ in 1 2 3; do
        start=$(now)
        # shellcheck disable=SC2016 # the shell that nbdbox runs expands $uri
        serve "$1" 'nbdinfo --size "$uri" >&2'
        took=$(milliseconds_since "$start")
        [ "$took" -ge "$best" ] || best=$took
    done
    echo "$best ms"
}

# verdict LANGUAGE RULE…: prints the result of `nbdbox test` for the last rule.
verdict() {
    local rules=() rule
    for rule in "${@:2}"; do rules+=(--only "$rule"); done
    "$nbdbox" test --seed 1 "${rules[@]}" "$folder/$1/disk/disk.wasm" size=16M | grep "${!#} " |
        awk '{ $1 = $2 = ""; print }'
}

# reads LANGUAGE: prints the reads a second.
reads() {
    # shellcheck disable=SC2016 # the shell that nbdbox runs expands $uri
    local fio='fio --name=r --ioengine=nbd --uri="$uri" --rw=randread --bs=4k --iodepth=32 --time_based
        --size=16M --output-format=terse --terse-version=3'
    serve "$1" "${fio//$'\n'/ } --runtime=$seconds" | grep '^3;' | cut -d';' -f8
}

main() {
    echo '| Language | first byte | again | component | memory | ready | calls/s | reads/s |'
    echo '|---|---|---|---|---|---|---|---|'
    local language first
    for language in rust c cpp zig python js ts; do
        first=$(make_plugin "$language")
        printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$language" "$first" "$(again "$language")" \
            "$(numfmt --to=iec "$(stat -c %s "$folder/$language/disk/disk.wasm")")" \
            "$(verdict "$language" read-largest memory | sed 's/ of .*//; s/^ *//')" "$(ready "$language")" \
            "$(verdict "$language" speed | awk '{ print $1 }')" "$(reads "$language")"
    done
}

main
