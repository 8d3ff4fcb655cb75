#!/usr/bin/env bash
# Fuzzes the targets of fuzz_targets/, all or those named, FUZZ_SECONDS each (60 unless set).
#
#   tests/fuzz/run.sh                 every target
#   tests/fuzz/run.sh --light         all but `load`, which brings in wasmtime
#   tests/fuzz/run.sh handshake       one of them
#
# corpus/TARGET holds the few seeds worth keeping in git; what a run finds goes to
# target/fuzz/corpus/TARGET, and an input that fails to target/fuzz/failures/TARGET.
#
# cargo-fuzz would need a nightly compiler. All that it adds is LLVM's coverage instrumentation, and
# stable rustc passes that on to LLVM as well; libfuzzer-sys brings the engine.
source "$(dirname "${BASH_SOURCE[0]}")/../setup/prelude.sh"

readonly seconds=${FUZZ_SECONDS:-60}
readonly out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz passes: counters for every edge, and the operands of comparisons, which let the
# engine find magic numbers.
readonly instrumentation="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"

targets=("$@")
if [ "${1:---all}" = --all ] || [ "$1" = --light ]; then
    targets=()
    for source in tests/fuzz/fuzz_targets/*.rs; do
        target=$(basename "$source" .rs)
        [ "$target" = load ] && [ "${1:-}" = --light ] || targets+=("$target")
    done
fi

# With --target named, the flags reach the targets but not the build scripts.
build() {
    RUSTFLAGS=$instrumentation CARGO_TARGET_DIR=$out/build cargo build \
        --manifest-path tests/fuzz/Cargo.toml --target "$host" "$@"
}

say "fuzz: building ${targets[*]}"
light=()
for target in "${targets[@]}"; do
    [ "$target" = load ] || light+=("--bin=$target")
done
[ "${#light[@]}" -eq 0 ] || build --release "${light[@]}"
if [ "${#light[@]}" -lt "${#targets[@]}" ]; then
    say "fuzz: building load, with wasmtime in it: ten minutes, the first time"
    build --profile load --features load --bin load
fi

# The folder in which a target was left.
profile_of() { if [ "$1" = load ]; then echo load; else echo release; fi; }

failed=()
for target in "${targets[@]}"; do
    say "fuzz: $target, $seconds s"
    mkdir -p "$out/corpus/$target" "$out/failures/$target"
    corpora=("$out/corpus/$target")
    [ -d "tests/fuzz/corpus/$target" ] && corpora+=("tests/fuzz/corpus/$target")
    # Of libFuzzer's chatter the pulse stays, not each new input nor the dictionary. An input that
    # takes ten seconds or 2 GiB is a finding too: nothing here has a reason to.
    "$out/build/$host/$(profile_of "$target")/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$out/failures/$target/" "${corpora[@]}" 2>&1 |
        { grep --line-buffered -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|RELOAD) |NEW_FUNC|^"|^######' || true; } ||
        failed+=("$target")
done

[ "${#failed[@]}" -eq 0 ] ||
    die "failed: ${failed[*]}" "the input is in target/fuzz/failures/; give it as the only argument to" \
        "target/fuzz/build/$host/release/TARGET (load/load for load) to run it alone"
