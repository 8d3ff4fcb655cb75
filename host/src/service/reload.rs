//! The reload of a service.

use std::borrow::Cow;

use super::Sockets;

/// What a service reads again while it runs, and when.
pub(crate) trait Reload<C> {
    /// Waits until there is a reason for a reload, and returns it. The service drops the future when it stops.
    async fn reason(&mut self) -> Cow<'static, str>;

    /// Reloads. Errors in what it reads change nothing, and go to the log. The service drops the future halfway only if
    /// it must end meanwhile.
    ///
    /// # Errors
    /// The service can't go on.
    async fn reload(&mut self, reason: &str, sockets: &mut Sockets<C>) -> anyhow::Result<()>;
}

/// For a service that never reloads.
pub(crate) struct NoReload;

impl<C> Reload<C> for NoReload {
    async fn reason(&mut self) -> Cow<'static, str> {
        std::future::pending().await
    }

    async fn reload(&mut self, _: &str, _: &mut Sockets<C>) -> anyhow::Result<()> {
        Ok(())
    }
}
