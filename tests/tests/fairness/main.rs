//! What tenants get of the cores, and of requests and bytes a second, beside others who want all of it.
//!
//! A binary of its own, whose tests run one after the other: they compare what programs get of the machine, so nothing
//! else may compute meanwhile, other tests least of all.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod crew;
mod fifth;
mod one_worker;
mod shares;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test runs.
fn alone() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing behind that another one could trip over.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
