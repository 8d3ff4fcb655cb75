//! The open listeners of a server, and their replacement at a reload.

use anyhow::{Context as _, ensure};
use device::Catalog;
use nbd_server::{Inherited, Listener, Server, Welcome};
use nbdbox_config::config::{self, Address};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The listeners of a server. Each has a task.
pub(super) struct Listeners<C> {
    server: Server<C>,
    /// The listeners that stay until the end.
    fixed: Vec<Serving>,
    /// The listeners of the configuration.
    open: Vec<Open>,
    /// The tasks of closed listeners that still have connections.
    closed: Vec<JoinHandle<()>>,
}

/// The task of a listener.
struct Serving {
    /// How the task receives new clients. Must live as long as the task.
    welcome: watch::Sender<Welcome>,
    task: JoinHandle<()>,
}

struct Open {
    /// The listener as the configuration has it. Its socket keeps the mode and owner that it was opened with.
    listener: config::Listener,
    /// The socket's address.
    at: nbd_server::Address,
    serving: Serving,
}

/// A prepared listener of the next configuration.
enum Next {
    /// A new socket.
    New(Listener, Welcome),
    /// The listener at this place in `open`, and how it receives new clients from now on, if that changes.
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

    /// The address of the configuration's first listener; an empty path if none is open.
    pub(super) fn address(&self) -> nbd_server::Address {
        let first = self.open.first();
        first.map_or_else(nowhere, |open| open.at.clone())
    }

    /// Admits clients on a socket until the server stops.
    pub(super) fn listen(&mut self, socket: Listener, welcome: Welcome) {
        let serving = self.serve(socket, welcome);
        self.fixed.push(serving);
    }

    /// Opens new listeners, changes how remaining ones receive new clients, and closes removed ones. Connected clients
    /// stay. Returns the changes that need a restart.
    ///
    /// # Errors
    /// A listener can't be opened, or would change its name. Nothing has changed.
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
                    let mut open = before[index].take().expect("no listener is prepared twice");
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

    /// Does everything for a listener that can fail, and changes nothing yet. `others` are prepared already.
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
        // Clients that connected under the old name may be about to choose an export.
        ensure!(
            open.name == listener.name,
            "{}: {} can't change its name while it listens, because rules of `clients` may refer to it",
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
            Err(error) => tracing::warn!("can't get the address of {}: {error}", listener.name),
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
            reason = "owner: the operator; one task for each listener of the configuration, which ends when it closes"
        )]
        let task = tokio::spawn(serving);
        Serving { welcome, task }
    }

    fn close(&mut self, open: Open) {
        tracing::info!("{} no longer listens", open.listener.name);
        open.serving.welcome.send_replace(Welcome::Closed);
        self.closed.push(open.serving.task);
    }

    /// Waits until all listeners and connections have ended.
    ///
    /// # Errors
    /// A task panicked. The error comes once all tasks have ended.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let open = self.open.drain(..).map(|open| open.serving);
        let serving = self.fixed.drain(..).chain(open);
        let serving = serving.map(|serving| (serving.task, serving.welcome));
        let (mut tasks, _welcomes): (Vec<_>, Vec<_>) = serving.unzip();
        tasks.append(&mut self.closed);
        let mut all = Ok(());
        for task in tasks {
            all = all.and(task.await.context("a listener's task failed"));
        }
        all
    }
}

impl Open {
    /// Changes the listener as far as possible. Returns the change that needs a restart, if any.
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

/// The address of a socket that has none.
fn nowhere() -> nbd_server::Address {
    nbd_server::Address::Unix("".into())
}

/// Whether two listeners have the same socket, even if its mode or owner differs.
fn is_same(one: &config::Listener, other: &config::Listener) -> bool {
    match (&one.address, &other.address) {
        (Address::Unix { path: one, .. }, Address::Unix { path: other, .. }) => one == other,
        // Port 0 is any free port, so only the names identify the socket.
        (Address::Tcp(address), _) if address.port() == 0 => {
            (&one.name, &one.address) == (&other.name, &other.address)
        }
        (one, other) => one == other,
    }
}
