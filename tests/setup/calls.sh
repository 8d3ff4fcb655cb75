#!/usr/bin/env bash
# Runs the black-box suites with every nbdbox under strace, and compares the system calls of servers and compilers with
# the seccomp lists. Tests that attach a strace of their own fail here, since a process has one tracer; `make test` runs
# the same suites without.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export NBDBOX_CALLS=$folder/records
mkdir "$NBDBOX_CALLS"

# strace becomes a grandchild (-D), so the program keeps its process id and its parent.
wrapper=$folder/nbdbox
cat >"$wrapper" <<END
#!/bin/sh
exec strace -D -f -ff -q -n -s 64 -o "$NBDBOX_CALLS/\$\$" "$PWD/target/debug/nbdbox" "\$@"
END
chmod +x "$wrapper"

for suite in protocol service plugins; do
	echo "==> calls: $suite under strace"
	NBDBOX_PROGRAM=$wrapper cargo test --quiet --workspace --test "$suite" >"$folder/log" 2>&1 || true
	grep '^test result' "$folder/log"
done

echo "==> calls: the seccomp lists"
cargo test --quiet --workspace --test calls -- --ignored --nocapture
