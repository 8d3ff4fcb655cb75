//! The sockets of a service: its clients' and its operator's.

use device::Catalog;
use nbd_server::{Address, Inherited, Listener, Welcome};
use nbdbox_config::config::{self, Config};

use super::admin::AdminListener;
use super::listeners::Listeners;

/// All sockets that are open.
pub(crate) struct Sockets<C> {
    listeners: Listeners<C>,
    admin: AdminListener,
}

impl<C: Catalog> Sockets<C> {
    pub(super) fn new(listeners: Listeners<C>, admin: AdminListener) -> Self {
        Self { listeners, admin }
    }

    /// Lets clients in by a socket until the service stops, each received as `welcome` says.
    pub(crate) fn listen(&mut self, socket: Listener, welcome: Welcome) {
        self.listeners.listen(socket, welcome);
    }

    /// The address of the first listener of the configuration, if it's open.
    pub(super) fn address(&self) -> Address {
        self.listeners.address()
    }

    /// Opens the admin listener at `wanted`, if anywhere, and closes the one before.
    ///
    /// # Errors
    /// It can't be opened: nothing has changed then.
    pub(crate) async fn open_admin(
        &mut self,
        wanted: Option<&config::Address>,
    ) -> anyhow::Result<()> {
        let admin = self.admin.prepare(wanted)?;
        self.admin.adopt(admin).await;
        Ok(())
    }

    /// Opens what the configuration says, and closes what it doesn't. Returns what waits for another start.
    ///
    /// # Errors
    /// Something can't be opened: nothing has changed then.
    pub(super) async fn adopt(
        &mut self,
        config: &Config,
        inherited: &Inherited,
    ) -> anyhow::Result<Vec<String>> {
        let admin = self.admin.prepare(config.admin.as_ref())?;
        let waiting = self.listeners.adopt(&config.listeners, inherited)?;
        self.admin.adopt(admin).await;
        Ok(waiting)
    }

    /// Waits until all clients' connections have ended.
    ///
    /// # Errors
    /// A listener's task ended badly.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        self.listeners.ended().await
    }

    /// The operator can't look any more.
    pub(super) async fn close_admin(&mut self) {
        self.admin.close().await;
    }
}
