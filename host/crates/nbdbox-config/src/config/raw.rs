//! The file as it's written: the definition of its keys, from which the schema is made.
//!
//! All is optional here, so that a file in which things are wrong or missing still yields the rest.
//! The comments on fields are the descriptions in the schema.

mod limits;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use limits::{Defined, Limits};
pub(super) use value::{Blob, Paths, Scalar, Setting};

use super::LogFormat;
use super::at::At;
use crate::limits::TenantLimits;
use crate::policy::{ExtentsOnError, OnFailure};

type Text = Option<At<String>>;

/// The configuration of nbdbox.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(title = "nbdbox")]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct File {
    /// A place where clients come in.
    pub(super) listener: Vec<At<Listener>>,
    /// The tenants, by name.
    pub(super) tenant: BTreeMap<String, At<Tenant>>,
    /// Where the operator looks inside: metrics, health, exports.
    pub(super) admin: Option<At<Admin>>,
    /// How the log is written, unless `--log-format` says it.
    pub(super) log_format: Option<At<LogFormat>>,
    /// Bytes that the server may hold for all tenants together, as `4GiB`; past it they're refused more. Default: 80 % of
    /// what the control group or the machine has.
    pub(super) memory: Option<At<Scalar>>,
    /// Where plugins are looked for by name.
    pub(super) plugins: Option<At<Plugins>>,
    /// Where compiled plugins are kept.
    pub(super) cache: Option<At<Cache>>,
    /// Connections of all tenants together; those who come later wait.
    pub(super) connections: Option<At<i64>>,
    /// Time for the handshake, as `10s`.
    pub(super) handshake: Text,
    /// Time that requests under way have when the server stops, as `10s`.
    pub(super) drain: Text,
}

/// Where plugins are looked for by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Plugins {
    /// A folder, or a list of folders, that nobody but its owner can write to; before those of the system.
    pub(super) path: Option<At<Paths>>,
}

/// Where compiled plugins are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Cache {
    /// A folder that belongs to the server's user and that nobody else can write to. Default: `$XDG_CACHE_HOME/nbdbox`,
    /// `$CACHE_DIRECTORY/nbdbox` or `~/.cache/nbdbox`.
    pub(super) path: Text,
    /// Bytes that it keeps, as `2GiB`; what was used longest ago goes first. Default: 2GiB.
    pub(super) size: Option<At<Scalar>>,
}

/// A place where clients come in: exactly one of `tcp`, `unix`, `vsock` and `inherited`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Listener {
    /// A name for logs and for the rules of `clients`.
    pub(super) name: Text,
    /// An IP address and a port, as `0.0.0.0:10809` or `[::]:10809`.
    pub(super) tcp: Text,
    /// The path of a unix socket.
    pub(super) unix: Text,
    /// The permissions of the unix socket, in octal, as `0660`.
    pub(super) mode: Text,
    /// Whose the unix socket is, as `USER`, `USER:GROUP` or `:GROUP`.
    pub(super) owner: Text,
    /// A port for the virtual machines of this host.
    pub(super) vsock: Option<At<i64>>,
    /// The context id to listen on with `vsock`; any if none.
    pub(super) cid: Option<At<i64>>,
    /// A socket that systemd opened, by its `FileDescriptorName=`.
    pub(super) inherited: Text,
    /// Whether it speaks TLS.
    pub(super) tls: Option<At<TlsMode>>,
    /// The server's certificate and those up to its CA, in a PEM file.
    pub(super) certificate: Text,
    /// The certificate's key, in a PEM file.
    pub(super) key: Text,
    /// The CAs whose clients are let in, in a PEM file; without it clients have no certificates.
    pub(super) client_ca: Text,
}

/// Whether a listener speaks TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    /// Plain only.
    Off,
    /// Who asks for it gets it.
    On,
    /// Without it there's nothing.
    Require,
}

/// Where the operator looks inside: one of `unix` and `tcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Admin {
    /// A loopback address and a port, as `127.0.0.1:9809`.
    pub(super) tcp: Text,
    /// The path of a unix socket.
    pub(super) unix: Text,
    /// The permissions of the unix socket, in octal, as `0600`.
    pub(super) mode: Text,
    /// Whose the unix socket is, as `USER`, `USER:GROUP` or `:GROUP`.
    pub(super) owner: Text,
}

/// Somebody who has exports and clients of their own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Tenant {
    /// Who is of this tenant: whoever one of these rules fits.
    pub(super) clients: Option<At<Vec<At<ClientRule>>>>,
    /// What all its exports and clients may use together.
    pub(super) limits: Option<At<Limits<TenantLimits>>>,
    /// Its exports.
    pub(super) export: Vec<At<Export>>,
}

/// What must hold of a client, all of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ClientRule {
    /// The subject of its certificate, as `CN=alice,O=Example`.
    pub(super) subject: Text,
    /// A subject alternative name of its certificate: `DNS:…`, `email:…` or `URI:…`. Without a prefix `://` makes it
    /// a URI, `@` an e-mail address, and else it's a DNS name.
    pub(super) san: Text,
    /// Its user id on this machine; only over a unix socket.
    pub(super) uid: Option<At<i64>>,
    /// Its address or network, as `192.0.2.7` or `192.0.2.0/24`; only over TCP.
    pub(super) source: Text,
    /// The name of the listener by which it came.
    pub(super) listener: Text,
}

/// An export of a tenant.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Export {
    /// The name by which clients ask for it.
    pub(super) name: Text,
    /// A text for clients, instead of what the plugin says.
    pub(super) description: Text,
    /// The plugin: a path, which has a `/` or ends in `.wasm`, or a name that is looked up.
    pub(super) plugin: Text,
    /// What the SHA-256 of the plugin's file has to be, in hexadecimal.
    pub(super) sha256: Text,
    /// The plugin's settings; `nbdbox inspect` lists those that it knows.
    pub(super) settings: BTreeMap<At<String>, At<Setting>>,
    /// The files that it's granted, each under a name.
    pub(super) blobs: BTreeMap<At<String>, At<Blob>>,
    /// Its limits.
    pub(super) limits: Option<At<Limits<crate::limits::Limits>>>,
    /// Filters over the plugin, the outermost first.
    pub(super) filters: Vec<At<Filter>>,
    /// Serve read-only, whatever the plugin can.
    pub(super) read_only: Option<bool>,
    /// The data never changes, whatever the plugin says: read-only, and the host may remember what it
    /// was told.
    pub(super) immutable: Option<bool>,
    /// What happens when the plugin crashed or was stopped.
    pub(super) on_failure: Option<OnFailure>,
    /// What clients get when the plugin fails to say its extents.
    pub(super) extents_on_error: Option<ExtentsOnError>,
}

/// A filter over a plugin: an instance of its own, with grants and limits of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Filter {
    /// The filter: a path, which has a `/` or ends in `.wasm`, or a name that is looked up. These names are those of
    /// the host's own, which have settings only: blocksize-policy, delay, error, fua, log, nocache, noextents, notrim,
    /// nozero.
    pub(super) plugin: Text,
    /// What the SHA-256 of the filter's file has to be, in hexadecimal.
    pub(super) sha256: Text,
    /// The filter's settings; `nbdbox inspect` lists those that it knows.
    pub(super) settings: BTreeMap<At<String>, At<Setting>>,
    /// The files that it's granted, each under a name.
    pub(super) blobs: BTreeMap<At<String>, At<Blob>>,
    /// Its limits; those that aren't here are the export's.
    pub(super) limits: Option<At<Limits<crate::limits::Limits>>>,
}
