//! The share of the cores that tenants get next to others that want all of it.
//!
//! This is a binary of its own, whose tests run one after the other. Most compare what tenants get of the machine, so
//! nothing else may compute meanwhile, least of all other tests. `make test` ignores those; `make shares` runs them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod crew;
mod fifth;
mod one_worker;
mod shares;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test that is running.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test is running.
fn alone() -> MutexGuard<'static, ()> {
    // A failed test leaves nothing that could disturb another one.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
