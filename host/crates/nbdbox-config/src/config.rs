//! The configuration file: listeners, tenants and their exports.
//!
//! Text goes through three steps, each of which names all that is wrong and goes on without it, so that
//! an operator sees everything at once: TOML's own parser; the shape (`shape`), by the schema that is
//! made from the types in `raw`; the meaning (`check`), where words become values.
//!
//! Nothing is opened here: paths are joined with the folder of their file, and stay paths.

mod alt_name;
mod at;
mod check;
mod part;
mod problem;
mod raw;
mod schema;
mod shape;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

pub use alt_name::AltName;
pub use part::{Part, Portion};
pub use problem::{Position, Problem, Problems};
pub use schema::schema;

use crate::grant::Grant;
use crate::limits::{Limits, TenantLimits};
use crate::policy::Policy;
use crate::reference::Reference;

/// A file of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path: for what is said of it, and for the paths in it. Any bytes.
    pub path: &'a Path,
    /// What is in it.
    pub text: &'a str,
}

/// What an operator decided, all files together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients come in; one at least.
    pub listeners: Vec<Listener>,
    /// Who has exports, by name.
    pub tenants: Vec<Tenant>,
    /// Where the operator looks inside.
    pub admin: Option<Address>,
    /// How the log is written, unless the command line says it.
    pub log_format: LogFormat,
    /// Bytes that the server may hold for all tenants together; four fifths of what the process can get if `None`.
    /// Restrains the tenants from taking what the host itself needs, and from being ended by the kernel for each other.
    pub memory: Option<u64>,
    /// Folders in which plugins are looked for by name, before those of the system.
    pub plugins: Vec<PathBuf>,
    /// Where compiled plugins are kept.
    pub cache: Cache,
    /// The walls around the process that serves, unless the command line says it.
    pub sandbox: Sandbox,
    /// Connections of all tenants together; those who come later wait. Restrains strangers from taking
    /// the process's descriptors.
    pub connections: usize,
    /// Time for the handshake. Restrains idle and slow strangers.
    pub handshake: Duration,
    /// Time that requests under way have when the server stops. Restrains clients that don't read their
    /// replies.
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
    /// Nobody comes in, and nothing is there; all else is as where nothing is said.
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
            drain: DRAIN,
            portion: Portion::WHOLE,
        }
    }
}

/// The log's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines of text, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much of a sandbox the process that serves gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// One process for all listeners that say so.
    #[default]
    Shared,
    /// A process for this listener alone, which has only its tenants, with their plugins and files.
    Own,
}

/// Where compiled plugins are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// The folder; where the environment says it if `None`.
    pub path: Option<PathBuf>,
    /// Bytes that it keeps; what was used longest ago goes first.
    pub size: Option<u64>,
}

/// A place where clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// A name for logs and for `clients`; its address otherwise.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Whether, and as whom, it speaks TLS.
    pub tls: Tls,
    /// Which process serves its clients.
    pub process: Process,
    /// Where it's written.
    pub place: Position,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port; port 0 is any that is free. IPv6 doesn't mean IPv4 too.
    Tcp(SocketAddr),
    /// A socket file. One that nobody listens on is replaced.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permission bits; as the umask has it otherwise.
        mode: Option<u32>,
        /// Whose it is to be.
        owner: Option<Owner>,
    },
    /// A port for the virtual machines of this host.
    Vsock {
        /// The context id to listen on; any if none.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
    /// A socket that systemd opened, by its `FileDescriptorName=`.
    Inherited(String),
}

/// `USER`, `USER:GROUP` or `:GROUP`, by name or number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
}

/// TLS on a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Plain only.
    #[default]
    Off,
    /// Who asks for it gets it.
    On(TlsFiles),
    /// Without it there's nothing.
    Require(TlsFiles),
}

/// The files of a listener that speaks TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those up to its CA.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The CAs whose clients are let in; without it clients have no certificates.
    pub client_ca: Option<PathBuf>,
}

/// Somebody who has exports and clients of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, for logs and counters.
    pub name: String,
    /// Who is of this tenant: whoever one of the rules fits; one at least.
    pub clients: Vec<ClientRule>,
    /// What all its exports and clients may use together.
    pub limits: TenantLimits,
    /// Its exports, each name once.
    pub exports: Vec<Export>,
}

/// What must hold of a client, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRule {
    /// The subject of its certificate, which one of the listener's CAs signed, as RFC 4514 writes it:
    /// `CN=alice,O=Example`.
    pub subject: Option<String>,
    /// A subject alternative name of its certificate.
    pub san: Option<AltName>,
    /// Its user on this machine; only over a unix socket.
    pub uid: Option<u32>,
    /// Its address; only over TCP.
    pub source: Option<IpNet>,
    /// The listener by which it came.
    pub listener: Option<String>,
}

/// An export of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name by which clients ask for it.
    pub name: String,
    /// A text for clients, instead of what the plugin says.
    pub description: Option<String>,
    /// The plugin.
    pub plugin: Reference,
    /// What the file's SHA-256 has to be.
    pub sha256: Option<[u8; 32]>,
    /// The plugin's settings, in the operator's order.
    pub settings: Vec<(String, Value)>,
    /// What it's granted.
    pub blobs: Vec<Grant>,
    /// Its limits.
    pub limits: Limits,
    /// How it behaves, and misbehaves.
    pub policy: Policy,
    /// Filters over the plugin, the outermost first; [`FILTERS`](crate::limits::FILTERS) at most.
    pub filters: Vec<Filter>,
    /// Where it's written.
    pub place: Position,
}

/// A filter of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The filter. One of the host's own has neither a digest nor grants.
    pub plugin: Reference,
    /// What the file's SHA-256 has to be.
    pub sha256: Option<[u8; 32]>,
    /// The filter's settings, in the operator's order.
    pub settings: Vec<(String, Value)>,
    /// What it's granted.
    pub blobs: Vec<Grant>,
    /// Its limits: the export's, but for those of its own.
    pub limits: Limits,
}

/// A setting's value, or where it's kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// As it's written.
    Plain(String),
    /// The first line of this file. Never shown.
    File(PathBuf),
    /// This environment variable. Never shown.
    Env(String),
}

/// Time for requests under way when the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Connections of all tenants.
const CONNECTIONS: usize = 1024;

/// Reads a configuration.
///
/// # Errors
/// All that is wrong with it, in the order of the files and their lines.
pub fn parse(sources: &[Source<'_>]) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let files = sources
        .iter()
        .map(|source| (*source, shape::read(*source, &mut problems)))
        .collect();
    let config = check::check(files, &mut problems);
    problems.or(config)
}
