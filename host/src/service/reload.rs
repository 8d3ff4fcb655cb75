//! What a service looks at again while it runs.

use std::borrow::Cow;

use super::Sockets;

/// A reason to look again, and what is done then.
pub(crate) trait Reload<C> {
    /// Waits until there is a reason to look again, and says which. Dropped when the service stops.
    async fn reason(&mut self) -> Cow<'static, str>;

    /// Looks again: what can't be used changes nothing. Dropped half-way when the service has to end meanwhile, and only
    /// then.
    ///
    /// # Errors
    /// The service can't go on.
    async fn reload(&mut self, reason: &str, sockets: &mut Sockets<C>) -> anyhow::Result<()>;
}

/// For a service that stays as it booted.
pub(crate) struct NoReload;

impl<C> Reload<C> for NoReload {
    async fn reason(&mut self) -> Cow<'static, str> {
        std::future::pending().await
    }

    async fn reload(&mut self, _: &str, _: &mut Sockets<C>) -> anyhow::Result<()> {
        Ok(())
    }
}
