//! The purpose of a service, which decides when it ends.

use std::process::ExitCode;

use rustix::process::Signal;

/// A purpose that ends a service before a signal does, for example a command that it serves.
pub(crate) trait Until {
    /// Waits until the purpose is done, and returns the exit status of the process. The caller may drop the future and
    /// call again, but not after it was ready.
    ///
    /// # Errors
    /// The service can't go on.
    async fn done(&mut self) -> anyhow::Result<ExitCode>;

    /// Ends the purpose, because the service ends before it's done. The service serves clients meanwhile. It drops the
    /// future when another signal comes; dropping `self` must then end the rest.
    async fn end(&mut self) {}

    /// The exit status of the process after this signal ended the service.
    fn status(&self, _: Signal) -> ExitCode {
        ExitCode::SUCCESS
    }
}
