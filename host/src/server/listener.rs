//! Where clients come in: a TCP port or a unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or address, and a port; port 0 is any that is free.
    Tcp(String, u16),
    /// A path.
    Unix(PathBuf),
}

/// A socket that listens. A unix socket's file is removed with it.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection that came in.
pub(super) enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it: then there's nothing to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// Names the address and says what to do: in use, not allowed, no such folder.
    pub async fn bind(address: &Address) -> anyhow::Result<Self> {
        match address {
            Address::Tcp(host, port) => {
                let listener = TcpListener::bind((host.as_str(), *port)).await;
                let listener = listener.map_err(|error| tcp_failed(host, *port, &error))?;
                Ok(Self(Kind::Tcp(listener)))
            }
            Address::Unix(path) => {
                if path.symlink_metadata().is_ok() {
                    bail!("{}", in_use(path));
                }
                let listener = UnixListener::bind(path)
                    .with_context(|| format!("can't listen on {}", path.display()))?;
                Ok(Self(Kind::Unix(listener, SocketFile(path.clone()))))
            }
        }
    }

    /// The address that clients can use.
    ///
    /// # Errors
    /// The kernel doesn't say.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match &self.0 {
            Kind::Tcp(listener) => {
                let address = listener.local_addr()?;
                Address::Tcp(address.ip().to_string(), address.port())
            }
            Kind::Unix(_, file) => Address::Unix(file.0.clone()),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // "It is RECOMMENDED that ... set TCP_NODELAY": replies are gathered here anyway.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream, peer))
            }
            Kind::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

fn tcp_failed(host: &str, port: u16, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another with --port, or --port 0 for any",
        _ => "",
    };
    anyhow!("can't listen on {host} port {port}: {error}{advice}")
}

fn in_use(path: &Path) -> String {
    let path = path.display();
    let live = std::os::unix::net::UnixStream::connect(path.to_string()).is_ok();
    if live {
        format!("{path} is in use by another server: choose another path")
    } else {
        format!("{path} exists: remove it if it was left behind, or choose another path")
    }
}

impl Address {
    /// The NBD URI of an export here (doc/uri.md of the NBD project).
    #[must_use]
    pub fn uri(&self, export: &str) -> String {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes())
                .flat_map(|part| {
                    if part == "+" {
                        "%20".chars()
                    } else {
                        part.chars()
                    }
                })
                .collect()
        };
        let export = encode(export);
        match self {
            Self::Tcp(host, port) if host.contains(':') => {
                format!("nbd://[{host}]:{port}/{export}")
            }
            Self::Tcp(host, port) => format!("nbd://{host}:{port}/{export}"),
            Self::Unix(path) => {
                let path = encode(&path.to_string_lossy()).replace("%2F", "/");
                format!("nbd+unix:///{export}?socket={path}")
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host} port {port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_quoted() {
        let tcp = |host: &str| Address::Tcp(host.to_owned(), 10809);
        assert_eq!(tcp("127.0.0.1").uri(""), "nbd://127.0.0.1:10809/");
        assert_eq!(tcp("::1").uri("a b/ü"), "nbd://[::1]:10809/a%20b%2F%C3%BC");
        let unix = Address::Unix("/tmp/a b&c".into());
        assert_eq!(unix.uri("x"), "nbd+unix:///x?socket=/tmp/a%20b%26c");
    }
}
