#!/usr/bin/env bash
# Runs the models, all of them or those whose names contain the argument.
#
#   tests/interleavings/run.sh                    every model, for less than a minute
#   SCHEDULES=100000 tests/interleavings/run.sh   this many schedules of each kind, without a limit of time
#   SCHEDULE=9103… tests/interleavings/run.sh a_closed_pool   one model in the schedule that a failure printed
source "$(dirname "${BASH_SOURCE[0]}")/../setup/prelude.sh"

say "interleavings: ${SCHEDULES:-up to 5,000} schedules of each kind and model"
CARGO_TARGET_DIR=target/interleavings cargo test --release --manifest-path tests/interleavings/Cargo.toml \
    --test models -- "$@"
