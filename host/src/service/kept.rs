//! A service of many tenants behind walls, as its keeper has it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nbd_server::{Address, Inherited, OpenSocket};
use nbdbox_config::config::{self, Config, LogFormat};
use outside::Rights;
use tempfile::TempDir;

use super::{Changes, Entrance, FileWatcher, Signals, Supervisor, Until, Wanted, open_cache};
use crate::hosting::read_configuration;
use crate::keeper::{self, Charge, Occasion, Opened, Supplies};

/// What a keeper has beside the configuration.
pub(crate) struct Kept {
    /// The command line of the server.
    pub(crate) arguments: Vec<OsString>,
    /// Whether it's refused to serve if the kernel lacks a wall.
    pub(crate) all_walls: bool,
    /// Standard input, if a client is there.
    pub(crate) input: Option<OwnedFd>,
    /// The folder of a private socket.
    pub(crate) private: Option<TempDir>,
}

/// Keeps the server of a configuration until a signal ends it, or what it runs `until`, which is asked for once clients
/// can come in, with the first listener. `start_log` is called once the configuration says how the log is written.
///
/// # Errors
/// The configuration is wrong; the server can't be started.
pub(crate) async fn keep_configuration<U: Until>(
    path: &Path,
    wanted: Wanted,
    kept: Kept,
    start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    until: impl FnOnce(&Opened, &config::Listener) -> anyhow::Result<U>,
) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch_without_hangup()?;
    // Before it's read: what changes meanwhile is noticed.
    let changes = Changes::of_files(|| FileWatcher::start(path), "a file changed")?.or_hangup()?;
    let Wanted { pidfile, entrance } = wanted;
    let mut config = read_configuration(path)?;
    // A configuration has one.
    let first = config.listeners[0].clone();
    start_log(config.log_format)?;
    let cache = open_cache(&config.cache);
    let reread = Reread {
        path: path.to_owned(),
        changes,
        entrance,
    };
    let rights = reread.rights_of(&mut config)?;
    let socket = match &reread.entrance {
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
        all_walls: kept.all_walls,
        pidfile,
        supervisor: Supervisor::Systemd,
        restart: kept.input.is_none(),
        supplies: Supplies {
            rights,
            cache,
            inherited: Inherited::from_environment()?,
            sockets: Box::new(|inherited| {
                let open = |address| OpenSocket::open(&address, inherited);
                Ok((socket.map(open).transpose()?.into_iter().collect(), private))
            }),
            input: kept.input,
        },
    };
    keeper::keep(signals, charge, reread, |opened| until(opened, &first)).await
}

/// The operator's words, to be read again.
struct Reread {
    path: PathBuf,
    changes: Changes,
    entrance: Entrance,
}

impl Reread {
    fn rights_of(&self, config: &mut Config) -> anyhow::Result<Rights> {
        let first = config.listeners[0].tls.clone();
        match &self.entrance {
            Entrance::Listeners => {}
            // The command line's socket stands for the first listener, whose TLS is its own.
            Entrance::Socket(_) | Entrance::Kept | Entrance::Standard => config.listeners.clear(),
        }
        let mut rights = keeper::of_configuration(&self.path, config)?;
        keeper::tls(&mut rights, &first);
        Ok(rights)
    }
}

impl Occasion for Reread {
    async fn reason(&mut self) -> String {
        self.changes.reason().await.into_owned()
    }

    fn rights(&mut self) -> anyhow::Result<Rights> {
        let mut config = read_configuration(&self.path)?;
        self.rights_of(&mut config)
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
