//! The admin listener of a process: opened, changed with the configuration, closed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use nbd_server::Listener;
use nbdbox_config::config::Address;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::Admin;

/// Reads an address of the command line: a loopback address and a port, or the path of a unix socket.
///
/// # Errors
/// What was expected.
pub(super) fn parse(text: &str) -> Result<Address, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.ip().is_loopback() {
            true => Ok(Address::Tcp(address)),
            false => {
                Err("only a loopback address: whoever can connect sees all tenants".to_owned())
            }
        };
    }
    if text.is_empty() || (text.contains(':') && !text.contains('/')) {
        return Err(
            "expected is the path of a unix socket, or a loopback address and a port, as \
             127.0.0.1:9809 or [::1]:9809"
                .to_owned(),
        );
    }
    Ok(Address::Unix {
        path: PathBuf::from(text),
        mode: None,
        owner: None,
    })
}

/// The place where an operator can look, if there is one.
pub(super) struct Looking {
    admin: Arc<Admin>,
    open: Option<Open>,
}

struct Open {
    address: Address,
    close: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What another configuration wants, with the socket that it takes.
pub(super) enum Next {
    /// What there is.
    Same,
    /// Something else, or nothing.
    Other(Option<(Address, Listener)>),
}

impl Looking {
    /// Nowhere yet.
    pub(super) fn new(admin: Arc<Admin>) -> Self {
        Self { admin, open: None }
    }

    /// Opens the socket for `wanted`, unless it's open.
    ///
    /// # Errors
    /// It can't be opened: nothing has changed then.
    pub(super) fn prepare(&self, wanted: Option<&Address>) -> anyhow::Result<Next> {
        let open = self.open.as_ref().map(|open| &open.address);
        if open == wanted {
            return Ok(Next::Same);
        }
        let other = wanted.map(|address| anyhow::Ok((address.clone(), Listener::admin(address)?)));
        Ok(Next::Other(other.transpose()?))
    }

    /// Goes over to what was prepared.
    pub(super) async fn adopt(&mut self, next: Next) {
        let Next::Other(other) = next else { return };
        self.close().await;
        self.open = other.map(|(address, listener)| {
            let (close, closed) = watch::channel(false);
            tracing::info!("the admin listener is {address}");
            let task = tokio::spawn(Arc::clone(&self.admin).serve(listener, closed));
            Open {
                address,
                close,
                task,
            }
        });
    }

    /// Nobody can look any more; the socket's file is gone.
    pub(super) async fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Its task has ended only if it can't accept anybody.
        let _ = open.close.send(true);
        if let Err(error) = open.task.await {
            tracing::error!("the admin listener ended badly: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_be_named() {
        for text in ["127.0.0.1:9809", "[::1]:0"] {
            assert!(matches!(parse(text), Ok(Address::Tcp(_))), "{text}");
        }
        for text in ["admin.sock", "/run/nbdbox:1/admin.sock"] {
            assert!(matches!(parse(text), Ok(Address::Unix { .. })), "{text}");
        }
        for text in ["0.0.0.0:9809", "192.0.2.1:80", "[::]:1"] {
            assert!(parse(text).unwrap_err().contains("loopback"), "{text}");
        }
        for text in ["", "localhost:9809", "127.0.0.1:"] {
            assert!(parse(text).unwrap_err().contains("unix socket"), "{text}");
        }
    }
}
