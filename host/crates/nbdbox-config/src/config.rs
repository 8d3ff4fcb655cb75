//! The configuration file: listeners, tenants and their exports.
//!
//! Text is read in three steps: TOML's own parser; the shape (`shape`), by the schema that is made from the types in
//! `raw`; the meaning (`check`), in which words become values. Each step reports all its mistakes and goes on without
//! the wrong parts, so an operator sees all mistakes at once.
//!
//! Nothing is opened here. Paths are joined with the folder of their file, and stay paths.

mod alt_name;
mod at;
mod check;
mod part;
pub(crate) mod passed;
mod problem;
mod raw;
mod schema;
mod shape;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use alt_name::AltName;
pub use part::{Part, Portion};
pub use problem::{Position, Problem, Problems};
pub use schema::schema;

use crate::grant::Grant;
use crate::limits::{Limits, TenantLimits};
use crate::policy::Policy;
use crate::poll::Poll;
use crate::reference::Reference;

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path, of any bytes: for messages, and for the relative paths in the file.
    pub path: &'a Path,
    /// Its content.
    pub text: &'a str,
}

/// An operator's decisions, from all files together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// The tenants, sorted by name.
    pub tenants: Vec<Tenant>,
    /// The address of the admin listener.
    pub admin: Option<Address>,
    /// The log's format, unless the command line sets it.
    pub log_format: LogFormat,
    /// Bytes that the server may hold for all tenants together; if `None`, four fifths of what the process can get.
    /// Restrains the tenants, who could take what the host itself needs, or make the kernel end the server for all of
    /// them.
    pub memory: Option<u64>,
    /// Folders in which plugins are searched by name, before those of the system.
    #[serde(with = "passed")]
    pub plugins: Vec<PathBuf>,
    /// The compile cache.
    pub cache: Cache,
    /// The sandbox of the process that serves, unless the command line sets it.
    pub sandbox: Sandbox,
    /// Connections of all tenants together; further clients wait. Restrains strangers, who could take the process's
    /// descriptors.
    pub connections: usize,
    /// Time for the handshake. Restrains idle and slow strangers.
    pub handshake: Duration,
    /// The time for which a connection polls for its client's next request before it sleeps.
    pub poll: Poll,
    /// Time for requests in flight when the server stops. Restrains clients that don't read their replies.
    pub drain: Duration,
    /// The portion of `memory` and `connections` that this process has, if others have the rest.
    pub portion: Portion,
}

impl Config {
    /// The name of the first export, in the order of tenants and their exports.
    #[must_use]
    pub fn first_export(&self) -> Option<&str> {
        let mut exports = self.tenants.iter().flat_map(|tenant| &tenant.exports);
        exports.next().map(|export| &export.name[..])
    }
}

impl Default for Config {
    /// No listeners and no tenants; the defaults for all else.
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            tenants: Vec::new(),
            admin: None,
            log_format: LogFormat::default(),
            memory: None,
            plugins: Vec::new(),
            cache: Cache::default(),
            sandbox: Sandbox::default(),
            connections: CONNECTIONS,
            handshake: Limits::default().handshake,
            poll: Poll::default(),
            drain: DRAIN,
            portion: Portion::WHOLE,
        }
    }
}

/// The log's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines of text, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much of a sandbox the process that serves gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// All walls that the kernel has. The log names those that it lacks.
    #[default]
    Auto,
    /// All walls. Without one of them the server doesn't start.
    Require,
    /// No walls: one process does everything.
    Off,
}

/// The process that serves a listener's clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// One process for all listeners that say so.
    #[default]
    Shared,
    /// A process for this listener alone, which has only its tenants, with their plugins and files.
    Own,
}

/// The compile cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// The folder; if `None`, the one that the environment names.
    #[serde(with = "passed")]
    pub path: Option<PathBuf>,
    /// Bytes that it keeps; it evicts the least recently used plugins first.
    pub size: Option<u64>,
}

/// An address on which clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// A name for logs and for `clients`; its address by default.
    pub name: String,
    /// The address.
    pub address: Address,
    /// Whether the listener speaks TLS, and with which files.
    pub tls: Tls,
    /// Which process serves its clients.
    pub process: Process,
    /// Its place in the configuration.
    pub place: Position,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// An IP address and a port; port 0 is any free one. An IPv6 address doesn't include IPv4.
    Tcp(SocketAddr),
    /// A unix socket. The server replaces a socket file on which nobody listens.
    Unix {
        /// The path of the socket.
        #[serde(with = "passed")]
        path: PathBuf,
        /// Its permission bits; if `None`, the umask decides.
        mode: Option<u32>,
        /// Its owner; if `None`, the server's user.
        owner: Option<Owner>,
    },
    /// A port for the virtual machines of this host.
    Vsock {
        /// The context id to listen on; any if `None`.
        cid: Option<u32>,
        /// The port number.
        port: u32,
    },
    /// A socket that systemd opened, by its `FileDescriptorName=`.
    Inherited(String),
}

/// `USER`, `USER:GROUP` or `:GROUP`, by name or number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
}

/// TLS on a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tls {
    /// The listener is plain only.
    #[default]
    Off,
    /// A client can choose TLS.
    On(TlsFiles),
    /// A client must use TLS.
    Require(TlsFiles),
}

/// The PEM files of a listener that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The server's certificate and the chain up to its CA.
    #[serde(with = "passed")]
    pub certificate: PathBuf,
    /// The certificate's key.
    #[serde(with = "passed")]
    pub key: PathBuf,
    /// The CAs that sign clients' certificates; if `None`, clients need no certificate.
    #[serde(with = "passed")]
    pub client_ca: Option<PathBuf>,
}

/// A tenant: exports, and the clients that may use them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// The tenant's name, for logs and metrics.
    pub name: String,
    /// The rules that assign clients to this tenant, at least one; a client has to match one of them.
    pub clients: Vec<ClientRule>,
    /// Limits on what all its exports and clients use together.
    pub limits: TenantLimits,
    /// Its exports, each name once.
    pub exports: Vec<Export>,
}

/// A rule: a client matches it if all that is set holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRule {
    /// The subject of its verified certificate, in the form of RFC 4514: `CN=alice,O=Example`.
    pub subject: Option<String>,
    /// A subject alternative name of its verified certificate.
    pub san: Option<AltName>,
    /// Its user id on this machine; only over a unix socket.
    pub uid: Option<u32>,
    /// Its address or network; only over TCP.
    pub source: Option<IpNet>,
    /// The name of the listener to which it connected.
    pub listener: Option<String>,
}

/// An export of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The name by which clients open it.
    pub name: String,
    /// A description for clients; if `None`, the plugin's own.
    pub description: Option<String>,
    /// The plugin.
    pub plugin: Reference,
    /// The required SHA-256 of the plugin's file.
    pub sha256: Option<[u8; 32]>,
    /// The plugin's settings, in the operator's order.
    pub settings: Vec<(String, Value)>,
    /// The blobs that it's granted.
    pub blobs: Vec<Grant>,
    /// Its limits.
    pub limits: Limits,
    /// The operator's choices for its behaviour and failures.
    pub policy: Policy,
    /// Filters over the plugin, the outermost first; at most [`FILTERS`](crate::limits::FILTERS).
    pub filters: Vec<Filter>,
    /// Its place in the configuration.
    pub place: Position,
}

/// A filter of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The filter. One of the host's own has neither a digest nor grants.
    pub plugin: Reference,
    /// The required SHA-256 of the filter's file.
    pub sha256: Option<[u8; 32]>,
    /// The filter's settings, in the operator's order.
    pub settings: Vec<(String, Value)>,
    /// The blobs that it's granted.
    pub blobs: Vec<Grant>,
    /// Its limits: its own, and the export's for the rest.
    pub limits: Limits,
}

/// A setting's value, or its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// The value itself.
    Plain(String),
    /// The first line of this file. Never shown.
    File(#[serde(with = "passed")] PathBuf),
    /// The value of this environment variable. Never shown.
    Env(String),
}

/// The default of [`Config::drain`].
const DRAIN: Duration = Duration::from_secs(10);

/// The default of [`Config::connections`].
const CONNECTIONS: usize = 1024;

/// Parses a configuration.
///
/// # Errors
/// All mistakes, in the order of the files and their lines.
pub fn parse(sources: &[Source<'_>]) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let files = sources
        .iter()
        .map(|source| (*source, shape::read(*source, &mut problems)))
        .collect();
    let config = check::check(files, &mut problems);
    problems.or(config)
}
