//! TLS: with real clients and real certificates, right and wrong ones, and the protocol's rules byte by
//! byte.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod clients;
mod identity;
mod map;
mod reload;
mod rules;
mod scene;
mod wrong;
