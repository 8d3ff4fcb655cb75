//! The listeners that are open, and going over to others.

use nbdbox_config::config;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::hosting::Hosting;
use crate::server::{Inherited, Listener, Server};

/// Listeners, each with a task.
pub(super) struct Listening {
    server: Server<Hosting>,
    inherited: Inherited,
    open: Vec<Open>,
    /// Tasks of listeners that were closed, for as long as somebody is connected.
    closed: Vec<JoinHandle<()>>,
}

struct Open {
    listener: config::Listener,
    close: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listening {
    pub(super) fn new(server: Server<Hosting>, inherited: Inherited) -> Self {
        Self {
            server,
            inherited,
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Opens those that are new, and closes those that are no more: who is connected stays.
    ///
    /// # Errors
    /// One can't be opened: nothing has changed then.
    pub(super) fn adopt(&mut self, wanted: &[config::Listener]) -> anyhow::Result<()> {
        let is_open =
            |wanted: &&config::Listener| self.open.iter().any(|open| same(&open.listener, wanted));
        let (_, new): (Vec<_>, Vec<_>) = wanted.iter().partition(is_open);
        let mut opened = Vec::new();
        for listener in new {
            opened.push((Listener::open(listener, &self.inherited)?, listener.clone()));
        }
        let is_wanted = |open: &Open| wanted.iter().any(|wanted| same(&open.listener, wanted));
        let (kept, old): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(is_wanted);
        self.open = kept;
        for open in old {
            tracing::info!("no longer listening on {}", open.listener.name);
            // Its task has ended only if nobody can come in any more.
            let _ = open.close.send(true);
            self.closed.push(open.task);
        }
        for (socket, listener) in opened {
            let (close, closing) = watch::channel(false);
            match socket.address() {
                Ok(address) => tracing::info!("{} listens on {address}", listener.name),
                Err(error) => tracing::warn!("{}: {error}", listener.name),
            }
            let task = tokio::spawn(self.server.clone().serve(socket, closing));
            self.open.push(Open {
                listener,
                close,
                task,
            });
        }
        self.closed.retain(|task| !task.is_finished());
        Ok(())
    }

    /// Waits until all connections have ended.
    pub(super) async fn ended(&mut self) {
        let open = self.open.drain(..).map(|open| open.task);
        let tasks: Vec<_> = open.chain(self.closed.drain(..)).collect();
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!("serving ended badly: {error}");
            }
        }
    }
}

/// Whether two are the same, wherever they're written.
fn same(one: &config::Listener, other: &config::Listener) -> bool {
    (&one.name, &one.address, &one.tls) == (&other.name, &other.address, &other.tls)
}
