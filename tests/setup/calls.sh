#!/usr/bin/env bash
# Runs the black-box suites with every server under strace, and compares the system calls of servers and compilers with
# the seccomp lists. A test that fails only because strace makes everything slower doesn't count here: `make test` runs
# the same suites without strace.
set -euo pipefail
cd "$(dirname "$0")/../.."

NBDBOX_CALLS=$(mktemp -d)
export NBDBOX_CALLS
trap 'rm -rf "$NBDBOX_CALLS"' EXIT

for suite in protocol service plugins; do
	echo "==> calls: $suite under strace"
	cargo test --quiet --workspace --test "$suite" >"$NBDBOX_CALLS.log" 2>&1 ||
		grep '^test result' "$NBDBOX_CALLS.log" || tail -5 "$NBDBOX_CALLS.log"
done
rm -f "$NBDBOX_CALLS.log"

echo "==> calls: the seccomp lists"
cargo test --quiet --workspace --test calls -- --ignored --nocapture
