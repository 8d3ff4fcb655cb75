//! A service of many tenants behind walls, as its keeper has it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use lanes::Work;
use nbd_server::{Address, Inherited, OpenSocket};
use nbdbox_config::config::{self, Config, LogFormat, Part, Sandbox};
use tempfile::TempDir;

use super::{Changes, Entrance, FileWatcher, Signals, Supervisor, Until, Wanted, open_cache};
use crate::hosting::read_configuration;
use crate::keeper::{self, Charge, Occasion, Occasions, Opened, Serving, Supplies};

/// What a keeper has beside the configuration.
pub(crate) struct Kept {
    /// The command line of the server.
    pub(crate) arguments: Vec<OsString>,
    /// Standard input, if a client is there.
    pub(crate) input: Option<OwnedFd>,
    /// The folder of a private socket.
    pub(crate) private: Option<TempDir>,
}

/// Keeps the server of a configuration until a signal ends it, or what it runs `until`, which is asked for once clients
/// can come in, with the first listener. `start_log` is called once the configuration says how the log is written.
/// `all_walls` is asked what the configured sandbox comes to: whether it's refused to serve if the kernel lacks a wall;
/// `None` if there's to be no sandbox, and then nothing is kept and returned.
///
/// # Errors
/// The configuration is wrong; the kernel lacks a wall that is required; the server can't be started.
pub(crate) async fn keep_configuration<U: Until>(
    path: &Path,
    wanted: Wanted,
    kept: Kept,
    all_walls: impl FnOnce(Sandbox) -> anyhow::Result<Option<bool>>,
    start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    until: impl FnOnce(&Opened, &config::Listener) -> anyhow::Result<U>,
) -> anyhow::Result<Option<ExitCode>> {
    let mut signals = Signals::catch_without_hangup()?;
    // Before it's read: what changes meanwhile is noticed.
    let changes = Changes::of_files(|| FileWatcher::start(path), "a file changed")?.or_hangup()?;
    let Wanted { pidfile, entrance } = wanted;
    let reading = Words::read(path.to_owned(), entrance.is_narrow());
    let words = signals.unless_asked(reading).await?;
    let Words {
        config,
        first,
        parts,
    } = words;
    let Some(all_walls) = all_walls(config.sandbox)? else {
        return Ok(None);
    };
    start_log(config.log_format)?;
    let cache = open_cache(&config.cache);
    let reread = Reread {
        path: path.to_owned(),
        changes,
        is_narrow: entrance.is_narrow(),
        reading: None,
    };
    let socket = match &entrance {
        Entrance::Socket(path) => Some(config::Address::Unix {
            path: path.clone(),
            mode: None,
            owner: None,
        }),
        Entrance::Listeners | Entrance::Kept | Entrance::Standard => None,
    };
    let private = kept.private;
    let charge = Charge {
        arguments: kept.arguments,
        all_walls,
        pidfile,
        supervisor: Supervisor::Systemd,
        restart: kept.input.is_none(),
        parts,
        supplies: Supplies {
            cache,
            inherited: Inherited::from_environment()?,
            sockets: Box::new(|inherited| {
                let open = |address| OpenSocket::open(&address, inherited);
                Ok((socket.map(open).transpose()?.into_iter().collect(), private))
            }),
            input: kept.input,
        },
    };
    let kept = keeper::keep(signals, charge, reread, |opened| until(opened, &first));
    kept.await.map(Some)
}

/// The operator's words, and what follows from them.
struct Words {
    config: Config,
    /// The first listener, which a socket of the command line may stand for.
    first: config::Listener,
    parts: Vec<Serving>,
}

impl Words {
    /// Reads a configuration, by the host's lane: it may be on a disk that hangs, or a pipe. `is_narrow` if none of its
    /// listeners is opened. Dropping it leaves the thread that reads to end by itself.
    ///
    /// # Errors
    /// All that is wrong, one thing a line.
    async fn read(path: PathBuf, is_narrow: bool) -> anyhow::Result<Self> {
        let reading = Work::of_the_host().run(move || {
            let mut config = read_configuration(&path)?;
            // A configuration has one.
            let first = config.listeners[0].clone();
            let parts = if is_narrow {
                // All clients come in by one socket: one process serves them.
                let whole = config.encode()?;
                config.listeners.clear();
                let mut rights = keeper::of_configuration(&path, &config)?;
                rights.provide(&path, &whole);
                keeper::tls(&mut rights, &first.tls);
                Serving::all(rights)
            } else {
                let parts = config.parts().into_iter();
                let serving = parts.map(|part| serving(&path, &config, part));
                serving.collect::<anyhow::Result<_>>()?
            };
            Ok(Self {
                config,
                first,
                parts,
            })
        });
        reading.await?
    }
}

/// What the server of a part serves.
fn serving(path: &Path, whole: &Config, part: Part) -> anyhow::Result<Serving> {
    let mut config = whole.clone();
    config.narrow_to(&part);
    let mut rights = keeper::of_configuration(path, &config)?;
    if part == Part::Admin {
        rights.allow_visits();
    }
    let own = config.secret_variables();
    let others = whole.secret_variables().into_iter();
    Ok(Serving {
        part,
        rights,
        hidden: others.filter(|name| !own.contains(name)).collect(),
    })
}

/// Reads the operator's words again when they've changed.
struct Reread {
    path: PathBuf,
    changes: Changes,
    is_narrow: bool,
    /// Why they're read now, and what comes of it.
    reading: Option<(String, Reading)>,
}

type Reading = Pin<Box<dyn Future<Output = anyhow::Result<Words>>>>;

impl Occasions for Reread {
    async fn next(&mut self) -> Occasion {
        let (reason, reading) = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let reason = self.changes.reason().await.into_owned();
                let reading = Box::pin(Words::read(self.path.clone(), self.is_narrow));
                none.insert((reason, reading))
            }
        };
        let words = reading.await;
        let reason = std::mem::take(reason);
        self.reading = None;
        Occasion {
            reason,
            parts: words.map(|words| words.parts),
        }
    }
}

/// As it can be named from any folder.
pub(crate) fn absolute(address: Address) -> anyhow::Result<Address> {
    Ok(match address {
        Address::Unix(path) if !path.as_os_str().is_empty() => {
            Address::Unix(std::path::absolute(path)?)
        }
        address => address,
    })
}
