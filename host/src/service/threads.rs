//! The runtimes of a process, on one thread or on several.

use anyhow::Context as _;
use tokio::runtime::Builder;

use super::descriptors;
use crate::machine;

/// Does `work` on this thread alone. For a process that waits most of the time.
///
/// # Errors
/// The process has no descriptor left; the error of `work`.
pub(crate) fn block_on_one<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    descriptors::raise();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start a runtime")?;
    let done = runtime.block_on(work);
    // Waits for no thread, since a disk that hangs must not keep the process.
    runtime.shutdown_background();
    done
}

/// Does `work` on this number of worker threads, by default one for each core and two at least: one that writes to a file leaves the other to the clients.
///
/// # Errors
/// The kernel can't start the threads; the error of `work`.
pub(crate) fn block_on<T>(
    threads: Option<u16>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    descriptors::raise();
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.map_or_else(machine::workers, usize::from))
        .enable_all()
        .build()
        .context("can't start worker threads")?;
    let done = runtime.block_on(work);
    // Waits for no thread, since a disk that hangs must not keep the process.
    runtime.shutdown_background();
    done
}
