//! The clock that makes guests yield: it advances the engines' epochs every millisecond while a guest runs, and stops
//! while none does.
//!
//! Code that lets a guest run until the next tick calls [`note_guest`], which reads one flag while the clock is
//! ticking. No guest runs unmetered, because each deadline that the host sets comes with a note. So at least one tick
//! follows. A guest that meets it sets the next deadline, or the host stops it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::{Engine, EngineWeak};

/// The time between two ticks of the engines' epochs.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a note after which the clock stops. There are many of them, because waking the thread costs more than
/// a tick. Must be at least 2.
const QUIET: u32 = 100;

static ACTIVITY: Activity = Activity::new();
static THREAD: OnceLock<Thread> = OnceLock::new();
static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());

/// Tells the clock that a guest is about to run or to go on. Doesn't block.
pub(crate) fn note_guest() {
    if ACTIVITY.note()
        && let Some(thread) = THREAD.get()
    {
        thread.unpark();
    }
}

/// Advances the epoch of `engine` until the engine is dropped. Starts the clock's thread at the first call.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn tick_for(engine: &Engine) -> anyhow::Result<()> {
    // The lock is held throughout, so that only one thread starts.
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if THREAD.get().is_none() {
        let clock = thread::Builder::new().name("epoch".to_owned());
        #[expect(clippy::disallowed_methods, reason = "one thread: the epoch clock")]
        let clock = clock.spawn(run).context("can't start the epoch clock")?;
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
        // A worker blocks in place only for a guest that has just run, and so while the clock ticks.
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

/// Whether a guest has run since the last tick, and whether the clock is stopped.
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

    /// Notes that a guest runs. Returns whether the caller has to wake the clock.
    fn note(&self) -> bool {
        // This `true` may be stale, if a tick has just taken the note. More ticks follow before the clock stops.
        if self.noted.load(Ordering::Relaxed) {
            return false;
        }
        self.noted.store(true, Ordering::SeqCst);
        self.stopped.load(Ordering::SeqCst)
    }

    /// Takes the note. Returns whether there was one.
    fn take(&self) -> bool {
        self.noted.swap(false, Ordering::SeqCst)
    }

    /// Stops until there is a note. Either this sees the note, or the thread that made it sees that it has to wake the
    /// clock.
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
    fn only_a_stopped_clock_is_woken() {
        let activity = Activity::new();
        assert!(!activity.note());
        assert!(activity.take());
        assert!(!activity.take());
        let mut parked = 0;
        activity.stop(|| {
            parked += 1;
            // A thread may wake for no reason (`thread::park`).
            if parked == 2 {
                assert!(activity.note(), "the first note wakes it");
                assert!(!activity.note(), "only the first");
            }
        });
        assert_eq!(parked, 2);
        assert!(activity.take());
        assert!(!activity.note(), "it ticks again");
    }

    #[test]
    fn an_earlier_note_keeps_the_clock_from_stopping() {
        let activity = Activity::new();
        assert!(!activity.note());
        activity.stop(|| unreachable!("there was a note"));
    }
}
