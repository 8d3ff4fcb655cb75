//! The calls of `nbdbox dev`, their times, and the budgets that they used, as text for an author.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device::metrics::Operation;
use device::peaks::Peaks;
use nbd_proto::Errno;
use nbdbox_config::limits::{HANDLES, Limits};
use nbdbox_config::size::Bytes;

/// The most lines of single calls that wait to be printed. Restrains clients that send more requests than a person can
/// read: the journal only counts the rest.
const LINES: usize = 1000;

/// The name of the plugin's function in the WIT.
const fn callback(operation: Operation) -> &'static str {
    match operation {
        Operation::BlockStatus => "report",
        others => others.name(),
    }
}

/// One call that has ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The time from the request to its answer, including the wait for an instance and the host's copying of bytes.
    pub(super) took: Duration,
    pub(super) error: Option<Errno>,
}

/// Collects calls until they are printed.
#[derive(Debug)]
pub(super) struct Journal {
    /// Whether each call gets a line of its own.
    each: bool,
    page: Mutex<Page>,
}

/// What the journal has collected since the last print.
#[derive(Debug, Default)]
struct Page {
    calls: String,
    lines: usize,
    sums: [Sum; Operation::ALL.len()],
    budgets: String,
}

#[derive(Debug, Default)]
struct Sum {
    count: u32,
    errors: u32,
    bytes: u64,
    took: Duration,
    longest: Option<Call>,
}

impl Journal {
    pub(super) fn new(each: bool) -> Self {
        Self {
            each,
            page: Mutex::default(),
        }
    }

    pub(super) fn note(&self, call: &Call, peaks: &Peaks, limits: &Limits) {
        let mut page = self.page();
        page.budgets = budgets(peaks, limits);
        if self.each {
            page.lines += 1;
            if page.lines <= LINES {
                page.calls += &line(call);
            }
        }
        page.sums[call.operation as usize].add(call);
    }

    /// Takes the text of everything since the last call; empty if there was none.
    pub(super) fn take(&self) -> String {
        let page = std::mem::take(&mut *self.page());
        let mut text = page.calls;
        if self.each {
            if page.lines > LINES {
                let more = page.lines - LINES;
                let _ = writeln!(text, "and {more} more calls");
            }
        } else {
            for (operation, sum) in Operation::ALL.into_iter().zip(&page.sums) {
                text += &sum.line(operation);
            }
        }
        text + &page.budgets
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        // If a panic left a page incomplete, the page is still fit to be printed.
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    fn add(&mut self, call: &Call) {
        self.count += 1;
        self.errors += u32::from(call.error.is_some());
        self.bytes = self.bytes.saturating_add(call.length);
        self.took += call.took;
        let longest = self.longest.as_ref().map(|longest| longest.took);
        if longest.is_none_or(|longest| call.took > longest) {
            self.longest = Some(call.clone());
        }
    }

    fn line(&self, operation: Operation) -> String {
        let Some(longest) = &self.longest else {
            return String::new();
        };
        let errors = match self.errors {
            0 => String::new(),
            errors => format!(", {errors} failed"),
        };
        format!(
            "{:<7} {} calls, {}{errors}; {} on average, at most {} ({})\n",
            callback(operation),
            self.count,
            Bytes(self.bytes),
            milliseconds(self.took / self.count),
            milliseconds(longest.took),
            range(longest),
        )
    }
}

fn line(call: &Call) -> String {
    let outcome = match call.error {
        None => String::new(),
        Some(errno) => format!("  {errno}"),
    };
    format!(
        "{:<7} {:>10}  {}{outcome}\n",
        callback(call.operation),
        milliseconds(call.took),
        range(call),
    )
}

fn range(call: &Call) -> String {
    match call.operation {
        Operation::Flush => "everything".to_owned(),
        _ => format!("{} at {}", Bytes(call.length), call.offset),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// The highest use of each limit so far, in one instance or one call.
fn budgets(peaks: &Peaks, limits: &Limits) -> String {
    let cpu = match peaks.cpu() {
        Duration::ZERO => "less than 1".to_owned(),
        time => time.as_millis().to_string(),
    };
    format!(
        "budgets memory {} of {}, CPU of a call {cpu} of {} ms for each 4 MiB, handles {} of {HANDLES}\n",
        Bytes(peaks.memory()),
        Bytes(limits.memory),
        limits.cpu.as_millis(),
        peaks.handles(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(
        journal: &Journal,
        operation: Operation,
        length: u64,
        micros: u64,
        error: Option<Errno>,
    ) {
        let call = Call {
            operation,
            offset: 4096,
            length,
            took: Duration::from_micros(micros),
            error,
        };
        let peaks = Peaks::default();
        peaks.note(1 << 20, Duration::from_millis(3), 2);
        journal.note(&call, &peaks, &Limits::default());
    }

    #[test]
    fn calls_of_an_operation_are_summed_up() {
        let journal = Journal::new(false);
        note(&journal, Operation::Read, 512, 100, None);
        note(&journal, Operation::Read, 1536, 300, Some(Errno::Eio));
        note(&journal, Operation::Flush, 0, 10, None);
        assert_eq!(
            journal.take(),
            "read    2 calls, 2 KiB, 1 failed; 0.20 ms on average, at most 0.30 ms (1.50 KiB at 4096)\n\
             flush   1 calls, 0 B; 0.01 ms on average, at most 0.01 ms (everything)\n\
             budgets memory 1 MiB of 64 MiB, CPU of a call 3 of 100 ms for each 4 MiB, handles 2 of 256\n"
        );
        assert_eq!(journal.take(), "");
    }

    #[test]
    fn each_call_has_a_line_up_to_a_number() {
        let journal = Journal::new(true);
        note(&journal, Operation::Write, 1024, 1500, Some(Errno::Enospc));
        let text = journal.take();
        assert!(
            text.starts_with("write      1.50 ms  1 KiB at 4096  ENOSPC\n"),
            "{text}"
        );
        for _ in 0..LINES + 5 {
            note(&journal, Operation::Read, 1, 1, None);
        }
        let text = journal.take();
        assert_eq!(text.lines().count(), LINES + 2);
        assert!(text.contains("\nand 5 more calls\n"));
    }
}
