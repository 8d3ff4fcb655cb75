//! The harness of the black-box tests: starts the real program with real plugins, and connects real clients or sends it
//! single bytes.
//!
//! It links none of the server's code, only the client (`nbd-client`) and the protocol's numbers (`nbd-proto`).
//! `make test` builds the program and the plugins first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that can't go on fails the test"
)]

pub mod admin;
mod answer;
pub mod calls;
mod client;
mod dialog;
mod disk;
mod negotiation;
mod neighbour;
mod observe;
mod paths;
mod peer;
pub mod pki;
pub mod plot;
mod random;
mod raw;
mod server;
mod strace;
pub mod tenancy;
mod tools;
mod until;

pub use answer::{Answer, Chunk, StatusDescriptor};
pub use client::{Client, Extent, Refused};
pub use dialog::{DISGUISED, Dialog, FRAMINGS, assert_error, foreign_magic};
pub use disk::Disk;
pub use neighbour::Neighbour;
pub use paths::{guest, nbdbox, plugin};
pub use peer::Peer;
pub use random::Random;
pub use raw::{Raw, Transmission};
pub use server::{Exit, Server, kill, serving_pid};
pub use strace::Strace;
pub use tools::{Run, nbdsh, qemu_io, run, shell};
pub use until::until;
