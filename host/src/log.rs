//! The operator's log, on standard error. Nobody waits long for it, and nobody can fill it.
//!
//! - A thread of its own writes lines from a bounded queue ([`writer`]). If nobody reads the pipe, the queue drops
//!   lines and counts them, and all other threads go on.
//! - The lines about an export have a rate, and so have those about clients of a listener that haven't got an export
//!   ([`rates`]). Lines past the rate are dropped, counted and reported.
//! - [`say`] and [`finish`] are for the end of a process. They wait for the writer, a second at most.

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

/// The time that the process waits for its last lines to be written. Restrains a reader of standard error that doesn't
/// read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The format of a line.
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
    /// Nobody read them in time, or they couldn't be written.
    pub(crate) unread: u64,
}

/// Starts the log, once in a process. From then on panics are lines of it.
///
/// # Errors
/// The writer's thread can't be started; a log was started before.
pub(crate) fn start(filter: EnvFilter, form: Form) -> anyhow::Result<()> {
    let writer = Writer::get()?;
    let lines = fmt::layer()
        .with_writer(move || Lines(writer))
        .with_ansi(stderr().is_terminal())
        // The layer would write them past the queue.
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter).with(&*RATES);
    match form {
        Form::Text => registry.with(lines).try_init()?,
        // Fields are on one level with the message. No client or plugin chooses the name of a field.
        Form::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    // The standard hook writes to standard error itself, where a worker could block.
    panic::set_hook(Box::new(|panic| {
        tracing::error!(target: "nbdbox::panic", "{panic}");
    }));
    Ok(())
}

/// Writes the last words of a process that is about to end, after all lines of the log. Blocks for a second at most.
pub(crate) fn say(words: &str) {
    match Writer::get() {
        Ok(writer) => {
            writer.push_last(&format!("{words}\n"));
            writer.finish(PATIENCE);
        }
        // Without the writer's thread this thread writes; no other is there to be held up.
        Err(_) => drop(writeln!(stderr(), "{words}")),
    }
}

/// Waits until all lines are written. Blocks for a second at most.
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
