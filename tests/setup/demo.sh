#!/usr/bin/env bash
# Builds what the demo shows and nothing else: the program, and the two plugins that it serves. Both as the tests are
# built, so that `make test` has nothing of it to do again.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

say "demo, 1 of 3: two plugins, Rust to WebAssembly (a minute the first time, then nothing)"
tests/setup/plugins.sh --only sparse file

# A test among the targets makes Cargo choose the features that the tests have: without one, tokio and what stands on it
# would be compiled once more for them. This one is small, and needs nothing that the program doesn't.
say "demo, 2 of 3: nbdbox, of which a compiler for plugins is the most (5 to 10 minutes on two cores the first time," \
    "then nothing)"
cargo build --workspace --bin nbdbox --test config

say "demo, 3 of 3: the show (a few seconds)"
