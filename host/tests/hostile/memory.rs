//! Compares the process's resident memory with its metered memory, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use device::ProcessQuota;

use crate::scene::resident;

/// The memory that the process may have beyond its meters: for the program, its runtime, compiled code, and socket
/// buffers.
pub(crate) const BESIDES: u64 = 64 << 20;

/// One part in this many of metered memory that may come on top: page tables, and gaps of the allocator.
const PART: u64 = 10;

/// The readings in a row that must agree, so that memory that was returned between two readings doesn't count.
const LOOKS: usize = 3;

/// Watches the process until it's dropped.
pub(crate) struct MemoryWatch {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    pub(crate) fn start(process: &Arc<ProcessQuota>) -> Self {
        let (most, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (process, seen, stopped) = (Arc::clone(process), Arc::clone(&most), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut last = [0; LOOKS];
            for turn in (0..LOOKS).cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                last[turn] = unmetered(&process);
                let least = last.iter().min().copied().unwrap_or_default();
                seen.fetch_max(least, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            most,
            stop,
            thread: Some(thread),
        }
    }

    /// The most resident memory since the last call, beyond metered memory and a tenth of it, in bytes.
    pub(crate) fn take(&self) -> u64 {
        self.most.swap(0, Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn unmetered(process: &ProcessQuota) -> u64 {
    let before = process.memory.used();
    let resident = resident();
    let metered = process.memory.used().max(before);
    resident.saturating_sub(metered + metered / PART)
}
