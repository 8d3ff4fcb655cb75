//! The options of `serve` and `dev` for where to listen, and for the export's name.

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
    /// Whether the command line has no address.
    pub(super) fn is_silent(&self) -> bool {
        self.unix.is_none() && self.ipaddr.is_none() && self.port.is_none()
    }

    /// The address to listen on, and the folder of a private socket. Dropping the folder removes it.
    pub(super) fn address(&self) -> anyhow::Result<(Address, Option<TempDir>)> {
        if let Some((path, private)) = self.unix_socket()? {
            return Ok((Address::Unix(path), private));
        }
        let host = self.ipaddr.as_deref().unwrap_or("127.0.0.1").to_owned();
        Ok((Address::Tcp(host, self.port.unwrap_or(PORT)), None))
    }

    /// Whether the command line has `--unix`.
    pub(super) fn has_unix_socket(&self) -> bool {
        self.unix.is_some()
    }

    /// Opens the sockets for clients, one at least: those that `LISTEN_FDS` hands over, else one at `address`. Also
    /// returns the folder of a private socket; dropping it removes the folder. Blocks while it looks up a host name.
    ///
    /// # Errors
    /// This process can't listen on a descriptor that was handed over; the socket at `address` can't be opened.
    pub(super) fn sockets(
        &self,
        inherited: &Inherited,
        address: impl FnOnce() -> anyhow::Result<(Address, Option<TempDir>)>,
    ) -> anyhow::Result<(Vec<OpenSocket>, Option<TempDir>)> {
        let inherited = inherited.take_all()?;
        if !inherited.is_empty() {
            if !self.is_silent() {
                tracing::warn!(
                    "--unix, --ipaddr and --port have no effect: nbdbox listens on the sockets that LISTEN_FDS hands \
                     over"
                );
            }
            return Ok((inherited, None));
        }
        let (address, private) = address()?;
        Ok((vec![OpenSocket::bind(&address)?], private))
    }

    /// The path of `--unix`, if it's given, and the folder of a private socket.
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

/// Makes listeners of open sockets. A listener's name is the one that came with its descriptor, else its address. Must
/// be called in a runtime.
///
/// # Errors
/// The process has no descriptors left.
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

/// As [`ListenArgs::address`]: a unix socket in a private folder.
pub(super) fn private() -> anyhow::Result<(Address, Option<TempDir>)> {
    let (path, folder) = private_socket()?;
    Ok((Address::Unix(path), Some(folder)))
}

fn private_socket() -> anyhow::Result<(PathBuf, TempDir)> {
    // Without this mode, the umask would decide who may open the folder.
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
