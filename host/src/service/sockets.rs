//! The sockets of a service: for its clients and for its operator.

use device::Catalog;
use nbd_server::{Address, Inherited, Listener, Welcome};
use nbdbox_config::config::{self, Config};

use super::admin::AdminListener;
use super::listeners::Listeners;

/// The open sockets of a service.
pub(crate) struct Sockets<C> {
    listeners: Listeners<C>,
    admin: AdminListener,
}

impl<C: Catalog> Sockets<C> {
    pub(super) fn new(listeners: Listeners<C>, admin: AdminListener) -> Self {
        Self { listeners, admin }
    }

    /// Admits clients on a socket until the service stops, with the TLS of `welcome`.
    pub(crate) fn listen(&mut self, socket: Listener, welcome: Welcome) {
        self.listeners.listen(socket, welcome);
    }

    /// The address of the configuration's first listener; an empty path if none is open.
    pub(super) fn address(&self) -> Address {
        self.listeners.address()
    }

    /// Opens the admin listener at `wanted`, or none, and closes the previous one.
    ///
    /// # Errors
    /// The socket can't be opened. Nothing has changed.
    pub(crate) async fn open_admin(
        &mut self,
        wanted: Option<&config::Address>,
    ) -> anyhow::Result<()> {
        let admin = self.admin.prepare(wanted)?;
        self.admin.adopt(admin).await;
        Ok(())
    }

    /// Opens the sockets of a configuration, and closes all others. Returns the changes that need a restart.
    ///
    /// # Errors
    /// A socket can't be opened. Nothing has changed.
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
    /// A listener's task panicked.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        self.listeners.ended().await
    }

    /// Closes the admin listener.
    pub(super) async fn close_admin(&mut self) {
        self.admin.close().await;
    }
}
