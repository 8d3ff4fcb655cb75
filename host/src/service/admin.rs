//! The admin listener of a process: opened, changed with the configuration, closed.

use std::sync::Arc;

use nbd_server::Listener;
use nbdbox_config::config::Address;
use outside::Keeper;
use tokio::task::JoinHandle;

use crate::admin::Admin;

/// The place where an operator can look, if there is one.
pub(crate) struct AdminListener {
    admin: Arc<Admin>,
    open: Option<Open>,
    /// Answers the keeper's other servers, if there are any.
    visits: Option<JoinHandle<()>>,
}

struct Open {
    address: Address,
    task: JoinHandle<()>,
}

/// What another configuration wants, with the socket that it takes.
pub(crate) enum Next {
    /// What there is.
    Same,
    /// Something else, or nothing.
    Other(Option<Box<(Address, Listener)>>),
}

impl AdminListener {
    /// Nowhere yet. Must be called in a runtime.
    pub(crate) fn new(admin: Arc<Admin>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's: one, which ends with the listener"
        )]
        let visits = Keeper::get().map(|_| tokio::spawn(Arc::clone(&admin).serve_visits()));
        Self {
            admin,
            open: None,
            visits,
        }
    }

    /// Opens the socket for `wanted`, unless it's open.
    ///
    /// # Errors
    /// It can't be opened: nothing has changed then.
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

    /// Goes over to what was prepared.
    pub(crate) async fn adopt(&mut self, next: Next) {
        let Next::Other(other) = next else { return };
        self.close().await;
        self.open = other.map(|other| {
            let (address, listener) = *other;
            tracing::info!("the admin listener is {address}");
            #[expect(
                clippy::disallowed_methods,
                reason = "the operator's: one, which ends when the listener is closed"
            )]
            let task = tokio::spawn(Arc::clone(&self.admin).serve(listener));
            Open { address, task }
        });
    }

    /// Nobody can look any more; the socket's file is gone.
    pub(crate) async fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.task.abort();
        match open.task.await {
            Err(error) if !error.is_cancelled() => {
                tracing::error!("the admin listener ended badly: {error}");
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
