//! The operator's log, on standard error, such that nobody waits for it and nobody fills it.
//!
//! - Lines are written by a thread of their own from a bounded queue ([`writer`]). A pipe that nobody reads keeps
//!   nobody from working: lines are dropped, and counted.
//! - Lines about an export, and about strangers of a listener, have a rate ([`rates`]). What is dropped is counted and
//!   told.
//! - [`say`] and [`finish`] are for the beginning and the end of a process: they wait for the writer, and not for long.

mod rates;
mod writer;

use std::io::{IsTerminal as _, Write as _, stderr};
use std::panic;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::rates::RATES;
use self::writer::{Lines, Writer};

/// The time that the process waits for its last words to be written. Restrains a reader of standard error that doesn't
/// read.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// An object for each line.
    Json,
}

/// Lines that were dropped since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Past the rate of an export or a listener.
    pub(crate) rate: u64,
    /// Since nobody read them in time, or they couldn't be written.
    pub(crate) unread: u64,
}

/// Starts the log, once in a process. Panics are lines of it from then on.
///
/// # Errors
/// The writer's thread can't be started; a log was started before.
pub(crate) fn start(filter: EnvFilter, form: Form) -> anyhow::Result<()> {
    let writer = Writer::get()?;
    let lines = fmt::layer()
        .with_writer(move || Lines(writer))
        .with_ansi(stderr().is_terminal())
        // They would be written past the queue.
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter).with(&*RATES);
    match form {
        Form::Text => registry.with(lines).try_init()?,
        // A line's fields stand beside its message: no name of one is anybody else's to choose.
        Form::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    // The standard hook writes to standard error itself: a worker would wait there.
    panic::set_hook(Box::new(|panic| {
        tracing::error!(target: "nbdbox::panic", "{panic}");
    }));
    Ok(())
}

/// Writes the words of a process that is about to end, behind all lines of the log, and waits for that for a second at
/// most.
pub(crate) fn say(words: &str) {
    match Writer::get() {
        Ok(writer) => {
            writer.push_last(&format!("{words}\n"));
            writer.finish(PATIENCE);
        }
        // Better late than never; nobody else is there to wait.
        Err(_) => drop(writeln!(stderr(), "{words}")),
    }
}

/// Waits until all lines are written, for a second at most.
pub(crate) fn finish() {
    if let Some(writer) = Writer::started() {
        RATES.tell(Instant::now());
        writer.finish(PATIENCE);
    }
}

/// What was dropped so far.
pub(crate) fn dropped() -> Dropped {
    Dropped {
        rate: RATES.dropped(),
        unread: Writer::started().map_or(0, Writer::dropped),
    }
}
