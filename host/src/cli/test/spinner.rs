//! The rule that is being checked, on standard error: only on a terminal, and only for checks that take a while.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The time between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// A spinner. Dropping it removes it from the terminal.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Starts the spinner. If standard error is no terminal, indicatif shows nothing.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Shows `what`, and starts its clock.
    pub(super) fn shows(&self, what: &'static str) {
        self.0.set_message(what);
        self.0.reset_elapsed();
    }

    /// Hides the spinner while `print` runs.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
