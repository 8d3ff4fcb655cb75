//! The admin listener of a process: opens it, moves it with the configuration, and closes it.

use std::sync::Arc;

use nbd_server::Listener;
use nbdbox_config::config::Address;
use outside::Keeper;
use tokio::task::JoinHandle;

use crate::admin::Admin;

/// The admin listener, if the operator configured one.
pub(crate) struct AdminListener {
    admin: Arc<Admin>,
    open: Option<Open>,
    /// The task that answers visits of the admin server; `None` without a keeper.
    visits: Option<JoinHandle<()>>,
}

struct Open {
    address: Address,
    task: JoinHandle<()>,
}

/// The admin listener of the next configuration, with its open socket.
pub(crate) enum Next {
    /// It stays as it is.
    Same,
    /// It has another address, or there is none.
    Other(Option<Box<(Address, Listener)>>),
}

impl AdminListener {
    /// No listener yet. Must be called in a runtime of tokio.
    pub(crate) fn new(admin: Arc<Admin>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "owner: the operator; one task, which ends with the listener"
        )]
        let visits = Keeper::get().map(|_| tokio::spawn(Arc::clone(&admin).serve_visits()));
        Self {
            admin,
            open: None,
            visits,
        }
    }

    /// Opens the socket for `wanted`, unless it's open already.
    ///
    /// # Errors
    /// The socket can't be opened. Nothing has changed.
    pub(crate) fn prepare(&self, wanted: Option<&Address>) -> anyhow::Result<Next> {
        let open = self.open.as_ref().map(|open| &open.address);
        if open == wanted {
            return Ok(Next::Same);
        }
        let open =
            |address: &Address| anyhow::Ok(Box::new((address.clone(), Listener::admin(address)?)));
        let other = wanted.map(open);
        Ok(Next::Other(other.transpose()?))
    }

    /// Replaces the listener by the prepared one. Dropping the future may leave it without a listener.
    pub(crate) async fn adopt(&mut self, next: Next) {
        let Next::Other(other) = next else { return };
        self.close().await;
        self.open = other.map(|other| {
            let (address, listener) = *other;
            tracing::info!("the admin listener is at {address}");
            #[expect(
                clippy::disallowed_methods,
                reason = "owner: the operator; one task, which ends when the listener closes"
            )]
            let task = tokio::spawn(Arc::clone(&self.admin).serve(listener));
            Open { address, task }
        });
    }

    /// Closes the listener and removes its socket's file.
    pub(crate) async fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.task.abort();
        match open.task.await {
            Err(error) if !error.is_cancelled() => {
                tracing::error!("the admin listener's task failed: {error}");
            }
            _ => {}
        }
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        if let Some(visits) = &self.visits {
            visits.abort();
        }
    }
}
