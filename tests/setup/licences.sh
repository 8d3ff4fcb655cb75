#!/usr/bin/env bash
# Checks the dependencies: licences, sources, bans, and advisories if their database can be fetched.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

if ! command -v cargo-deny >/dev/null; then
    say "installing cargo-deny, once; it takes a few minutes"
    cargo install --locked cargo-deny || exit 1
fi
cargo deny --log-level error check bans licenses sources || exit 1

# A machine without general network can't fetch the database of advisories. That isn't a finding, but it must not look
# like a pass.
if timeout 120 cargo deny fetch db 2>/dev/null; then
    cargo deny --offline --log-level error check advisories
else
    say "SKIPPED: the advisories database can't be fetched here, so known holes weren't looked up"
fi
