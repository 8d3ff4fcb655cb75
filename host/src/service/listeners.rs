//! The listeners that are open, and going over to others.

use anyhow::ensure;
use nbd_server::{Inherited, Listener, Server, Welcome};
use nbdbox_config::config::{self, Address};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::hosting::Hosting;

/// Listeners, each with a task.
pub(super) struct Listeners {
    server: Server<Hosting>,
    inherited: Inherited,
    open: Vec<Open>,
    /// Tasks of listeners that were closed, for as long as somebody is connected.
    closed: Vec<JoinHandle<()>>,
}

struct Open {
    /// As the configuration has it; the socket itself is still as it was opened.
    listener: config::Listener,
    welcome: watch::Sender<Welcome>,
    task: JoinHandle<()>,
}

/// A listener that is wanted, ready to be taken over.
enum Next {
    New(Listener, Welcome),
    /// One that is open, and what is to change about it.
    Open(usize, Option<Welcome>),
}

impl Listeners {
    pub(super) fn new(server: Server<Hosting>, inherited: Inherited) -> Self {
        Self {
            server,
            inherited,
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Opens those that are new, changes how clients are received by those that stay, and closes those that
    /// are no more: who is connected stays. Says what was changed in vain.
    ///
    /// # Errors
    /// One can't be opened, or would have another name: nothing has changed then.
    pub(super) fn adopt(&mut self, wanted: &[config::Listener]) -> anyhow::Result<Vec<String>> {
        let mut next = Vec::new();
        for listener in wanted {
            next.push(self.prepare(listener, &next)?);
        }
        let mut before: Vec<Option<Open>> = self.open.drain(..).map(Some).collect();
        let mut waiting = Vec::new();
        for (next, listener) in next.into_iter().zip(wanted) {
            let open = match next {
                Next::New(socket, welcome) => self.start(socket, welcome, listener),
                Next::Open(index, welcome) => {
                    let mut open = before[index].take().expect("none is prepared twice");
                    waiting.extend(open.adopt(listener, welcome));
                    open
                }
            };
            self.open.push(open);
        }
        before
            .into_iter()
            .flatten()
            .for_each(|open| self.close(open));
        self.closed.retain(|task| !task.is_finished());
        Ok(waiting)
    }

    /// All that can fail, before anything is changed; `others` are prepared already.
    fn prepare(&self, listener: &config::Listener, others: &[Next]) -> anyhow::Result<Next> {
        let takes = |next: &Next, index| matches!(next, Next::Open(other, _) if *other == index);
        let taken = |index| others.iter().any(|next| takes(next, index));
        let mut open = self.open.iter().enumerate();
        let same = open.find(|(index, open)| !taken(*index) && is_same(&open.listener, listener));
        let Some((index, open)) = same else {
            let welcome = Welcome::load(listener)?;
            return Ok(Next::New(
                Listener::open(listener, &self.inherited)?,
                welcome,
            ));
        };
        let open = &open.listener;
        // Clients that came by the old name may be about to choose an export.
        ensure!(
            open.name == listener.name,
            "{}: while it listens, {} can't get another name, which rules of `clients` may mean",
            listener.place,
            open.name
        );
        let changed = open.tls != listener.tls;
        let welcome = changed.then(|| Welcome::load(listener)).transpose()?;
        Ok(Next::Open(index, welcome))
    }

    fn start(&self, socket: Listener, welcome: Welcome, listener: &config::Listener) -> Open {
        match socket.address() {
            Ok(address) => tracing::info!("{} listens on {address}", listener.name),
            Err(error) => tracing::warn!("{}: {error}", listener.name),
        }
        let (welcome, welcomed) = watch::channel(welcome);
        Open {
            task: tokio::spawn(self.server.clone().serve(socket, welcomed)),
            listener: listener.clone(),
            welcome,
        }
    }

    fn close(&mut self, open: Open) {
        tracing::info!("no longer listening on {}", open.listener.name);
        open.welcome.send_replace(Welcome::Closed);
        self.closed.push(open.task);
    }

    /// Waits until all connections have ended.
    pub(super) async fn ended(&mut self) {
        let open = self.open.drain(..).map(|open| (open.task, open.welcome));
        let closed = self.closed.drain(..);
        let (open, _welcomes): (Vec<_>, Vec<_>) = open.unzip();
        for task in open.into_iter().chain(closed) {
            if let Err(error) = task.await {
                tracing::error!("serving ended badly: {error}");
            }
        }
    }
}

impl Open {
    /// Goes over to what is wanted; says what can't change.
    fn adopt(&mut self, listener: &config::Listener, welcome: Option<Welcome>) -> Option<String> {
        if let Some(welcome) = welcome {
            self.welcome.send_replace(welcome);
        }
        if self.listener.address == listener.address {
            self.listener = listener.clone();
            return None;
        }
        self.listener.tls.clone_from(&listener.tls);
        Some(format!("mode and owner of {}", listener.name))
    }
}

/// Whether two mean the same socket, whoever may use it.
fn is_same(one: &config::Listener, other: &config::Listener) -> bool {
    match (&one.address, &other.address) {
        (Address::Unix { path: one, .. }, Address::Unix { path: other, .. }) => one == other,
        // Any port that is free: the names tell them apart.
        (Address::Tcp(address), _) if address.port() == 0 => {
            (&one.name, &one.address) == (&other.name, &other.address)
        }
        (one, other) => one == other,
    }
}
