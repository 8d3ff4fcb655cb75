//! The rules of the protocol: each point of `CHECKLIST.md`, from the handshake to extended headers, and the page of
//! the specification's sentences, `SPEC.md`.

mod coverage;
mod spec;

mod handshake;
mod metadata;
mod options;
mod tls_off;

mod many;
mod ordering;
mod ranges;
mod requests;
mod sizes;

mod block_status;
mod extended;
mod reads;
