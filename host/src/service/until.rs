//! What a service runs for.

use std::process::ExitCode;

use rustix::process::Signal;

/// What a service runs for, besides clients and until a signal comes.
pub(crate) trait Until {
    /// Waits until there's nothing left to run for; the process ends with this status. It may be dropped and called
    /// again before it's ready, not after.
    ///
    /// # Errors
    /// The service can't go on.
    async fn done(&mut self) -> anyhow::Result<ExitCode>;

    /// The service ends before: ends what was begun. Clients are served meanwhile. Dropped when another signal comes:
    /// what isn't ended then has to be by dropping `self`.
    async fn end(&mut self) {}

    /// The process's status when this signal ended the service.
    fn status(&self, _: Signal) -> ExitCode {
        ExitCode::SUCCESS
    }
}
