#!/usr/bin/env bash
# Builds what the tests and the demo run: the workspace and, at the same time, the guests. The guests' output goes to
# target/guests.log; the script prints it if their build fails.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly log=target/guests.log
mkdir -p target

say "build: the guests (output in $log), and the workspace beside them"
{ tests/setup/plugins.sh && tests/setup/plugins-kits.sh; } >"$log" 2>&1 &
guests=$!

workspace=0
cargo test --workspace --no-run || workspace=$?

say "build: waiting for the guests"
wait "$guests" || {
    cat "$log"
    die "the guests can't be built: see above"
}
[ "$workspace" -eq 0 ] || exit "$workspace"
