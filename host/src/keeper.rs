//! The keeper: a small process that does by name what a server behind its [walls](crate::walls) can't.
//!
//! ```text
//!  operator ── signals, files ──► keeper ──── one link: asks, answers, descriptors ────► server ◄── clients
//!                                   │                                                       │
//!                                   └── compilers, the command of --run                     └── plugins
//! ```
//!
//! It has the operator's rights, and starts before anything untrusted is loaded. It reads the operator's words itself,
//! and makes of them the [`Rights`](outside::Rights) of the server: an ask that isn't among them is answered by EPERM, whoever asks. It
//! looks into nothing that a client or a plugin sent: a plugin's bytes go to a compiler, unread except for their digest.
//!
//! | file | has |
//! |---|---|
//! | [`charge`] | what a command hands to its keeper: rights, sockets, and what is done beside serving |
//! | [`desk`] | answers asks |
//! | [`ward`] | the server's process: started, told of signals, started again |
//! | [`rights`] | from a configuration to rights |

mod charge;
mod desk;
mod rights;
mod ward;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use outside::{Note, Stage};
use rustix::process::Signal;
use tokio::time::{sleep, sleep_until, timeout};

use self::desk::{Desk, Line};
use self::ward::Ward;
use crate::service::{PidFile, Signals, Supervisor, Until};

pub(crate) use self::charge::{Charge, Granted, Occasion, Occasions, SameRights, Unchanging};
pub(crate) use self::desk::{Opened, Supplies};
pub(crate) use self::rights::{
    blob, native, of_configuration, of_exports, plugin, tls, unread_configuration,
};

/// Time to end for a server that has closed its link, or was told to end at once: SIGKILL follows.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a server that died is started again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A server that lived so long is taken to be well again.
const WELL: Duration = Duration::from_secs(60);

/// Keeps a server until it ends, or what it runs for does. `until` is asked for once clients can come in.
///
/// # Errors
/// The server can't be started; the pidfile can't be written.
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
        supplies,
    } = charge;
    let mut keeping = Keeping {
        desk: Desk::new(supplies),
        signals,
        occasions,
        supervisor,
        wanted: Some((pidfile, until)),
        ready: None,
    };
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let (ward, link) = Ward::start(&arguments, all_walls)?;
        let line = keeping.desk.line(link)?;
        let how = match keeping.attend(ward, line).await? {
            End::Status(status) => return Ok(status),
            End::Died(how) => how,
        };
        if !restart || keeping.ready.is_none() {
            tracing::error!(target: "nbdbox::service", "the server ended by {how}");
            return Ok(ExitCode::FAILURE);
        }
        if begun.elapsed() > WELL {
            pause = PAUSE;
        }
        tracing::error!(
            target: "nbdbox::service",
            "the server ended by {how}, and is started again in {} ms",
            pause.as_millis()
        );
        if keeping.is_stopped_within(pause).await {
            return Ok(ExitCode::FAILURE);
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// How a server ended.
enum End {
    /// As it was to, with this status for the whole.
    Status(ExitCode),
    /// By itself, by this signal.
    Died(String),
}

/// What is kept while servers come and go.
struct Keeping<O, F, U> {
    desk: Desk,
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
    /// Answers a server, and hands on what comes, until it has ended.
    async fn attend(&mut self, mut ward: Ward, mut line: Line) -> anyhow::Result<End> {
        loop {
            tokio::select! {
                ended = ward.ended() => return Ok(end(ended?)),
                stage = line.stage() => match stage {
                    Some(Stage::Ready) => {
                        if let Err(error) = self.be_ready() {
                            let _ = self.stop(&mut ward, &mut line, Signal::TERM).await;
                            return Err(error);
                        }
                    }
                    Some(Stage::Stopping) => self.be_stopping(),
                    Some(Stage::Reloading) => {}
                    Some(Stage::Unchanged) => self.desk.keep_both(),
                    // Its process is about to end, or can't be understood: then it's of no use.
                    None => {
                        if let Ok(ended) = timeout(PATIENCE, ward.ended()).await {
                            return Ok(end(ended?));
                        }
                        return Ok(end(self.stop(&mut ward, &mut line, Signal::KILL).await?));
                    }
                },
                signal = self.signals.wait() => {
                    let at_once = answering(&mut line, self.end_until()).await;
                    ward.signal(signal);
                    if at_once {
                        ward.signal(signal);
                    }
                    let ended = self.stopped(&mut ward, &mut line).await?;
                    // It may not have come to where it catches signals.
                    ensure!(
                        self.ready.is_some() || ended.signal().is_none(),
                        "stopped by a signal before it was ready"
                    );
                    return Ok(End::Status(self.status_by(signal, ended)));
                }
                occasion = self.occasions.next() => self.reload(&mut line, occasion),
                status = done(&mut self.ready) => {
                    let status = status?;
                    let ended = self.stop(&mut ward, &mut line, Signal::TERM).await?;
                    return Ok(End::Status(if ended.success() { status } else { code(ended) }));
                }
            }
        }
    }

    /// Clients can come in, for the first time or again.
    fn be_ready(&mut self) -> anyhow::Result<()> {
        self.desk.settle();
        if let Some((pidfile, until)) = self.wanted.take() {
            // Last: whoever waits for the file finds all else done.
            let until = until(self.desk.opened())?;
            let pidfile = pidfile.map(PidFile::write).transpose()?;
            self.ready = Some(Ready {
                _pidfile: pidfile,
                until,
            });
        }
        self.supervisor.ready();
        Ok(())
    }

    /// Nobody else comes in, not by the keeper's copies of the sockets either.
    fn be_stopping(&self) {
        self.supervisor.stopping();
        self.desk.opened().close();
    }

    /// Lets the server look again. What the operator took away it may ask for until it has looked.
    fn reload(&mut self, line: &mut Line, occasion: Occasion) {
        self.supervisor.reloading();
        let Occasion { reason, rights } = occasion;
        match rights {
            Granted::Anew(rights) => self.desk.grant(rights),
            Granted::More(rights) => self.desk.amend(rights),
        }
        line.note(Note::Reload(reason));
    }

    /// Ends what the server runs for. Whether another signal came: then all has to end at once.
    async fn end_until(&mut self) -> bool {
        let Some(ready) = &mut self.ready else {
            return false;
        };
        tokio::select! {
            () = ready.until.end() => false,
            _ = self.signals.wait() => true,
        }
    }

    async fn stop(
        &mut self,
        ward: &mut Ward,
        line: &mut Line,
        signal: Signal,
    ) -> anyhow::Result<ExitStatus> {
        ward.signal(signal);
        self.stopped(ward, line).await
    }

    /// Answers a server that is about to end until it has ended.
    async fn stopped(&mut self, ward: &mut Ward, line: &mut Line) -> anyhow::Result<ExitStatus> {
        let mut listens = true;
        // Another signal ends it at once, also one that doesn't obey.
        let mut deadline = None;
        loop {
            tokio::select! {
                ended = ward.ended() => return ended.context("the server's end can't be waited for"),
                signal = self.signals.wait() => {
                    ward.signal(signal);
                    deadline = Some(Instant::now() + PATIENCE);
                }
                () = reached(deadline) => {
                    ward.signal(Signal::KILL);
                    deadline = None;
                }
                stage = line.stage(), if listens => match stage {
                    Some(Stage::Stopping) => self.be_stopping(),
                    Some(_) => {}
                    None => listens = false,
                },
            }
        }
    }

    fn status_by(&self, signal: Signal, ended: ExitStatus) -> ExitCode {
        match &self.ready {
            Some(ready) if ended.success() => ready.until.status(signal),
            _ => code(ended),
        }
    }

    /// Whether a signal comes, or what the server runs for ends, before so much time has gone by.
    async fn is_stopped_within(&mut self, pause: Duration) -> bool {
        tokio::select! {
            _ = self.signals.wait() => true,
            _ = done(&mut self.ready) => true,
            () = sleep(pause) => false,
        }
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Does `work`, and answers a server meanwhile. How far the server is doesn't count: it's about to be ended.
async fn answering<T>(line: &mut Line, work: impl Future<Output = T>) -> T {
    let (mut work, mut listens) = (pin!(work), true);
    loop {
        tokio::select! {
            done = &mut work => return done,
            stage = line.stage(), if listens => listens = stage.is_some(),
        }
    }
}

async fn done<U: Until>(ready: &mut Option<Ready<U>>) -> anyhow::Result<ExitCode> {
    match ready {
        Some(ready) => ready.until.done().await,
        None => std::future::pending().await,
    }
}

/// A server that ended by itself with a status has had its reasons, and has said them.
fn end(ended: ExitStatus) -> End {
    match ended.signal() {
        Some(signal) => End::Died(format!("signal {signal}")),
        None => End::Status(code(ended)),
    }
}

fn code(ended: ExitStatus) -> ExitCode {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
