//! The life of a server process, the same for `serve`, `serve --config` and `dev`.
//!
//! 1. **Boot**: the process raises its limit of descriptors. The command catches [`Signals`], opens its exports, makes
//!    a [`Service`] of them, and opens its [`Sockets`]. A failure or a signal ends the process.
//! 2. **Run**: [`Service::run`] writes the pidfile, notifies the supervisor, and waits for a signal or for the end of
//!    its purpose ([`Until`]).
//! 3. **Reload**: whenever [`Reload`] has a reason, the service reads again what it serves. A reload that fails changes
//!    nothing.
//! 4. **Drain**: the service admits no new client, and requests in flight get [`Options::drain`] to end. Another signal
//!    ends the drain.
//!
//! No code here reads arguments or prints. The commands do that.

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
use nbd_server::{Pollers, Server};
use nbdbox_config::poll::Poll;
use rustix::process::Signal;
use tokio::sync::watch::{Sender, channel};

use self::admin::AdminListener;
use self::listeners::Listeners;
use crate::admin::Admin;
use crate::machine;

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

/// The time that requests in flight get when the server stops, unless a configuration sets another. Restrains clients
/// that don't read their replies.
const DRAIN: Duration = Duration::from_secs(10);

/// The time to close the sockets and remove their files when the service must end at once. Each listener's task needs
/// one turn for that.
const CLOSING: Duration = Duration::from_millis(100);

/// The settings of a service, which stay the same from its boot to its end.
#[derive(Debug)]
pub(crate) struct Options {
    /// The time that requests in flight get when the service stops.
    pub(crate) drain: Duration,
    /// The file that has the process id while the service runs.
    pub(crate) pidfile: Option<PathBuf>,
    /// The process that gets the service's stage.
    pub(crate) supervisor: Supervisor,
    /// The parts of the protocol that the server offers to clients.
    pub(crate) offers: Offers,
    /// How long connections poll for their clients' next requests.
    pub(crate) poll: Poll,
}

impl Default for Options {
    /// No pidfile, no supervisor, 10 s to drain, and the whole protocol.
    fn default() -> Self {
        Self {
            drain: DRAIN,
            pidfile: None,
            supervisor: Supervisor::None,
            offers: Offers::default(),
            poll: Poll::default(),
        }
    }
}

/// A server that has booted: it has its exports, and clients connect to the sockets that the command opens for it.
pub(crate) struct Service<C> {
    signals: Signals,
    options: Options,
    sockets: Sockets<C>,
    /// `true` once the service stops.
    stop: Sender<bool>,
}

impl<C: Catalog + Observed> Service<C> {
    /// A service of these exports, without a socket yet. Must be called in a runtime of tokio.
    pub(crate) fn new(signals: Signals, catalog: Arc<C>, options: Options) -> Self {
        let (stop, stopped) = channel(false);
        let connections = catalog.limits().connections;
        let observed: Arc<dyn Observed> = Arc::<C>::clone(&catalog);
        let server = Server::new(catalog, connections, options.drain, stopped.clone())
            .offering(options.offers)
            .polling(Pollers::new(machine::pollers(), options.poll.time()));
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

    /// Runs until a signal comes or `until` is done, then drains. Returns the status of `until`. Dropping the future
    /// stops the service, too; the connections then drain by themselves while the runtime exists.
    ///
    /// # Errors
    /// The pidfile can't be written; a reload or `until` failed; a listener's task panicked.
    pub(crate) async fn run(
        mut self,
        reload: impl Reload<C>,
        mut until: impl Until,
    ) -> anyhow::Result<ExitCode> {
        // Last: a process that waits for the file finds all else done.
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
        // First: a client that finds a socket closed may expect that the connections drain already.
        let _ = self.stop.send(true);
        self.options.supervisor.stopping();
        tracing::info!("stopping");
        // Even after an error, this closes the sockets and removes their files.
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
                    // A reload may wait for a disk that hangs or for a compiler. A signal must end the service even
                    // then.
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

    /// Ends the service's purpose. Returns whether another signal came, so that all must end at once.
    async fn end(&mut self, until: &mut impl Until) -> bool {
        tokio::select! {
            () = until.end() => false,
            _ = self.signals.wait() => true,
        }
    }

    /// Admits no new client, and waits until the connections have ended. With `at_once` it only closes the sockets.
    async fn drain(mut self, at_once: bool) -> anyhow::Result<()> {
        // This fails only if all listeners' tasks have ended.
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

/// The reason why a service ends.
enum End {
    /// Its purpose is done.
    Done(ExitCode),
    /// A signal came.
    Signal(Signal),
}
