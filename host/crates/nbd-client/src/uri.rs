//! NBD URIs (doc/uri.md of the NBD project): writes those of a server's addresses, and reads those that this client
//! supports, which are TCP and unix sockets, in plain text or over TLS.

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

/// Time to connect. Without this limit the kernel tries for minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// A parsed URI: a server, and one of its exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// TCP or a unix socket, never vsock.
    server: Address,
    export: String,
    tls: Option<UriTls>,
}

/// The TLS parameters of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTls {
    /// The name for which the server's certificate must be valid: `tls-hostname`, or else the URI's host.
    pub server: String,
    /// The folder in `tls-certificates`, if the URI has that parameter.
    pub certificates: Option<PathBuf>,
}

/// Why a URI can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// The text isn't a URI.
    #[error("{0}")]
    Syntax(#[from] url::ParseError),
    /// A `tls-` parameter that this client doesn't support, by its name.
    #[error("`{0}` isn't supported: only tls-certificates and tls-hostname are")]
    Tls(String),
    /// A scheme that this client doesn't support.
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
    /// A `%` without two hexadecimal digits after it.
    #[error("a `%` needs two hexadecimal digits after it; write the character itself as `%25`")]
    Percent,
    /// `tls-hostname` isn't UTF-8.
    #[error("tls-hostname isn't UTF-8")]
    Hostname,
    /// The export's name isn't a string of the NBD protocol.
    #[error("the export's name isn't UTF-8 of at most 4096 bytes without NUL")]
    Export,
}

impl Uri {
    /// Parses a URI.
    ///
    /// # Errors
    /// The first mistake. Its text says what to write instead.
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

    /// The URI's TLS parameters; `None` if its scheme is plain text.
    #[must_use]
    pub fn tls(&self) -> Option<&UriTls> {
        self.tls.as_ref()
    }

    /// The export's name, at most 4096 bytes; empty for the default export.
    #[must_use]
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Connects to the server, without TLS. Takes at most 30 s. Dropping the future gives up.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(&self) -> Result<Stream, ClientError> {
        let stream = timeout(CONNECT, connect(&self.server)).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ClientError::Unreachable)
    }
}

impl Address {
    /// The URI of an export at this address. With `certificates` it is a URI for TLS that names this folder; an empty
    /// path means TLS without a folder, so clients must know by themselves which servers to trust.
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
                // A zone identifier begins with a percent sign, which a URI writes as `%25` (RFC 6874).
                let host = host.replace('%', "%25");
                format!("{scheme}://[{host}]:{port}/{export}")
            }
            Self::Tcp(host, port) => format!("{scheme}://{host}:{port}/{export}"),
            Self::Unix(path) => {
                let path = quoted_path(path.as_os_str());
                format!("{scheme}+unix:///{export}?socket={path}")
            }
            Self::Vsock { cid, port } => {
                // Clients can't connect to "any". Guests reach their host by this id (vsock(7)).
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
        // `Uri::parse` makes no such address.
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
    //= proto.md#newstyle-negotiation
    //# A client who wants to use the new style negotiation SHOULD connect on the IANA-reserved port for NBD,
    //# 10809.
    Ok(Address::Tcp(host, url.port().unwrap_or(PORT)))
}

fn unix(url: &Url) -> Result<Address, UriError> {
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(UriError::Host);
    }
    let path = parameter(url, "socket")?.ok_or(UriError::NoSocket)?;
    Ok(Address::Unix(OsString::from_vec(path).into()))
}

/// The TLS parameters of an `nbds` URI. An unsupported one is an error: a user who sets it must not believe that it
/// has an effect.
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
            // A socket on this machine.
            Address::Unix(_) | Address::Vsock { .. } => "localhost".to_owned(),
        }),
        certificates: certificates.map(|path| OsString::from_vec(path).into()),
    })
}

/// The decoded value of a parameter; `None` if the URI doesn't have it or it is empty.
fn parameter(url: &Url, wanted: &str) -> Result<Option<Vec<u8>>, UriError> {
    let mut found = parameters(url).filter(|(name, value)| *name == wanted && !value.is_empty());
    found.next().map(|(_, value)| unquoted(value)).transpose()
}

fn parameters(url: &Url) -> impl Iterator<Item = (&str, &str)> {
    let pairs = url.query().unwrap_or_default().split('&');
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Encodes as `%xx` all bytes that can have a meaning in a URI.
fn quoted(bytes: &[u8]) -> String {
    let pieces = url::form_urlencoded::byte_serialize(bytes);
    // Forms write a space as `+`, but in a URI a `+` is itself.
    pieces
        .map(|piece| if piece == "+" { "%20" } else { piece })
        .collect()
}

fn quoted_path(path: &OsStr) -> String {
    quoted(path.as_bytes()).replace("%2F", "/")
}

/// Decodes `%xx`. A `+` is itself.
fn unquoted(text: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(UriError::Percent)?;
        // `from_str_radix` would accept a sign.
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
    fn uris_have_tls_parameters() {
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
    fn a_wrong_uri_is_an_error() {
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
    fn special_characters_are_quoted() {
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
    fn a_written_uri_reads_back() {
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
