//! A progress bar on standard error: only on a terminal, and only for what takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

/// What takes less time needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two pictures of the bar.
const TICK: Duration = Duration::from_millis(100);

const TEMPLATE: &str = "mapping {bar:32} {percent:>3}%  {bytes} of {total_bytes}  {elapsed}";

/// Removed from the terminal when it's dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    shows: JoinHandle<()>,
}

impl Progress {
    /// Starts to wait, if the bar is wanted at all. Where standard error is no terminal, indicatif
    /// shows nothing.
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

    /// So many bytes are mapped.
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
