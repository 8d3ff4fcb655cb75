//! The clock that guests yield to: the engines' epochs tick every millisecond while a guest runs, and
//! nothing ticks while none does.
//!
//! Whoever lets a guest run until the next tick says so with [`note_guest`], which is a look at one
//! flag for as long as the clock ticks anyway. The rule that no guest runs unmetered: every deadline
//! that is set comes with a note, so that at least one tick follows; a guest that meets it sets the
//! next deadline, or is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::{Engine, EngineWeak};

/// The time between two ticks of the engines' epochs.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a note after which the clock stops: many, since a wake-up costs more than a tick. Must
/// be 2 or more.
const QUIET: u32 = 100;

static ACTIVITY: Activity = Activity::new();
static THREAD: OnceLock<Thread> = OnceLock::new();
static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());

/// A guest is about to run, or goes on.
pub(crate) fn note_guest() {
    if ACTIVITY.note()
        && let Some(thread) = THREAD.get()
    {
        thread.unpark();
    }
}

/// Ticks for an engine for as long as it lives.
///
/// # Errors
/// The clock's thread can't be started.
pub(crate) fn tick_for(engine: &Engine) -> anyhow::Result<()> {
    // Under the lock, so that there is one thread.
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if THREAD.get().is_none() {
        let clock = thread::Builder::new().name("epoch".to_owned());
        #[expect(clippy::disallowed_methods, reason = "the process's clock: one")]
        let clock = clock.spawn(run).context("can't start the epoch's thread")?;
        THREAD.get_or_init(|| clock.thread().clone());
    }
    engines.push(engine.weak());
    Ok(())
}

fn run() {
    let mut quiet = 0;
    loop {
        thread::sleep(TICK);
        tick();
        // What waits in place does so for a guest that has just run: while the clock ticks.
        blob::wake_spare_worker();
        quiet = if ACTIVITY.take() { 0 } else { quiet + 1 };
        if quiet >= QUIET {
            ACTIVITY.stop(thread::park);
            quiet = 0;
        }
    }
}

fn tick() {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|engine| {
        let engine = engine.upgrade();
        engine.inspect(Engine::increment_epoch).is_some()
    });
}

/// Whether a guest has run since the last tick, and whether the clock stands.
struct Activity {
    noted: AtomicBool,
    stopped: AtomicBool,
}

impl Activity {
    const fn new() -> Self {
        Self {
            noted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Notes that a guest runs; whether the clock has to be woken for it.
    fn note(&self) -> bool {
        // A stale `true` is a note that some tick since took; there are more to come before it stops.
        if self.noted.load(Ordering::Relaxed) {
            return false;
        }
        self.noted.store(true, Ordering::SeqCst);
        self.stopped.load(Ordering::SeqCst)
    }

    /// Takes the note, if there is one.
    fn take(&self) -> bool {
        self.noted.swap(false, Ordering::SeqCst)
    }

    /// Stops until there is a note: either this sees it, or whoever makes it sees that it has to wake.
    fn stop(&self, mut park: impl FnMut()) {
        self.stopped.store(true, Ordering::SeqCst);
        while !self.noted.load(Ordering::SeqCst) {
            park();
        }
        self.stopped.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_stands_is_woken() {
        let activity = Activity::new();
        assert!(!activity.note());
        assert!(activity.take());
        assert!(!activity.take());
        let mut parked = 0;
        activity.stop(|| {
            parked += 1;
            // The first waking is for nothing, as they may be.
            if parked == 2 {
                assert!(activity.note(), "whoever runs a guest wakes it");
                assert!(!activity.note(), "once");
            }
        });
        assert_eq!(parked, 2);
        assert!(activity.take());
        assert!(!activity.note(), "it ticks again");
    }

    #[test]
    fn a_note_that_came_before_keeps_the_clock_from_stopping() {
        let activity = Activity::new();
        assert!(!activity.note());
        activity.stop(|| unreachable!("there was a note"));
    }
}
