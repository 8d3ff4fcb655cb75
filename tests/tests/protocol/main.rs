//! The protocol as clients see it: point by point, with real clients, over TLS, with clients that misbehave, and the
//! system calls of a read.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod smoke;

mod conformance;

mod clients;
mod tls;

mod bad_clients;
mod syscalls;
