//! NBD URIs (doc/uri.md of the NBD project), as far as this client goes: TCP and unix sockets
//! without TLS.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use url::{Host, Url};

use super::{ClientError, Stream};

/// NBD's registered port.
const PORT: u16 = 10809;

/// Time for a connection to come about; without it the kernel tries for minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// A server, and one of its exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    server: Server,
    export: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// What is wrong with a URI.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// Not a URI at all.
    #[error("{0}")]
    Syntax(#[from] url::ParseError),
    /// With TLS.
    #[error("{0} means TLS, which isn't supported yet")]
    Tls(String),
    /// Something else.
    #[error(
        "`{0}` isn't nbd or nbd+unix: write nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH"
    )]
    Scheme(String),
    /// `nbd:` without a host.
    #[error("the host is missing: write nbd://HOST[:PORT]/EXPORT")]
    NoHost,
    /// `nbd+unix:` with a host.
    #[error("nbd+unix has no host: write nbd+unix:///EXPORT?socket=PATH, with three slashes")]
    Host,
    /// `nbd+unix:` without a socket.
    #[error("the socket is missing: write nbd+unix:///EXPORT?socket=PATH")]
    NoSocket,
    /// A `%` that isn't followed by two hexadecimal digits.
    #[error("a `%` needs two hexadecimal digits after it; `%25` is the character itself")]
    Percent,
    /// The export's name isn't a string as NBD has them.
    #[error("the export's name isn't UTF-8 of at most 4096 bytes without NUL")]
    Export,
}

impl Uri {
    /// Parses a URI.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let url = Url::parse(text)?;
        let server = match url.scheme() {
            "nbd" => tcp(&url)?,
            "nbd+unix" => unix(&url)?,
            tls if tls == "nbds" || tls.starts_with("nbds+") => {
                return Err(UriError::Tls(tls.to_owned()));
            }
            other => return Err(UriError::Scheme(other.to_owned())),
        };
        // "the export name … is the path with the first slash removed"
        let path = url.path();
        let export = unquoted(path.strip_prefix('/').unwrap_or(path))?;
        let export = String::from_utf8(export).map_err(|_| UriError::Export)?;
        if export.contains('\0') || export.len() > nbd_proto::limits::MAX_STRING {
            return Err(UriError::Export);
        }
        Ok(Self { server, export })
    }

    /// The export's name.
    #[must_use]
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn connect(&self) -> Result<Stream, ClientError> {
        let stream = timeout(CONNECT, self.server.connect()).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ClientError::Unreachable)
    }
}

impl Server {
    async fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

fn tcp(url: &Url) -> Result<Server, UriError> {
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(UriError::NoHost),
    };
    Ok(Server::Tcp(host, url.port().unwrap_or(PORT)))
}

fn unix(url: &Url) -> Result<Server, UriError> {
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(UriError::Host);
    }
    let path = url
        .query()
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("socket="))
        .filter(|path| !path.is_empty())
        .ok_or(UriError::NoSocket)?;
    let path = OsString::from_vec(unquoted(path)?);
    Ok(Server::Unix(path.into()))
}

/// Decodes `%xx`. A `+` is a plus.
fn unquoted(text: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(UriError::Percent)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(UriError::Percent);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UriError::Percent)?);
        bytes.extend(rest.bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, export: &str) -> Result<Uri, UriError> {
        let (server, export) = (Server::Tcp(host.to_owned(), port), export.to_owned());
        Ok(Uri { server, export })
    }

    fn unix(path: &str, export: &str) -> Result<Uri, UriError> {
        let (server, export) = (Server::Unix(path.into()), export.to_owned());
        Ok(Uri { server, export })
    }

    #[test]
    fn uris_name_a_server_and_an_export() {
        for (text, uri) in [
            ("nbd://localhost", tcp("localhost", 10809, "")),
            ("nbd://localhost/", tcp("localhost", 10809, "")),
            ("nbd://10.0.0.1:99/disk", tcp("10.0.0.1", 99, "disk")),
            ("nbd://[::1]:1/a%20b%2Fc/d", tcp("::1", 1, "a b/c/d")),
            ("NBD://h/%C3%BC+x", tcp("h", 10809, "ü+x")),
            ("nbd://h//disk", tcp("h", 10809, "/disk")),
            ("nbd+unix:///?socket=/tmp/s", unix("/tmp/s", "")),
            ("nbd+unix://?socket=/tmp/s", unix("/tmp/s", "")),
            (
                "nbd+unix:///x%3Fy?a=b&socket=/tmp/a%20b%26c+d",
                unix("/tmp/a b&c+d", "x?y"),
            ),
        ] {
            assert_eq!(Uri::parse(text), uri, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, error) in [
            ("nbds://h/x", UriError::Tls("nbds".to_owned())),
            (
                "nbds+unix:///?socket=/s",
                UriError::Tls("nbds+unix".to_owned()),
            ),
            ("nbd+tcp://h/", UriError::Scheme("nbd+tcp".to_owned())),
            ("http://h/", UriError::Scheme("http".to_owned())),
            ("nbd:///x", UriError::NoHost),
            ("nbd+unix:///x", UriError::NoSocket),
            ("nbd+unix:///x?socket=", UriError::NoSocket),
            ("nbd+unix://x?socket=/s", UriError::Host),
            ("nbd://h/50%", UriError::Percent),
            ("nbd://h/%+1", UriError::Percent),
            ("nbd://h/%ff", UriError::Export),
            ("nbd://h/a%00b", UriError::Export),
        ] {
            assert_eq!(Uri::parse(text), Err(error), "{text}");
        }
        assert!(matches!(
            Uri::parse("nbd://h:99999/"),
            Err(UriError::Syntax(_))
        ));
        assert!(matches!(Uri::parse("://nothing"), Err(UriError::Syntax(_))));
    }
}
