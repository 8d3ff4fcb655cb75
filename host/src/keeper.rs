//! The keeper: a small process that opens files and sockets by name for servers behind their [walls](crate::walls).
//!
//! ```text
//!  operator ── signals, files ──► keeper ──── one link each: requests, answers, descriptors ────► servers ◄── clients
//!                                   │                                                               │
//!                                   └── compilers, the command of --run                             └── plugins
//! ```
//!
//! The keeper has the operator's rights, and starts before any process loads untrusted code. It reads the
//! configuration, derives the [`Rights`](outside::Rights) of each server from it, and answers every other request by
//! EPERM. It parses nothing that a client or a plugin sent: it only computes the digest of a plugin's file and passes
//! the file to a compiler.
//!
//! A keeper has one server, unless a listener has a process of its own ([`Part`](nbdbox_config::config::Part)).
//!
//! | file | has |
//! |---|---|
//! | [`charge`] | what a command passes to its keeper: parts, rights, sockets, and the reasons for a reload |
//! | [`server`] | one server: its start, its events, its restart after it died |
//! | [`process`] | the process of a server |
//! | [`desk`] | checks the requests of a server against its rights, and does them |
//! | [`mod@line`] | the messages between a server and its desk |
//! | [`stock`] | what the keeper gives to all servers: code, sockets, visits |
//! | [`opened`] | the open sockets, and the servers that listen on them |
//! | [`rights`] | derives rights from a configuration |

mod charge;
mod desk;
mod line;
mod opened;
mod process;
mod rights;
mod server;
mod stock;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;

use anyhow::ensure;
use futures_util::future::select_all;
use outside::Stage;
use rustix::process::Signal;

use self::desk::Desk;
use self::process::Launch;
use self::server::{Event, Server, death};
use self::stock::Stock;
use crate::service::{PidFile, Signals, Supervisor, Until};

pub(crate) use self::charge::{Charge, Occasion, Occasions, SameRights, Serving, Unchanging};
pub(crate) use self::opened::Opened;
pub(crate) use self::rights::{blob, native, of_configuration, of_exports, plugin, tls};
pub(crate) use self::stock::Supplies;

/// Runs servers until one of them ends by itself, or a signal or `until` ends them all. Calls `until` once all servers
/// admit clients. Returns the exit status of this process.
///
/// # Errors
/// A server can't be started; the pidfile can't be written; `until` failed; a signal came before the servers were
/// ready.
pub(crate) async fn keep<U: Until>(
    signals: Signals,
    charge: Charge,
    occasions: impl Occasions,
    until: impl FnOnce(&Opened) -> anyhow::Result<U>,
) -> anyhow::Result<ExitCode> {
    let Charge {
        arguments,
        all_walls,
        pidfile,
        supervisor,
        restart,
        parts,
        supplies,
    } = charge;
    let mut keeping = Keeping {
        launch: Launch {
            arguments,
            all_walls,
        },
        restart,
        stock: Stock::new(supplies),
        servers: Vec::new(),
        next: None,
        signals,
        occasions,
        supervisor,
        wanted: Some((pidfile, until)),
        ready: None,
    };
    for part in parts {
        keeping.start(part)?;
    }
    keeping.attend().await
}

/// The keeper's state while its servers run.
struct Keeping<O, F, U> {
    launch: Launch,
    /// Whether the keeper starts another process for a server that died.
    restart: bool,
    stock: Arc<Stock>,
    servers: Vec<Server>,
    /// The reason for a reload, and the servers that the configuration has now. The reload waits until servers that
    /// leave have ended, since a tenant can't be in two servers.
    next: Option<(String, Vec<Serving>)>,
    signals: Signals,
    occasions: O,
    supervisor: Supervisor,
    /// The pidfile to write, and the function to call, once the servers admit clients.
    wanted: Option<(Option<PathBuf>, F)>,
    /// What these two made.
    ready: Option<Ready<U>>,
}

struct Ready<U> {
    _pidfile: Option<PidFile>,
    until: U,
}

impl<O, F, U> Keeping<O, F, U>
where
    O: Occasions,
    F: FnOnce(&Opened) -> anyhow::Result<U>,
    U: Until,
{
    fn start(&mut self, serving: Serving) -> anyhow::Result<()> {
        let Serving {
            part,
            rights,
            hidden,
        } = serving;
        let desk = Desk::new(&self.stock, part.clone(), rights);
        let server = Server::start(&self.launch, part, hidden, desk)?;
        self.servers.push(server);
        Ok(())
    }

    /// Answers the servers, and passes signals and reloads on to them, until all have ended.
    async fn attend(mut self) -> anyhow::Result<ExitCode> {
        loop {
            tokio::select! {
                event = event(&mut self.servers) => {
                    let (index, event) = event?;
                    if let Some(status) = self.heed(index, event).await? {
                        return Ok(status);
                    }
                }
                signal = self.signals.wait() => return self.end_by(signal).await,
                occasion = self.occasions.next() => self.take_over(occasion)?,
                status = done(&mut self.ready) => {
                    let status = status?;
                    let ended = self.stop(Signal::TERM).await?;
                    return Ok(if ended.success() { status } else { code(ended) });
                }
            }
        }
    }

    /// Handles an event of a server. Returns the exit status once all servers have ended.
    async fn heed(&mut self, index: usize, event: Event) -> anyhow::Result<Option<ExitCode>> {
        let server = &mut self.servers[index];
        match event {
            Event::Stage(Stage::Ready) => {
                server.desk().settle();
                server.was_ready = true;
                server.reloads = false;
                if let Err(error) = self.go_on() {
                    let _ = self.stop(Signal::TERM).await;
                    return Err(error);
                }
            }
            Event::Stage(Stage::Stopping) => self.be_stopping(index),
            Event::Stage(Stage::Reloading) => {}
            Event::Stage(Stage::Unchanged) => server.desk().keep_both(),
            Event::Due => server.start_again(&self.launch)?,
            Event::Ended(status) => return self.ended(index, status).await,
        }
        Ok(None)
    }

    /// Handles the end of a server's process: the server has left, restarts after a pause, or ends the others, too.
    async fn ended(
        &mut self,
        index: usize,
        status: ExitStatus,
    ) -> anyhow::Result<Option<ExitCode>> {
        let is_alone = self.servers.len() == 1;
        let server = &mut self.servers[index];
        if server.leaves {
            self.go_on()?;
            return Ok(None);
        }
        let how = match death(status) {
            // The server has logged its reasons. The other servers go on.
            None if !status.success() && !is_alone && self.ready.is_some() => {
                format!("ended with status {}", status.code().unwrap_or(1))
            }
            None => {
                self.stop(Signal::TERM).await?;
                return Ok(Some(code(status)));
            }
            Some(how) => how,
        };
        let name = server.name();
        if !self.restart || self.ready.is_none() {
            tracing::error!(target: "nbdbox::service", "{name} {how}");
            self.stop(Signal::TERM).await?;
            return Ok(Some(ExitCode::FAILURE));
        }
        let pause = server.pause().as_millis();
        tracing::error!(
            target: "nbdbox::service",
            "{name} {how}; the keeper starts it again in {pause} ms"
        );
        self.go_on()?;
        Ok(None)
    }

    /// Begins a reload. A server that loses rights keeps them until it has read the new configuration.
    fn take_over(&mut self, occasion: Occasion) -> anyhow::Result<()> {
        self.supervisor.reloading();
        let Occasion { reason, parts } = occasion;
        match parts {
            Err(error) => tracing::error!(
                target: "nbdbox::service",
                "can't reload the configuration ({reason}); the previous one stays in force:\n{error:#}"
            ),
            Ok(parts) => {
                for server in &mut self.servers {
                    let stays = parts.iter().any(|serving| serving.part == *server.part());
                    if !stays && !server.leaves {
                        server.leaves = true;
                        server.signal(Signal::TERM);
                    }
                }
                self.next = Some((reason, parts));
            }
        }
        self.go_on()
    }

    /// Does the next steps of the start or of a reload, as far as the servers allow. First the servers that leave end,
    /// then those that stay read the configuration, then new ones start.
    fn go_on(&mut self) -> anyhow::Result<()> {
        for server in self
            .servers
            .extract_if(.., |server| server.leaves && server.has_ended())
        {
            self.stock.opened.leave(server.part());
            self.stock.unseat(server.part());
        }
        if self.servers.iter().any(|server| server.leaves) {
            return Ok(());
        }
        if let Some((reason, parts)) = &mut self.next {
            for server in &mut self.servers {
                let own = parts.iter().position(|one| one.part == *server.part());
                if let Some(own) = own {
                    server.serve_anew(parts.swap_remove(own), reason);
                }
            }
        }
        if self.servers.iter().any(|server| server.reloads) {
            return Ok(());
        }
        for part in self.next.take().map(|(_, parts)| parts).unwrap_or_default() {
            self.start(part)?;
        }
        self.be_ready()
    }

    /// Reports that the servers admit clients: for the first time, once all are ready, or after a reload.
    fn be_ready(&mut self) -> anyhow::Result<()> {
        if self.wanted.is_some() {
            if !self.servers.iter().all(|server| server.was_ready) {
                return Ok(());
            }
            if let Some((pidfile, until)) = self.wanted.take() {
                let until = until(&self.stock.opened)?;
                // Last: a process that waits for the file finds all else done.
                let pidfile = pidfile.map(PidFile::write).transpose()?;
                self.ready = Some(Ready {
                    _pidfile: pidfile,
                    until,
                });
            }
        }
        self.supervisor.ready();
        Ok(())
    }

    /// Handles the drain of a server. Closes the keeper's copies of its sockets, so that no client queues there.
    fn be_stopping(&mut self, index: usize) {
        let server = &self.servers[index];
        if !server.leaves {
            self.supervisor.stopping();
        }
        self.stock.opened.stop(server.part());
    }

    /// Ends all servers after a signal.
    async fn end_by(mut self, signal: Signal) -> anyhow::Result<ExitCode> {
        let at_once = self.end_until().await?;
        for server in &mut self.servers {
            server.signal(signal);
            if at_once {
                server.signal(signal);
            }
        }
        let ended = self.all_ended().await?;
        // A server that catches no signals yet dies of this one.
        ensure!(
            self.ready.is_some() || ended.signal().is_none(),
            "stopped by a signal before it was ready"
        );
        Ok(match &self.ready {
            Some(ready) if ended.success() => ready.until.status(signal),
            _ => code(ended),
        })
    }

    /// Ends `until`, and answers the servers meanwhile. Returns whether another signal came, so that all must end at
    /// once.
    async fn end_until(&mut self) -> anyhow::Result<bool> {
        let Some(ready) = &mut self.ready else {
            return Ok(false);
        };
        let mut ending = pin!(ready.until.end());
        loop {
            tokio::select! {
                () = &mut ending => return Ok(false),
                _ = self.signals.wait() => return Ok(true),
                // The stage of a server no longer matters, since the keeper is about to end it.
                event = event(&mut self.servers) => {
                    event?;
                }
            }
        }
    }

    /// Sends all servers a signal, and waits until they have ended.
    async fn stop(&mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        for server in &mut self.servers {
            server.signal(signal);
        }
        self.all_ended().await
    }

    /// Answers the servers until all have ended. Returns the status of the first one that failed, or success.
    async fn all_ended(&mut self) -> anyhow::Result<ExitStatus> {
        while !self.servers.iter().all(Server::has_ended) {
            tokio::select! {
                event = event(&mut self.servers) => {
                    if let (index, Event::Stage(Stage::Stopping)) = event? {
                        self.be_stopping(index);
                    }
                }
                // Another signal ends all servers at once, even one that ignores signals.
                signal = self.signals.wait() => {
                    for server in &mut self.servers {
                        server.signal(signal);
                        server.insist();
                    }
                }
            }
        }
        let mut statuses = self.servers.iter().filter_map(Server::status);
        let failed = statuses.find(|status| !status.success());
        Ok(failed.unwrap_or_default())
    }
}

/// Waits for the next event of any server. Dropping the future loses nothing.
async fn event(servers: &mut [Server]) -> anyhow::Result<(usize, Event)> {
    if servers.is_empty() {
        return std::future::pending().await;
    }
    let events = servers.iter_mut().map(|server| Box::pin(server.event()));
    let (event, index, _) = select_all(events).await;
    Ok((index, event?))
}

async fn done<U: Until>(ready: &mut Option<Ready<U>>) -> anyhow::Result<ExitCode> {
    match ready {
        Some(ready) => ready.until.done().await,
        None => std::future::pending().await,
    }
}

fn code(ended: ExitStatus) -> ExitCode {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
