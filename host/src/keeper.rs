//! The keeper: a small process that opens by name what servers behind their [walls](crate::walls) can't.
//!
//! ```text
//!  operator ── signals, files ──► keeper ──── one link each: requests, answers, descriptors ────► servers ◄── clients
//!                                   │                                                               │
//!                                   └── compilers, the command of --run                             └── plugins
//! ```
//!
//! It has the operator's rights, and starts before anything untrusted is loaded. It reads the configuration itself, and
//! derives the [`Rights`](outside::Rights) of each server from it: it answers every other request by EPERM. It looks into
//! nothing that a client or a plugin sent: it passes a plugin's file to a compiler, and only computes its digest.
//!
//! There's one server, unless a listener has a process of its own ([`Part`](nbdbox_config::config::Part)).
//!
//! | file | has |
//! |---|---|
//! | [`charge`] | what a command hands to its keeper: parts, rights, sockets, and what is done in addition to serving |
//! | [`server`] | one server: started, answered, started again if it dies |
//! | [`process`] | a server's process |
//! | [`desk`] | checks and does a server's requests |
//! | [`line`] | the messages of a server and its desk |
//! | [`stock`] | what all servers can be given |
//! | [`opened`] | the sockets that are open |
//! | [`rights`] | from a configuration to rights |

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

/// Keeps servers until one of them ends by itself, or a signal or `until` ends them all. `until` is called once clients can
/// come in.
///
/// # Errors
/// A server can't be started; the pidfile can't be written.
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

/// What is kept while servers come and go.
struct Keeping<O, F, U> {
    launch: Launch,
    /// Whether a server that died is started again.
    restart: bool,
    stock: Arc<Stock>,
    servers: Vec<Server>,
    /// The servers that the configuration wants now, and why it was read: it waits until servers that leave have ended,
    /// since two servers can't have one tenant.
    next: Option<(String, Vec<Serving>)>,
    signals: Signals,
    occasions: O,
    supervisor: Supervisor,
    /// What is begun once clients can come in.
    wanted: Option<(Option<PathBuf>, F)>,
    /// The same, begun.
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

    /// Answers the servers, and hands on what comes, until all have ended.
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

    /// Acts on what a server did. The status for the whole, if all have ended.
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

    /// A server has ended: it left, is started again, or all end with it.
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
            // It has logged its reasons. Other servers don't end because one can't go on.
            None if !status.success() && !is_alone && self.ready.is_some() => {
                format!("status {}", status.code().unwrap_or(1))
            }
            None => {
                self.stop(Signal::TERM).await?;
                return Ok(Some(code(status)));
            }
            Some(how) => how,
        };
        let words = server.words();
        if !self.restart || self.ready.is_none() {
            tracing::error!(target: "nbdbox::service", "{words} ended by {how}");
            self.stop(Signal::TERM).await?;
            return Ok(Some(ExitCode::FAILURE));
        }
        let pause = server.pause().as_millis();
        tracing::error!(
            target: "nbdbox::service",
            "{words} ended by {how}; the keeper starts it again in {pause} ms"
        );
        self.go_on()?;
        Ok(None)
    }

    /// Lets the servers read the configuration again. A server keeps rights that it loses until it has read it.
    fn take_over(&mut self, occasion: Occasion) -> anyhow::Result<()> {
        self.supervisor.reloading();
        let Occasion { reason, parts } = occasion;
        match parts {
            Err(error) => tracing::error!(
                target: "nbdbox::service",
                "the configuration can't be used, and nothing is changed ({reason}):\n{error:#}"
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

    /// Goes on with the start, or with a reload, as far as the servers are: those that leave have to end, then those that
    /// stay read the configuration, then new ones are started.
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

    /// Clients can come in, for the first time or again.
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

    /// A server lets nobody else in, and the keeper's copies of its sockets don't either.
    fn be_stopping(&mut self, index: usize) {
        let server = &self.servers[index];
        if !server.leaves {
            self.supervisor.stopping();
        }
        self.stock.opened.stop(server.part());
    }

    /// Ends everything after a signal.
    async fn end_by(mut self, signal: Signal) -> anyhow::Result<ExitCode> {
        let at_once = self.end_until().await?;
        for server in &mut self.servers {
            server.signal(signal);
            if at_once {
                server.signal(signal);
            }
        }
        let ended = self.all_ended().await?;
        // It may have been too early to catch signals.
        ensure!(
            self.ready.is_some() || ended.signal().is_none(),
            "stopped by a signal before it was ready"
        );
        Ok(match &self.ready {
            Some(ready) if ended.success() => ready.until.status(signal),
            _ => code(ended),
        })
    }

    /// Ends what the servers run for, and answers them meanwhile. Whether another signal came: then all has to end at once.
    async fn end_until(&mut self) -> anyhow::Result<bool> {
        let Some(ready) = &mut self.ready else {
            return Ok(false);
        };
        let mut ending = pin!(ready.until.end());
        loop {
            tokio::select! {
                () = &mut ending => return Ok(false),
                _ = self.signals.wait() => return Ok(true),
                // How far a server is doesn't count any more: it's about to be ended.
                event = event(&mut self.servers) => drop(event?),
            }
        }
    }

    async fn stop(&mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        for server in &mut self.servers {
            server.signal(signal);
        }
        self.all_ended().await
    }

    /// Answers servers that were told to end until all have. The status of the first one that failed.
    async fn all_ended(&mut self) -> anyhow::Result<ExitStatus> {
        while !self.servers.iter().all(Server::has_ended) {
            tokio::select! {
                event = event(&mut self.servers) => {
                    if let (index, Event::Stage(Stage::Stopping)) = event? {
                        self.be_stopping(index);
                    }
                }
                // Another signal ends them at once, also one that doesn't obey.
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

/// Waits until one of the servers does something. Dropping it loses nothing.
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
