//! A progress bar on standard error: only on a terminal, and only for work that takes a while.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

/// Work that takes less time gets no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// The time between two pictures of the bar.
const TICK: Duration = Duration::from_millis(100);

const TEMPLATE: &str = "mapping {bar:32} {percent:>3}%  {bytes} of {total_bytes}  {elapsed}";

/// A progress bar. Dropping it removes the bar from the terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    shows: JoinHandle<()>,
}

impl Progress {
    /// Starts the bar if it's `wanted`; it appears after `PATIENCE`. If standard error is no terminal, indicatif shows
    /// nothing.
    pub(super) fn start(size: u64, wanted: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        let later = bar.clone();
        #[expect(clippy::disallowed_methods, reason = "the command's own: one")]
        let shows = tokio::spawn(async move {
            if wanted {
                tokio::time::sleep(PATIENCE).await;
                later.set_draw_target(ProgressDrawTarget::stderr());
                later.enable_steady_tick(TICK);
            }
        });
        Self { bar, shows }
    }

    /// Shows that the first `bytes` bytes are mapped.
    pub(super) fn reached(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shows.abort();
        self.bar.finish_and_clear();
    }
}
