//! The thread that writes the log, and its queue.
//!
//! A thread that logs a line waits until the line is written, so that the log has the line before the client has the
//! reply. It waits for [`WRITTEN`] at most. If that wasn't enough, no thread waits for [`UNREAD`]. So a reader of
//! standard error that is slow or gone costs each thread that logs a fiftieth of its time.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write, stderr};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::rates::{PERIOD, RATES};

/// The most bytes that wait to be written; as many may be in the batch that is being written. Restrains a reader of
/// standard error that doesn't read. A smaller queue would drop lines that come at once.
const QUEUE: usize = 4 << 20;

/// The time that a thread waits for its line to be written. With less, a busy machine would write lines after their
/// replies.
const WRITTEN: Duration = Duration::from_millis(20);

/// The time in which no thread waits, after [`WRITTEN`] wasn't enough.
const UNREAD: Duration = Duration::from_secs(1);

/// The pause after a standard error that doesn't block took nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// The process's writer.
static WRITER: OnceLock<Writer> = OnceLock::new();

thread_local! {
    /// Whether this is the writer's thread, which must not wait for itself.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// A queue of lines, and the thread that writes them.
#[derive(Debug, Default)]
pub(super) struct Writer {
    state: Mutex<State>,
    /// Notified when the queue has a line.
    filled: Condvar,
    /// Notified when a batch is written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Lines, one after the other.
    queue: Vec<u8>,
    /// Whether a batch is being written.
    writing: bool,
    /// The batches that were taken. All except the one that is being written are written or lost.
    taken: u64,
    /// No thread waits before this time.
    unread: Option<Instant>,
    /// Lines that were dropped.
    dropped: u64,
    /// Dropped lines that were reported.
    told: u64,
}

impl Writer {
    /// The process's writer. Starts its thread if it isn't running.
    ///
    /// # Errors
    /// The thread can't be started.
    pub(super) fn get() -> anyhow::Result<&'static Self> {
        if let Some(writer) = WRITER.get() {
            return Ok(writer);
        }
        let writer = WRITER.get_or_init(Self::default);
        let named = thread::Builder::new().name("log".to_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "the process's: one, for all lines of its log"
        )]
        let thread = named.spawn(|| writer.run());
        thread.context("can't start the log's thread")?;
        Ok(writer)
    }

    /// The process's writer, if it's running.
    pub(super) fn started() -> Option<&'static Self> {
        WRITER.get()
    }

    /// The number of lines that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Queues a line, or drops it. Blocks until it's written, for [`WRITTEN`] at most.
    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if !state.push(line, QUEUE) {
            return;
        }
        self.filled.notify_one();
        let now = Instant::now();
        if IS_WRITER.get() || state.unread.is_some_and(|until| now < until) {
            return;
        }
        // The line is in the next batch.
        let batch = state.taken + 1;
        let waits = |state: &mut State| !state.is_written(batch);
        let waited = self.written.wait_timeout_while(state, WRITTEN, waits);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        state.unread = waited.timed_out().then(|| now + WRITTEN + UNREAD);
    }

    /// Queues the last line of a process, even if the queue is full.
    pub(super) fn push_last(&self, words: &str) {
        self.state().queue.extend_from_slice(words.as_bytes());
        self.filled.notify_one();
    }

    /// Blocks until everything is written, for `patience` at most.
    pub(super) fn finish(&self, patience: Duration) {
        let busy = |state: &mut State| state.writing || !state.queue.is_empty();
        let waited = self
            .written
            .wait_timeout_while(self.state(), patience, busy);
        // Written or not, the process goes on to its end.
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued, and reports dropped lines: those past a rate at the end of each period, and those that
    /// nobody read in time after the next batch.
    fn run(&self) {
        IS_WRITER.set(true);
        let mut period = Instant::now() + PERIOD;
        loop {
            let batch = self.take(period);
            if !batch.is_empty()
                && let Err(lost) = write_all(&batch)
            {
                self.state().dropped += lost;
            }
            let mut state = self.state();
            state.writing = false;
            let untold = state.take_untold();
            drop(state);
            self.written.notify_all();
            if untold > 0 {
                tracing::warn!(
                    target: "nbdbox::log",
                    lines = untold,
                    "lines of the log were dropped: they couldn't be written as fast as they came"
                );
            }
            let now = Instant::now();
            if now >= period {
                period = now + PERIOD;
                RATES.tell(now);
            }
        }
    }

    /// Waits for lines until `until`, and takes them all.
    fn take(&self, until: Instant) -> Vec<u8> {
        let empty = |state: &mut State| state.queue.is_empty();
        let patience = until.saturating_duration_since(Instant::now());
        let waited = self
            .filled
            .wait_timeout_while(self.state(), patience, empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = !state.queue.is_empty();
        state.taken += u64::from(state.writing);
        std::mem::take(&mut state.queue)
    }
}

impl State {
    /// Queues a line if it fits. Returns whether it did.
    fn push(&mut self, line: &[u8], most: usize) -> bool {
        let fits = self.queue.len() + line.len() <= most;
        if fits {
            self.queue.extend_from_slice(line);
        } else {
            self.dropped += 1;
        }
        fits
    }

    /// Whether a batch is written or lost; the first batch has the number 1.
    fn is_written(&self, batch: u64) -> bool {
        self.taken > batch || self.taken == batch && !self.writing
    }

    /// The number of lines that were dropped since the last call.
    fn take_untold(&mut self) -> u64 {
        let untold = self.dropped - self.told;
        self.told = self.dropped;
        untold
    }
}

/// Writes to standard error; may block for ever. The error is the number of lines that were lost.
fn write_all(mut bytes: &[u8]) -> Result<(), u64> {
    while !bytes.is_empty() {
        match stderr().write(bytes) {
            Ok(0) => return Err(lines(bytes)),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process that shares standard error made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => return Err(lines(bytes)),
        }
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// Where the log's formatter writes each line, in one piece.
pub(super) struct Lines(pub(super) &'static Writer);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_dropped_whole_counted_and_reported_once() {
        let mut state = State::default();
        for line in ["one\n", "two\n", "three\n", "4\n"] {
            let _ = state.push(line.as_bytes(), 10);
        }
        assert_eq!(state.queue, b"one\ntwo\n4\n");
        assert_eq!(state.dropped, 1);
        assert_eq!(state.take_untold(), 1);
        assert_eq!(state.take_untold(), 0);
    }

    #[test]
    fn finishing_ends_when_all_is_written_or_it_takes_too_long() {
        let writer = Writer::default();
        writer.finish(Duration::from_secs(60));
        // Nobody writes the line, so later lines don't wait.
        writer.push(b"line\n");
        assert!(
            writer
                .state()
                .unread
                .is_some_and(|until| until > Instant::now())
        );
        writer.finish(Duration::from_millis(1));
        assert_eq!(writer.take(Instant::now()), b"line\n");
        assert!(writer.state().writing);
    }
}
