//! The listeners that are open, and going over to others.

use anyhow::{Context as _, ensure};
use device::Catalog;
use nbd_server::{Inherited, Listener, Server, Welcome};
use nbdbox_config::config::{self, Address};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listeners, each with a task.
pub(super) struct Listeners<C> {
    server: Server<C>,
    /// Those that stay until the end.
    fixed: Vec<Serving>,
    /// Those of the configuration.
    open: Vec<Open>,
    /// Tasks of listeners that were closed, for as long as somebody is connected.
    closed: Vec<JoinHandle<()>>,
}

/// A listener's task.
struct Serving {
    /// How those who come next are received; must be there for as long as the task.
    welcome: watch::Sender<Welcome>,
    task: JoinHandle<()>,
}

struct Open {
    /// As the configuration has it; the socket itself is still as it was opened.
    listener: config::Listener,
    /// Where it is.
    at: nbd_server::Address,
    serving: Serving,
}

/// A listener that is wanted, ready to be taken over.
enum Next {
    New(Listener, Welcome),
    /// One that is open, and what is to change about it.
    Open(usize, Option<Welcome>),
}

impl<C: Catalog> Listeners<C> {
    pub(super) fn new(server: Server<C>) -> Self {
        Self {
            server,
            fixed: Vec::new(),
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// The address of the configuration's first listener; an empty one if none is open.
    pub(super) fn address(&self) -> nbd_server::Address {
        let first = self.open.first();
        first.map_or_else(nowhere, |open| open.at.clone())
    }

    /// Lets clients in by a socket until the server stops.
    pub(super) fn listen(&mut self, socket: Listener, welcome: Welcome) {
        let serving = self.serve(socket, welcome);
        self.fixed.push(serving);
    }

    /// Opens those that are new, changes how clients are received by those that stay, and closes those that
    /// are no more: who is connected stays. Says what was changed in vain.
    ///
    /// # Errors
    /// One can't be opened, or would have another name: nothing has changed then.
    pub(super) fn adopt(
        &mut self,
        wanted: &[config::Listener],
        inherited: &Inherited,
    ) -> anyhow::Result<Vec<String>> {
        let mut next = Vec::new();
        for listener in wanted {
            next.push(self.prepare(listener, inherited, &next)?);
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
    fn prepare(
        &self,
        listener: &config::Listener,
        inherited: &Inherited,
        others: &[Next],
    ) -> anyhow::Result<Next> {
        let takes = |next: &Next, index| matches!(next, Next::Open(other, _) if *other == index);
        let taken = |index| others.iter().any(|next| takes(next, index));
        let mut open = self.open.iter().enumerate();
        let same = open.find(|(index, open)| !taken(*index) && is_same(&open.listener, listener));
        let Some((index, open)) = same else {
            let welcome = Welcome::load(listener)?;
            return Ok(Next::New(Listener::open(listener, inherited)?, welcome));
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
        let at = socket.address();
        match &at {
            Ok(address) => tracing::info!("{} listens on {address}", listener.name),
            Err(error) => tracing::warn!("{}: {error}", listener.name),
        }
        Open {
            listener: listener.clone(),
            at: at.unwrap_or_else(|_| nowhere()),
            serving: self.serve(socket, welcome),
        }
    }

    fn serve(&self, socket: Listener, welcome: Welcome) -> Serving {
        let (welcome, welcomed) = watch::channel(welcome);
        let serving = self.server.clone().serve(socket, welcomed);
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's: one for each listener of the configuration, which ends when it's closed"
        )]
        let task = tokio::spawn(serving);
        Serving { welcome, task }
    }

    fn close(&mut self, open: Open) {
        tracing::info!("no longer listening on {}", open.listener.name);
        open.serving.welcome.send_replace(Welcome::Closed);
        self.closed.push(open.serving.task);
    }

    /// Waits until all connections have ended.
    ///
    /// # Errors
    /// A task ended badly, as far as is known when all have ended.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let open = self.open.drain(..).map(|open| open.serving);
        let serving = self.fixed.drain(..).chain(open);
        let serving = serving.map(|serving| (serving.task, serving.welcome));
        let (mut tasks, _welcomes): (Vec<_>, Vec<_>) = serving.unzip();
        tasks.append(&mut self.closed);
        let mut all = Ok(());
        for task in tasks {
            all = all.and(task.await.context("serving ended badly"));
        }
        all
    }
}

impl Open {
    /// Goes over to what is wanted; says what can't change.
    fn adopt(&mut self, listener: &config::Listener, welcome: Option<Welcome>) -> Option<String> {
        if let Some(welcome) = welcome {
            self.serving.welcome.send_replace(welcome);
        }
        if self.listener.address == listener.address {
            self.listener = listener.clone();
            return None;
        }
        self.listener.tls.clone_from(&listener.tls);
        Some(format!("mode and owner of {}", listener.name))
    }
}

/// The address of what has none.
fn nowhere() -> nbd_server::Address {
    nbd_server::Address::Unix("".into())
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
