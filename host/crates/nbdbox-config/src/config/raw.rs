//! The keys of a configuration file, from which the schema is made.
//!
//! Every key is optional here, so that a file with wrong or missing keys still yields the rest. The doc comments of
//! fields are the descriptions in the schema.

mod limits;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use limits::{Defined, Limits};
pub(super) use value::{Blob, Paths, Scalar, Setting};

use super::at::At;
use super::{LogFormat, Process, Sandbox};
use crate::limits::TenantLimits;
use crate::policy::{ExtentsOnError, OnFailure};

type Text = Option<At<String>>;

/// The configuration of nbdbox.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(title = "nbdbox")]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct File {
    /// The addresses on which clients connect; at least one.
    pub(super) listener: Vec<At<Listener>>,
    /// The tenants, by name.
    pub(super) tenant: BTreeMap<String, At<Tenant>>,
    /// The admin listener: metrics, health, exports.
    pub(super) admin: Option<At<Admin>>,
    /// The log's format; `--log-format` overrides it.
    pub(super) log_format: Option<At<LogFormat>>,
    /// The sandbox of the process that serves: `auto` uses what the kernel has, `require` refuses to start without all
    /// of it, `off` has no sandbox. `--sandbox` overrides it. Default: `auto`.
    pub(super) sandbox: Option<At<Sandbox>>,
    /// Bytes that the server may hold for all tenants together, as `4GiB`; beyond it the server denies more. Default:
    /// 80 % of what the control group or the machine has.
    pub(super) memory: Option<At<Scalar>>,
    /// The folders to search for plugins by name.
    pub(super) plugins: Option<At<Plugins>>,
    /// The compile cache.
    pub(super) cache: Option<At<Cache>>,
    /// Connections of all tenants together; further clients wait. Default: 1024.
    pub(super) connections: Option<At<i64>>,
    /// Time for the handshake, as `10s`. Default: 10s.
    pub(super) handshake: Text,
    /// How long a connection of a busy client polls for the next request before it sleeps, as `50us`; `off` for never.
    /// Default: 50us.
    pub(super) poll: Text,
    /// Time for requests in flight to finish when the server stops, as `10s`. Default: 10s.
    pub(super) drain: Text,
}

/// The folders to search for plugins by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Plugins {
    /// A folder, or a list of folders, to search before those of the system. Only its owner may be able to write to it.
    pub(super) path: Option<At<Paths>>,
}

/// The compile cache.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Cache {
    /// A folder that belongs to the server's user; nobody else may be able to write to it. Default:
    /// `$XDG_CACHE_HOME/nbdbox`, `$CACHE_DIRECTORY/nbdbox` or `~/.cache/nbdbox`.
    pub(super) path: Text,
    /// Bytes that it keeps, as `2GiB`; it evicts the least recently used plugins first. Default: 2GiB.
    pub(super) size: Option<At<Scalar>>,
}

/// An address on which clients connect: exactly one of `tcp`, `unix`, `vsock` and `inherited`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Listener {
    /// A name for logs and for the rules of `clients`. Default: its address.
    pub(super) name: Text,
    /// An IP address and a port, as `0.0.0.0:10809` or `[::]:10809`.
    pub(super) tcp: Text,
    /// The path of a unix socket.
    pub(super) unix: Text,
    /// The permissions of the unix socket, in octal, as `0660`.
    pub(super) mode: Text,
    /// The owner of the unix socket, as `USER`, `USER:GROUP` or `:GROUP`.
    pub(super) owner: Text,
    /// A port for the virtual machines of this host.
    pub(super) vsock: Option<At<i64>>,
    /// The context id to listen on with `vsock`. Default: any.
    pub(super) cid: Option<At<i64>>,
    /// A socket that systemd opened, by its `FileDescriptorName=`.
    pub(super) inherited: Text,
    /// Whether the listener speaks TLS. Default: off.
    pub(super) tls: Option<At<TlsMode>>,
    /// The server's certificate and the chain up to its CA, a PEM file.
    pub(super) certificate: Text,
    /// The certificate's key, a PEM file.
    pub(super) key: Text,
    /// The CAs that sign clients' certificates, a PEM file. With it, a client that uses TLS needs such a certificate;
    /// without it, the server requests none.
    pub(super) client_ca: Text,
    /// The process that serves its clients: `shared` with other listeners, or its `own`, which has only its tenants, with
    /// their plugins and files. Default: shared.
    pub(super) process: Option<At<Process>>,
}

/// Whether a listener speaks TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    /// No client can use TLS.
    Off,
    /// A client can choose TLS.
    On,
    /// A client must use TLS.
    Require,
}

/// The admin listener: one of `unix` and `tcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Admin {
    /// A loopback address and a port, as `127.0.0.1:9809`.
    pub(super) tcp: Text,
    /// The path of a unix socket.
    pub(super) unix: Text,
    /// The permissions of the unix socket, in octal, as `0600`.
    pub(super) mode: Text,
    /// The owner of the unix socket, as `USER`, `USER:GROUP` or `:GROUP`.
    pub(super) owner: Text,
}

/// A tenant: exports, and the clients that may use them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Tenant {
    /// The rules that assign clients to this tenant; a client has to match one of them.
    pub(super) clients: Option<At<Vec<At<ClientRule>>>>,
    /// Limits on what all its exports and clients use together.
    pub(super) limits: Option<At<Limits<TenantLimits>>>,
    /// Its exports.
    pub(super) export: Vec<At<Export>>,
}

/// A rule: a client matches it if all its keys hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ClientRule {
    /// The subject of its certificate, as `CN=alice,O=Example`.
    pub(super) subject: Text,
    /// A subject alternative name of its certificate: `DNS:…`, `email:…` or `URI:…`. Without such a prefix, a name with
    /// `://` is a URI, one with `@` an e-mail address, and any other a DNS name.
    pub(super) san: Text,
    /// Its user id on this machine; only over a unix socket.
    pub(super) uid: Option<At<i64>>,
    /// Its address or network, as `192.0.2.7` or `192.0.2.0/24`; only over TCP.
    pub(super) source: Text,
    /// The name of the listener to which it connected.
    pub(super) listener: Text,
}

/// An export of a tenant.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Export {
    /// The name by which clients open it.
    pub(super) name: Text,
    /// A description for clients. Default: the plugin's own.
    pub(super) description: Text,
    /// The plugin: a path, which has a `/` or ends in `.wasm`, or a name.
    pub(super) plugin: Text,
    /// The required SHA-256 of the plugin's file, in hexadecimal.
    pub(super) sha256: Text,
    /// The plugin's settings; `nbdbox inspect` lists them.
    pub(super) settings: BTreeMap<At<String>, At<Setting>>,
    /// The files that it's granted, each under a name.
    pub(super) blobs: BTreeMap<At<String>, At<Blob>>,
    /// Its limits.
    pub(super) limits: Option<At<Limits<crate::limits::Limits>>>,
    /// Filters over the plugin, the outermost first.
    pub(super) filters: Vec<At<Filter>>,
    /// Serve read-only, even if the plugin can write.
    pub(super) read_only: Option<bool>,
    /// The data never changes, even if the plugin doesn't declare it so: the export is read-only, and the host may
    /// remember the plugin's answers.
    pub(super) immutable: Option<bool>,
    /// What happens after the plugin crashed or was stopped.
    pub(super) on_failure: Option<OnFailure>,
    /// What clients get if the plugin fails to report extents.
    pub(super) extents_on_error: Option<ExtentsOnError>,
}

/// A filter over a plugin: an instance of its own, with grants and limits of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Filter {
    /// The filter: a path, which has a `/` or ends in `.wasm`, or a name. The host's own filters, which have settings
    /// only, are blocksize-policy, delay, error, fua, log, nocache, noextents, notrim and nozero.
    pub(super) plugin: Text,
    /// The required SHA-256 of the filter's file, in hexadecimal.
    pub(super) sha256: Text,
    /// The filter's settings; `nbdbox inspect` lists them.
    pub(super) settings: BTreeMap<At<String>, At<Setting>>,
    /// The files that it's granted, each under a name.
    pub(super) blobs: BTreeMap<At<String>, At<Blob>>,
    /// Its limits. Default: the export's.
    pub(super) limits: Option<At<Limits<crate::limits::Limits>>>,
}
