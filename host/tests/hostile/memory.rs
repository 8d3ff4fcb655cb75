//! Compares the process's resident memory with its metered memory, all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the watch has seen, in bytes. A quota has its memory back a moment before the system has, and on a busy machine
/// that moment may be long. So all memory counts as metered that was metered since the last call of
/// [`MemoryWatch::take`] but one.
#[derive(Default)]
struct Seen {
    /// The most metered memory since the last call.
    metered: u64,
    /// The same, between the last two calls.
    metered_before: u64,
    /// The most unmetered memory since the last call.
    unmetered: u64,
}

impl MemoryWatch {
    pub(crate) fn start(process: &Arc<ProcessQuota>) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::default());
        let (process, watch, stopped) = (Arc::clone(process), Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut last = [0; LOOKS];
            for turn in (0..LOOKS).cycle() {
                if AtomicBool::load(&stopped, Ordering::Relaxed) {
                    return;
                }
                last[turn] = watch.lock().unwrap().look(&process);
                let least = last.iter().min().copied().unwrap_or_default();
                let mut seen = watch.lock().unwrap();
                seen.unmetered = seen.unmetered.max(least);
                drop(seen);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// The most resident memory since the last call, beyond metered memory and a tenth of it, in bytes.
    pub(crate) fn take(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap();
        seen.metered_before = std::mem::take(&mut seen.metered);
        std::mem::take(&mut seen.unmetered)
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

impl Seen {
    /// The unmetered memory now.
    fn look(&mut self, process: &ProcessQuota) -> u64 {
        let before = process.memory.used();
        let resident = resident();
        let now = process.memory.used().max(before);
        self.metered = self.metered.max(now);
        let metered = self.metered.max(self.metered_before);
        resident.saturating_sub(metered + metered / PART)
    }
}
