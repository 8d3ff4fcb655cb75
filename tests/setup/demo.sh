#!/usr/bin/env bash
# Builds what the demo shows and nothing else: the program, and the two plugins that it serves. Builds both as the tests
# do, so that `make test` needn't build them again.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

say "demo, 1 of 3: two plugins, Rust to WebAssembly (a minute the first time, then nothing)"
tests/setup/plugins.sh --only sparse file

# With a test among the targets, Cargo chooses the features that the tests have. Without one, the tests would compile
# tokio and its dependents once more. This test is small, and needs nothing that the program doesn't.
say "demo, 2 of 3: nbdbox, most of which is a compiler for plugins (5 to 10 minutes on two cores the first time," \
    "then nothing)"
cargo build --workspace --bin nbdbox --test config

say "demo, 3 of 3: the show (a few seconds)"
