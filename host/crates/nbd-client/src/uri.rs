//! NBD URIs (doc/uri.md of the NBD project): written for what a server listens on, and read as far as this client
//! goes, which is TCP and unix sockets, in plain text or over TLS.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use url::{Host, Url};

use crate::{Address, ClientError, Stream};

/// NBD's registered port.
const PORT: u16 = 10809;

/// Time for a connection to come about; without it the kernel tries for minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// A server, and one of its exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// TCP or a unix socket.
    server: Address,
    export: String,
    tls: Option<UriTls>,
}

/// What a URI with TLS says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTls {
    /// What the server has to prove that it's called: its host, or what `tls-hostname` says.
    pub server: String,
    /// The folder that `tls-certificates` names.
    pub certificates: Option<PathBuf>,
}

/// What is wrong with a URI.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// Not a URI at all.
    #[error("{0}")]
    Syntax(#[from] url::ParseError),
    /// Something of TLS that isn't there.
    #[error("`{0}` isn't supported: only tls-certificates and tls-hostname are")]
    Tls(String),
    /// Something else.
    #[error(
        "`{0}` isn't nbd, nbds, nbd+unix or nbds+unix: write nbd://HOST[:PORT]/EXPORT or \
         nbd+unix:///EXPORT?socket=PATH"
    )]
    Scheme(String),
    /// `nbd:` or `nbds:` without a host.
    #[error("the host is missing: write nbd://HOST[:PORT]/EXPORT")]
    NoHost,
    /// `nbd+unix:` or `nbds+unix:` with a host.
    #[error("nbd+unix has no host: write nbd+unix:///EXPORT?socket=PATH, with three slashes")]
    Host,
    /// `nbd+unix:` or `nbds+unix:` without a socket.
    #[error("the socket is missing: write nbd+unix:///EXPORT?socket=PATH")]
    NoSocket,
    /// A `%` that isn't followed by two hexadecimal digits.
    #[error("a `%` needs two hexadecimal digits after it; `%25` is the character itself")]
    Percent,
    /// A host's name isn't one.
    #[error("tls-hostname isn't UTF-8")]
    Hostname,
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
        let (server, secured) = match url.scheme() {
            "nbd" => (tcp(&url)?, false),
            "nbds" => (tcp(&url)?, true),
            "nbd+unix" => (unix(&url)?, false),
            "nbds+unix" => (unix(&url)?, true),
            other => return Err(UriError::Scheme(other.to_owned())),
        };
        let tls = secured.then(|| tls(&url, &server)).transpose()?;
        // "the export name … is the path with the first slash removed"
        let path = url.path();
        let export = unquoted(path.strip_prefix('/').unwrap_or(path))?;
        let export = String::from_utf8(export).map_err(|_| UriError::Export)?;
        if export.contains('\0') || export.len() > nbd_proto::limits::MAX_STRING {
            return Err(UriError::Export);
        }
        Ok(Self {
            server,
            export,
            tls,
        })
    }

    /// What is said of TLS; `None` if it's in plain text.
    #[must_use]
    pub fn tls(&self) -> Option<&UriTls> {
        self.tls.as_ref()
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
        let stream = timeout(CONNECT, connect(&self.server)).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ClientError::Unreachable)
    }
}

impl Address {
    /// The URI of an export here; over TLS, with certificates from this folder, if there is one. An empty path is no
    /// folder: then clients have to know by themselves whom to trust.
    #[must_use]
    pub fn uri(&self, export: &str, certificates: Option<&Path>) -> String {
        let scheme = if certificates.is_some() {
            "nbds"
        } else {
            "nbd"
        };
        let export = quoted(export.as_bytes());
        let uri = match self {
            Self::Tcp(host, port) if host.contains(':') => {
                // "Zone identifiers" begin with a per cent sign (RFC 6874).
                let host = host.replace('%', "%25");
                format!("{scheme}://[{host}]:{port}/{export}")
            }
            Self::Tcp(host, port) => format!("{scheme}://{host}:{port}/{export}"),
            Self::Unix(path) => {
                let path = quoted_path(path.as_os_str());
                format!("{scheme}+unix:///{export}?socket={path}")
            }
            Self::Vsock { cid, port } => {
                // "Any" is no address: the host as its guests call it (vsock(7)).
                let cid = cid.unwrap_or(2);
                format!("{scheme}+vsock://{cid}:{port}/{export}")
            }
        };
        let folder = certificates.filter(|folder| !folder.as_os_str().is_empty());
        let Some(folder) = folder else {
            return uri;
        };
        let joint = if uri.contains('?') { '&' } else { '?' };
        let folder = quoted_path(folder.as_os_str());
        format!("{uri}{joint}tls-certificates={folder}")
    }
}

async fn connect(server: &Address) -> io::Result<Stream> {
    Ok(match server {
        Address::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        // No URI that was read names one.
        Address::Vsock { .. } => return Err(io::ErrorKind::Unsupported.into()),
    })
}

fn tcp(url: &Url) -> Result<Address, UriError> {
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(UriError::NoHost),
    };
    Ok(Address::Tcp(host, url.port().unwrap_or(PORT)))
}

fn unix(url: &Url) -> Result<Address, UriError> {
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(UriError::Host);
    }
    let path = parameter(url, "socket")?.ok_or(UriError::NoSocket)?;
    Ok(Address::Unix(OsString::from_vec(path).into()))
}

/// What `nbds` says of TLS. What it says in vain is an error: who turns something off or on by it should
/// know that it isn't so.
fn tls(url: &Url, server: &Address) -> Result<UriTls, UriError> {
    let unknown = parameters(url).find(|(name, _)| {
        name.starts_with("tls-") && !matches!(*name, "tls-certificates" | "tls-hostname")
    });
    if let Some((name, _)) = unknown {
        return Err(UriError::Tls(name.to_owned()));
    }
    let certificates = parameter(url, "tls-certificates")?;
    let said = parameter(url, "tls-hostname")?.map(String::from_utf8);
    let said = said.transpose().map_err(|_| UriError::Hostname)?;
    Ok(UriTls {
        server: said.unwrap_or_else(|| match server {
            Address::Tcp(host, _) => host.clone(),
            // A socket of this machine.
            Address::Unix(_) | Address::Vsock { .. } => "localhost".to_owned(),
        }),
        certificates: certificates.map(|path| OsString::from_vec(path).into()),
    })
}

/// A parameter of the URI that isn't empty.
fn parameter(url: &Url, wanted: &str) -> Result<Option<Vec<u8>>, UriError> {
    let mut found = parameters(url).filter(|(name, value)| *name == wanted && !value.is_empty());
    found.next().map(|(_, value)| unquoted(value)).transpose()
}

fn parameters(url: &Url) -> impl Iterator<Item = (&str, &str)> {
    let pairs = url.query().unwrap_or_default().split('&');
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Encodes all bytes that may mean something in a URI as `%xx`.
fn quoted(bytes: &[u8]) -> String {
    let pieces = url::form_urlencoded::byte_serialize(bytes);
    // Forms write a space as a plus; in a URI a plus is itself.
    pieces
        .map(|piece| if piece == "+" { "%20" } else { piece })
        .collect()
}

fn quoted_path(path: &OsStr) -> String {
    quoted(path.as_bytes()).replace("%2F", "/")
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
        Ok(plain(Address::Tcp(host.to_owned(), port), export))
    }

    fn unix(path: &str, export: &str) -> Result<Uri, UriError> {
        Ok(plain(Address::Unix(path.into()), export))
    }

    fn plain(server: Address, export: &str) -> Uri {
        let (export, tls) = (export.to_owned(), None);
        Uri {
            server,
            export,
            tls,
        }
    }

    #[test]
    fn uris_say_whom_to_trust() {
        let tls = |text: &str| Uri::parse(text).map(|uri| uri.tls);
        let said = |server: &str, certificates: Option<&str>| {
            Ok(Some(UriTls {
                server: server.to_owned(),
                certificates: certificates.map(PathBuf::from),
            }))
        };
        assert_eq!(tls("nbd://h/?tls-certificates=/pki"), Ok(None));
        assert_eq!(tls("nbds://h/"), said("h", None));
        assert_eq!(tls("nbds://[::1]/"), said("::1", None));
        assert_eq!(tls("nbds+unix:///?socket=/s"), said("localhost", None));
        assert_eq!(
            tls("nbds://10.0.0.1/x?tls-hostname=h&tls-certificates=/a%20b"),
            said("h", Some("/a b"))
        );
        for wrong in ["tls-psk-file", "tls-verify-peer"] {
            let uri = format!("nbds://h/?{wrong}=x");
            assert_eq!(tls(&uri), Err(UriError::Tls(wrong.to_owned())));
        }
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
            ("nbds:///x", UriError::NoHost),
            ("nbds+unix:///x", UriError::NoSocket),
            ("nbds://h/?tls-hostname=%ff", UriError::Hostname),
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

    #[test]
    fn what_is_written_is_quoted() {
        let tcp = |host: &str| Address::Tcp(host.to_owned(), 10809);
        assert_eq!(tcp("127.0.0.1").uri("", None), "nbd://127.0.0.1:10809/");
        assert_eq!(
            tcp("::1").uri("a b/ü", None),
            "nbd://[::1]:10809/a%20b%2F%C3%BC"
        );
        let unix = Address::Unix("/tmp/a b&c".into());
        let vsock = Address::Vsock {
            cid: None,
            port: 10809,
        };
        assert_eq!(vsock.uri("x", None), "nbd+vsock://2:10809/x");
        let uri = "nbd+unix:///x?socket=/tmp/a%20b%26c";
        assert_eq!(unix.uri("x", None), uri);
        assert_eq!(
            unix.uri("x", Some(Path::new("/pki/a b"))),
            uri.replace("nbd+", "nbds+") + "&tls-certificates=/pki/a%20b"
        );
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let odd = OsString::from_vec(b"/tmp/a b&c?d%e#f+g=h\xff\n".to_vec());
        let servers = [
            Address::Tcp("localhost".to_owned(), 1),
            Address::Tcp("::1".to_owned(), 65_535),
            Address::Unix("/run/s".into()),
            Address::Unix(odd.clone().into()),
        ];
        for server in servers {
            for export in ["", "disk", "/", "a/b c", "ü?#%25&=+", "a\u{1}b"] {
                for certificates in [None, Some(Path::new("/pki")), Some(Path::new(&odd))] {
                    let text = server.uri(export, certificates);
                    let uri = Uri::parse(&text).unwrap();
                    assert_eq!((&uri.server, &*uri.export), (&server, export), "{text}");
                    let read = uri.tls.and_then(|tls| tls.certificates);
                    assert_eq!(read.as_deref(), certificates, "{text}");
                }
            }
        }
    }
}
