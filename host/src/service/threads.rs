//! The threads that do a process's work.

use anyhow::Context as _;
use tokio::runtime::Builder;

use super::descriptors;

/// Does `work` on so many worker threads, or on one for each core.
///
/// # Errors
/// There can't be so many threads; what `work` failed of.
pub(crate) fn block_on<T>(
    threads: Option<u16>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    descriptors::raise();
    let mut runtime = Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("can't start worker threads")?;
    let done = runtime.block_on(work);
    // A disk that hangs must not keep the process.
    runtime.shutdown_background();
    done
}
