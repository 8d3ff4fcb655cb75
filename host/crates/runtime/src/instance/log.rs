//! A plugin's log. The host escapes, cuts and rates its lines, so that a plugin can neither forge lines nor fill a
//! disk.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use device::metrics::Metrics;
use nbdbox_config::limits::LOG_LINE;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::abi::names::{Names, log_export};
use crate::abi::wit::Level;

/// The shortest time between two reports of dropped lines.
const PERIOD: Duration = Duration::from_secs(10);

/// The log of the plugin of one layer.
#[derive(Debug)]
pub(crate) struct GuestLog {
    names: Names,
    rate: Mutex<Rate>,
    /// Warnings that any instance has logged.
    said: Mutex<Said>,
    metrics: Arc<Metrics>,
}

impl GuestLog {
    /// A log that writes at most `per_second` bytes a second, after a burst of as many.
    pub(crate) fn new(names: Names, per_second: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            names,
            rate: Mutex::new(Rate::new(per_second, Instant::now())),
            said: Mutex::default(),
            metrics,
        }
    }

    /// Writes one line, or counts it as dropped.
    ///
    /// `own` are the warnings that this instance has logged. Instances know nothing of each other, so each of them logs
    /// the same warning about an export. If another instance has logged this warning already, and this one logs it for
    /// the first time, the line becomes a debug line.
    pub(crate) fn line(&self, level: Level, text: &str, own: &mut Said) {
        let text = escaped(text);
        let level = match level {
            Level::Warn => {
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                match said.is_echo(own, &text) {
                    true => Level::Debug,
                    false => Level::Warn,
                }
            }
            other => other,
        };
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !rate.take(text.len() as u64, now) {
            rate.dropped += 1;
            self.metrics.log_dropped.one();
            return;
        }
        let dropped = rate.take_dropped(now);
        drop(rate);
        self.report_dropped(dropped);
        match level {
            Level::Error => log_export!(error @ "plugin", &self.names, "{text}"),
            Level::Warn => log_export!(warn @ "plugin", &self.names, "{text}"),
            Level::Info => log_export!(info @ "plugin", &self.names, "{text}"),
            Level::Debug => log_export!(debug @ "plugin", &self.names, "{text}"),
        }
    }
}

impl GuestLog {
    /// Logs the number of dropped lines, unless it's 0.
    fn report_dropped(&self, dropped: u64) {
        if dropped > 0 {
            log_export!(
                warn,
                &self.names,
                lines = dropped,
                "dropped lines of the plugin's log beyond the limit `log`; raise it to see them"
            );
        }
    }
}

/// Lines that were logged, by their hashes.
#[derive(Debug, Default)]
pub(crate) struct Said(Vec<u64>);

impl Said {
    /// The most lines that are remembered. Restrains the plugin. A line beyond them never counts as an echo.
    const MOST: usize = 64;

    /// Whether an instance that has logged `own` so far logs for the first time what another one has logged.
    fn is_echo(&mut self, own: &mut Self, text: &str) -> bool {
        let line = LINES.hash_one(text);
        let (is_known, is_own) = (self.0.contains(&line), own.0.contains(&line));
        if !is_known && self.0.len() < Self::MOST {
            self.0.push(line);
        }
        if !is_own && own.0.len() < Self::MOST {
            own.0.push(line);
        }
        is_known && !is_own && own.0.contains(&line)
    }
}

/// The random keys of the hashes, so that no plugin can find two lines with the same hash.
static LINES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Drop for GuestLog {
    fn drop(&mut self) {
        let rate = self.rate.get_mut().unwrap_or_else(PoisonError::into_inner);
        let dropped = std::mem::take(&mut rate.dropped);
        self.report_dropped(dropped);
    }
}

/// Cuts a line to [`LOG_LINE`] bytes and escapes control characters, including line breaks.
fn escaped(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LOG_LINE)];
    let mut line = String::with_capacity(cut.len());
    for c in cut.trim_matches('\n').chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// A token bucket that holds the bytes of one second.
#[derive(Debug)]
struct Rate {
    per_second: u64,
    left: u64,
    since: Instant,
    /// Dropped lines that no report has counted yet.
    dropped: u64,
    /// When dropped lines were last reported.
    told: Option<Instant>,
}

impl Rate {
    fn new(per_second: u64, now: Instant) -> Self {
        Self {
            per_second,
            left: per_second,
            since: now,
            dropped: 0,
            told: None,
        }
    }

    /// Returns how many lines to report as dropped, if a report is due; otherwise 0.
    fn take_dropped(&mut self, now: Instant) -> u64 {
        let recent = |told| now.saturating_duration_since(told) < PERIOD;
        if self.dropped == 0 || self.told.is_some_and(recent) {
            return 0;
        }
        self.told = Some(now);
        std::mem::take(&mut self.dropped)
    }

    /// Takes `bytes` from the bucket. Returns `false`, and takes none, if there are too few.
    fn take(&mut self, bytes: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since).as_millis();
        let earned = u128::from(self.per_second) * elapsed / 1000;
        if earned > 0 {
            let sum = earned + u128::from(self.left);
            self.left = u64::try_from(sum).unwrap_or(u64::MAX).min(self.per_second);
            self.since = now;
        }
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// A guest's standard output or standard error. Each write is a line of its log.
#[derive(Clone, Debug)]
pub(crate) struct LogStream(pub(crate) Arc<GuestLog>);

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 uses this one, and the host doesn't link it.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let text = String::from_utf8_lossy(&bytes);
        self.0.line(Level::Info, &text, &mut Said::default());
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LOG_LINE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn terminal_escapes_and_line_breaks_are_shown_not_sent() {
        assert_eq!(
            escaped("a\x1b[2Jb\nfake line\r\n"),
            "a\\u{1b}[2Jb\\nfake line\\r"
        );
        assert_eq!(escaped(&"é".repeat(5000)).len(), LOG_LINE);
    }

    #[test]
    fn dropped_lines_are_reported_once_in_a_period() {
        let start = Instant::now();
        let mut rate = Rate::new(100, start);
        assert_eq!(rate.take_dropped(start), 0);
        rate.dropped = 3;
        assert_eq!(rate.take_dropped(start), 3);
        rate.dropped = 4;
        assert_eq!(rate.take_dropped(start + PERIOD / 2), 0);
        assert_eq!(rate.take_dropped(start + PERIOD), 4);
    }

    #[test]
    fn a_second_earns_a_seconds_bytes_and_no_more_are_saved() {
        let start = Instant::now();
        let mut rate = Rate::new(100, start);
        assert!(rate.take(100, start));
        assert!(!rate.take(1, start));
        assert!(rate.take(50, start + Duration::from_millis(500)));
        assert!(!rate.take(1, start + Duration::from_millis(500)));
        assert!(!rate.take(101, start + Duration::from_secs(100)));
        assert!(rate.take(100, start + Duration::from_secs(100)));
    }

    #[test]
    fn a_warning_of_another_instance_is_an_echo_once() {
        let (mut all, mut one, mut other) = (Said::default(), Said::default(), Said::default());
        assert!(!all.is_echo(&mut one, "cut short"));
        assert!(!all.is_echo(&mut one, "cut short"), "it repeats its own");
        assert!(all.is_echo(&mut other, "cut short"));
        assert!(!all.is_echo(&mut other, "cut short"), "it repeats its own");
        assert!(!all.is_echo(&mut other, "damaged"));
        assert!(all.is_echo(&mut one, "damaged"));
        assert!(all.is_echo(&mut Said::default(), "damaged"));
    }

    #[test]
    fn a_line_beyond_the_bound_is_no_echo() {
        let (mut all, mut one, mut other) = (Said::default(), Said::default(), Said::default());
        for line in 0..1000 {
            assert!(!all.is_echo(&mut one, &line.to_string()));
        }
        assert!(all.is_echo(&mut other, "0") && !all.is_echo(&mut other, "999"));
        assert_eq!((all.0.len(), one.0.len()), (Said::MOST, Said::MOST));
        // No line counts as new any more.
        for line in 0..1000 {
            assert!(!all.is_echo(&mut one, &line.to_string()), "{line}");
        }
    }
}
