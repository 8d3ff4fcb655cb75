//! Where to listen, and under which name: the options of `serve` and `dev`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use nbd_server::{Address, Inherited, Listener, OpenSocket};
use tempfile::TempDir;

/// NBD's registered port.
const PORT: u16 = 10809;

/// Bytes of a unix socket's path: `sun_path` without the NUL at its end (unix(7)).
const SOCKET_PATH: usize = 107;

/// Where one export is to be found.
#[derive(Clone, Debug, Args)]
pub(super) struct ListenArgs {
    /// Listen on this unix socket; `-` makes one in a private folder
    #[arg(short = 'U', long = "unix", value_name = "SOCKET", conflicts_with_all = ["ipaddr", "port"])]
    unix: Option<PathBuf>,

    /// Listen on this address or host name [default: 127.0.0.1]
    #[arg(short, long, value_name = "ADDR")]
    ipaddr: Option<String>,

    /// Listen on this TCP port; 0 takes any free port [default: 10809]
    #[arg(short, long)]
    port: Option<u16>,

    /// The export's name
    #[arg(
        short,
        long,
        visible_alias = "exportname",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(super) export: String,
}

impl ListenArgs {
    /// Whether nothing was said of where.
    pub(super) fn is_silent(&self) -> bool {
        self.unix.is_none() && self.ipaddr.is_none() && self.port.is_none()
    }

    /// Where to listen, and the folder of a private socket, which is removed at the end.
    pub(super) fn address(&self) -> anyhow::Result<(Address, Option<TempDir>)> {
        if let Some((path, private)) = self.unix_socket()? {
            return Ok((Address::Unix(path), private));
        }
        let host = self.ipaddr.as_deref().unwrap_or("127.0.0.1").to_owned();
        Ok((Address::Tcp(host, self.port.unwrap_or(PORT)), None))
    }

    /// Whether it's to be a unix socket.
    pub(super) fn has_unix_socket(&self) -> bool {
        self.unix.is_some()
    }

    /// The sockets on which clients come in, opened: those that this process was handed, if there are any, else one at
    /// `address`. One at least; and the folder of a private socket, which is removed at the end. Blocks while a host's
    /// name is looked up.
    ///
    /// # Errors
    /// One that was handed over can't be listened on; none can be made.
    pub(super) fn sockets(
        &self,
        inherited: &Inherited,
        address: impl FnOnce() -> anyhow::Result<(Address, Option<TempDir>)>,
    ) -> anyhow::Result<(Vec<OpenSocket>, Option<TempDir>)> {
        let inherited = inherited.take_all()?;
        if !inherited.is_empty() {
            if !self.is_silent() {
                tracing::warn!(
                    "--unix, --ipaddr and --port are of no effect: LISTEN_FDS hands over sockets, and they are used"
                );
            }
            return Ok((inherited, None));
        }
        let (address, private) = address()?;
        Ok((vec![OpenSocket::bind(&address)?], private))
    }

    /// The unix socket to listen on, if there's to be one, and the folder of a private one.
    pub(super) fn unix_socket(&self) -> anyhow::Result<Option<(PathBuf, Option<TempDir>)>> {
        Ok(match &self.unix {
            Some(path) if path == Path::new("-") => {
                let (path, folder) = private_socket()?;
                Some((path, Some(folder)))
            }
            Some(path) => Some((short_enough(std::path::absolute(path)?)?, None)),
            None => None,
        })
    }
}

/// The listeners of open sockets, each called as whoever opened it did, or as its address. Must be called in a runtime.
///
/// # Errors
/// There are no descriptors.
pub(super) fn listeners(sockets: Vec<OpenSocket>) -> anyhow::Result<Vec<Listener>> {
    let listeners = sockets.into_iter().map(|socket| {
        let name = match socket.name() {
            Some(name) => name.to_owned(),
            None => socket.address()?.to_string(),
        };
        Listener::of(socket, &name)
    });
    listeners.collect()
}

/// As [`ListenArgs::address`], on a unix socket in a folder of its own.
pub(super) fn private() -> anyhow::Result<(Address, Option<TempDir>)> {
    let (path, folder) = private_socket()?;
    Ok((Address::Unix(path), Some(folder)))
}

fn private_socket() -> anyhow::Result<(PathBuf, TempDir)> {
    // Without this the folder would be as open as the umask lets it.
    let folder = tempfile::Builder::new()
        .prefix("nbdbox-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("can't make a private folder")?;
    let path = short_enough(folder.path().join("socket"))?;
    Ok((path, folder))
}

fn short_enough(path: PathBuf) -> anyhow::Result<PathBuf> {
    let length = path.as_os_str().len();
    ensure!(
        length <= SOCKET_PATH,
        "can't listen on {}: a unix socket's path has {SOCKET_PATH} bytes at most, and this has \
         {length}",
        path.display()
    );
    Ok(path)
}
