//! What is being checked, on standard error: only on a terminal, and only for what takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// Removed from the terminal when it's dropped.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Where standard error is no terminal, indicatif shows nothing.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Shows what comes now.
    pub(super) fn shows(&self, what: &'static str) {
        self.0.set_message(what);
        self.0.reset_elapsed();
    }

    /// Prints something else meanwhile.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
