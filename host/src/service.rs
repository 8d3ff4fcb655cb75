//! The life of a server process, the same for `serve`, `serve --config` and `dev`.
//!
//! 1. **Boot**: the limit of descriptors is raised; the command catches [`Signals`], opens its exports, makes a [`Service`] of them and opens its
//!    [`Sockets`]. What fails here ends the process, and a signal ends it early.
//! 2. **Run**: [`Service::run`] writes the pidfile, tells the supervisor that it's ready, and waits for a signal, or for
//!    the end of what it runs for ([`Until`]).
//! 3. **Reload**: whenever its [`Reload`] finds a reason, what is served is looked at again. One that fails changes
//!    nothing.
//! 4. **Drain**: nobody else is let in, and requests under way have [`Options::drain`] to end. Another signal ends it
//!    at once.
//!
//! Nothing here reads arguments or prints: what a command has to say besides its log is its own.

mod admin;
mod cache;
mod changes;
mod configured;
mod descriptors;
mod entrance;
mod kept;
mod listeners;
mod pidfile;
mod reload;
mod restart;
mod signals;
mod sockets;
mod supervisor;
mod threads;
mod until;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use device::Catalog;
use device::metrics::Observed;
use nbd_proto::Offers;
use nbd_server::Server;
use rustix::process::Signal;
use tokio::sync::watch::{Sender, channel};

use self::admin::AdminListener;
use self::listeners::Listeners;
use crate::admin::Admin;

pub(crate) use cache::open_cache;
pub(crate) use changes::Changes;
pub(crate) use configured::{Wanted, serve_configuration};
pub(crate) use descriptors::Demand;
pub(crate) use entrance::{Entrance, Opened};
pub(crate) use kept::{Kept, absolute, keep_configuration};
pub(crate) use pidfile::PidFile;
pub(crate) use reload::{NoReload, Reload};
pub(crate) use signals::Signals;
pub(crate) use sockets::Sockets;
pub(crate) use supervisor::Supervisor;
pub(crate) use threads::{block_on, block_on_one};
pub(crate) use until::Until;
pub(crate) use watch::FileWatcher;

/// Time that connections have to finish what is under way when the server stops, unless a configuration sets
/// another. Restrains clients that don't read their replies.
const DRAIN: Duration = Duration::from_secs(10);

/// Time for the sockets to be closed and their files to be removed when all has to end at once: it takes no more than
/// a turn of each listener's task.
const CLOSING: Duration = Duration::from_millis(100);

/// What a service is told when it boots, and keeps.
#[derive(Debug)]
pub(crate) struct Options {
    /// The time that requests under way have when it stops.
    pub(crate) drain: Duration,
    /// The file that has the process id while it runs.
    pub(crate) pidfile: Option<PathBuf>,
    /// Who is told how far it is.
    pub(crate) supervisor: Supervisor,
    /// What of the protocol is offered to clients.
    pub(crate) offers: Offers,
}

impl Default for Options {
    /// Without a pidfile and a supervisor, and with ten seconds to drain.
    fn default() -> Self {
        Self {
            drain: DRAIN,
            pidfile: None,
            supervisor: Supervisor::None,
            offers: Offers::default(),
        }
    }
}

/// A server that booted: its exports are there, and clients come in by the sockets that are opened for it.
pub(crate) struct Service<C> {
    signals: Signals,
    options: Options,
    sockets: Sockets<C>,
    /// `true` once it stops.
    stop: Sender<bool>,
}

impl<C: Catalog + Observed> Service<C> {
    /// A service of these exports, without a socket yet. Must be called in a runtime.
    pub(crate) fn new(signals: Signals, catalog: Arc<C>, options: Options) -> Self {
        let (stop, stopped) = channel(false);
        let connections = catalog.limits().connections;
        let observed: Arc<dyn Observed> = Arc::<C>::clone(&catalog);
        let server = Server::new(catalog, connections, options.drain, stopped.clone())
            .offering(options.offers);
        let admin = Admin::new(observed, Arc::clone(server.metrics()), stopped);
        Self {
            signals,
            options,
            sockets: Sockets::new(Listeners::new(server), AdminListener::new(admin)),
            stop,
        }
    }

    /// The sockets of its clients and its operator.
    pub(crate) fn sockets(&mut self) -> &mut Sockets<C> {
        &mut self.sockets
    }

    /// Runs until a signal comes or `until` is done, then drains. Returns the status that `until` gave. Dropping it
    /// stops the service too, and connections drain by themselves for as long as the runtime is there.
    ///
    /// # Errors
    /// The pidfile can't be written; a reload or `until` says that the service can't go on; serving ended badly.
    pub(crate) async fn run(
        mut self,
        reload: impl Reload<C>,
        mut until: impl Until,
    ) -> anyhow::Result<ExitCode> {
        // Last: whoever waits for the file finds all else done.
        let pidfile = self.options.pidfile.take();
        let pidfile = pidfile.map(PidFile::write).transpose();
        let end = match &pidfile {
            Ok(_) => {
                self.options.supervisor.ready();
                self.attend(reload, &mut until).await
            }
            Err(_) => Ok(End::Done(ExitCode::FAILURE)),
        };
        let mut at_once = false;
        let status = match end {
            Ok(End::Done(status)) => Ok(status),
            Ok(End::Signal(signal)) => {
                at_once = self.end(&mut until).await;
                Ok(until.status(signal))
            }
            Err(error) => {
                at_once = self.end(&mut until).await;
                Err(error)
            }
        };
        drop(until);
        // Before anybody hears of it: whoever finds the sockets closed finds the connections told.
        let _ = self.stop.send(true);
        self.options.supervisor.stopping();
        tracing::info!("stopping");
        // However it ends, the sockets that were opened are closed and their files removed.
        self.drain(at_once).await?;
        pidfile.and(status)
    }

    /// Reloads when there is a reason, until a signal comes or `until` is done.
    async fn attend(
        &mut self,
        mut reload: impl Reload<C>,
        until: &mut impl Until,
    ) -> anyhow::Result<End> {
        let mut done = std::pin::pin!(until.done());
        loop {
            tokio::select! {
                signal = self.signals.wait() => return Ok(End::Signal(signal)),
                status = &mut done => return Ok(End::Done(status?)),
                reason = reload.reason() => {
                    self.options.supervisor.reloading();
                    // What it waits for, a disk that hangs or a compiler, keeps nobody from ending the service.
                    tokio::select! {
                        signal = self.signals.wait() => return Ok(End::Signal(signal)),
                        status = &mut done => return Ok(End::Done(status?)),
                        done = reload.reload(&reason, &mut self.sockets) => done?,
                    }
                    self.options.supervisor.ready();
                }
            }
        }
    }

    /// Ends what the service runs for. Whether another signal came: then all has to end at once.
    async fn end(&mut self, until: &mut impl Until) -> bool {
        tokio::select! {
            () = until.end() => false,
            _ = self.signals.wait() => true,
        }
    }

    /// Lets nobody else in, and waits for those who are connected, unless all has to end at once.
    async fn drain(mut self, at_once: bool) -> anyhow::Result<()> {
        // Nobody listens any more only if serving has ended already.
        let _ = self.stop.send(true);
        let asked_again = async {
            match at_once {
                true => tokio::time::sleep(CLOSING).await,
                false => drop(self.signals.wait().await),
            }
        };
        let ended = tokio::select! {
            ended = self.sockets.ended() => ended,
            () = asked_again => Ok(()),
        };
        self.sockets.close_admin().await;
        ended
    }
}

/// Why a service ends.
enum End {
    /// There's nothing left to run for.
    Done(ExitCode),
    /// It was told to.
    Signal(Signal),
}
