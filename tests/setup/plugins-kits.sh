#!/usr/bin/env bash
# Builds the example plugins that aren't Rust: target/plugins/NAME.wasm. Each is built anew only when one of
# its inputs is newer.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly kits=target/guest-kits
readonly zig=("$kits/python/bin/python" -m ziglang)
readonly plugins=target/plugins
mkdir -p "$plugins" target/test-guests

# newer OUTPUT INPUT…: whether a file of the inputs is newer than the output.
newer() {
    local output=$1
    shift
    [ ! -e "$output" ] || [ -n "$(find "$@" "$kits"/*.versions tests/setup/plugins-kits.sh \
        -type f -not -name '*.pyc' -newer "$output" -print -quit)" ]
}

# c OUTPUT WORLD SOURCE [FLAG…]
c() {
    local output=$1 world=guest-sdk/c/$2 source=$3
    newer "$output" guest-sdk/c "$source" wit || return 0
    say "plugins: $source → $output"
    "${zig[@]}" cc -target wasm32-wasi -mexec-model=reactor -Os -s -Wall -Wextra -Werror \
        -Wl,-z,stack-size=65536 -Iguest-sdk/c "-I$world" "${@:4}" -o "$output" \
        "$source" "$world/plugin.c" "$world/plugin_component_type.o" || die "$source doesn't compile"
}

# cpp OUTPUT WORLD SOURCE [FLAG…]: the plugin as C++, the bindings as C.
cpp() {
    local output=$1 world=guest-sdk/c/$2 source=$3
    local flags=(-target wasm32-wasi -Os -Wall -Wextra -Werror -Iguest-sdk/c "-I$world" "${@:4}")
    newer "$output" guest-sdk/c "$source" wit || return 0
    say "plugins: $source, as C++ → $output"
    "${zig[@]}" cc "${flags[@]}" -c -o "$output.o" "$world/plugin.c" || die "$world/plugin.c doesn't compile"
    "${zig[@]}" c++ "${flags[@]}" -std=c++20 -fno-exceptions -fno-rtti -s \
        -mexec-model=reactor -Wl,-z,stack-size=65536 -o "$output" -x c++ "$source" -x none \
        "$output.o" "$world/plugin_component_type.o" || die "$source doesn't compile as C++"
    rm -f "$output.o"
}

c "$plugins/partition.wasm" read-only example-plugins/partition/partition.c
cpp target/test-guests/partition-cpp.wasm read-only example-plugins/partition/partition.c
c target/test-guests/c-disk.wasm read-write tests/guests/c-disk/c-disk.c -DNBDBOX_READ_WRITE_WORLD
cpp target/test-guests/cpp-disk.wasm read-write tests/guests/cpp-disk/cpp-disk.cpp -DNBDBOX_READ_WRITE_WORLD

# python OUTPUT WORLD FOLDER MODULE: FOLDER/MODULE.py, with the kit beside it.
python() {
    local output=$1 world=$2 folder=$3 module=$4
    newer "$output" guest-sdk/python "$folder" wit || return 0
    say "plugins: $folder → $output"
    "$kits/python/bin/componentize-py" -d wit -w "$world" componentize --stub-wasi \
        -p guest-sdk/python -p "$folder" "$module" -o "$output" >"$output.log" ||
        { cat "$output.log" >&2 && die "$folder can't be made a component"; }
    rm -f "$output.log"
}

python "$plugins/fat.wasm" read-only example-plugins/fat fat
python target/test-guests/py-disk.wasm read-write tests/guests/py-disk py_disk

# typescript OUTPUT WORLD FOLDER: FOLDER/NAME.ts, checked and compiled by tsc as FOLDER/tsconfig.json says.
typescript() {
    local output=$1 world=$2 folder=$3 name built=target/guest-kits/built
    local node=(env "PATH=$PWD/$kits/node/node_modules/.bin:$PATH")
    name=$(basename "$folder")
    newer "$output" guest-sdk/js "$folder" wit || return 0
    say "plugins: $folder → $output"
    "${node[@]}" tsc -p "$folder" --outDir "$built" || die "$folder doesn't compile"
    mkdir -p "$built/guest-sdk/js"
    cp guest-sdk/js/nbdbox.js "$built/guest-sdk/js/"
    "${node[@]}" componentize-js "$built/$folder/$name.js" -w wit -n "$world" \
        -d stdio random clocks http fetch-event -o "$output" >"$output.log" 2>&1 ||
        { cat "$output.log" >&2 && die "$folder can't be made a component"; }
    rm -f "$output.log"
}

typescript "$plugins/regions.wasm" read-only example-plugins/regions
typescript target/test-guests/js-disk.wasm read-write tests/guests/js-disk

# zig OUTPUT WORLD SOURCE [FLAG…]: the C kit's header translated, its exports compiled as C.
zig() {
    local output=$1 world=guest-sdk/c/$2 source=$3 kit=$kits/nbdbox-$2.zig
    newer "$output" guest-sdk/c guest-sdk/zig "$source" wit || return 0
    say "plugins: $source → $output"
    "${zig[@]}" translate-c -target wasm32-wasi -lc -DNBDBOX_DECLARATIONS -Iguest-sdk/c "-I$world" \
        "${@:4}" guest-sdk/c/nbdbox.h >"$kit" || die "the C kit can't be translated"
    "${zig[@]}" build-exe -target wasm32-wasi -lc -mexec-model=reactor -OReleaseSmall -fstrip --stack 65536 \
        -femit-bin="$output" -Iguest-sdk/c "-I$world" "${@:4}" "$world/plugin.c" guest-sdk/zig/exports.c \
        "$world/plugin_component_type.o" --dep nbdbox "-Mroot=$source" -lc -target wasm32-wasi \
        "-Mnbdbox=$kit" || die "$source doesn't compile"
}

zig "$plugins/concat.wasm" read-only example-plugins/concat/concat.zig
zig target/test-guests/zig-disk.wasm read-write tests/guests/zig-disk/zig-disk.zig -DNBDBOX_READ_WRITE_WORLD
