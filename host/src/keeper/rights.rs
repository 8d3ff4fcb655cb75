//! From the operator's words to what a server may ask for.

use std::path::Path;

use nbd_server::socket_of;
use nbdbox_config::config::{Config, Export, Filter, Tls, TlsFiles, Value};
use nbdbox_config::grant::{Access, Grant};
use nbdbox_config::native::NativeName;
use nbdbox_config::reference::Reference;
use outside::{Right, Rights, Socket};

use crate::plugins::Plugins;

/// The rights of a server of a configuration, which was read from `path`. The server gets the configuration itself by them.
///
/// # Errors
/// The configuration can't be encoded.
pub(crate) fn of_configuration(path: &Path, config: &Config) -> anyhow::Result<Rights> {
    let mut rights = Rights::default();
    rights.provide(path, &config.encode()?);
    of_exports(&mut rights, config);
    Plugins::of_configuration(&config.plugins).rights(&mut rights);
    for listener in &config.listeners {
        rights.allow_socket(socket_of(&listener.address));
        tls(&mut rights, &listener.tls);
    }
    if let Some(admin) = &config.admin {
        rights.allow_socket(Socket::Admin(Box::new(socket_of(admin))));
    }
    Ok(rights)
}

/// What the exports of a configuration take.
pub(crate) fn of_exports(rights: &mut Rights, config: &Config) {
    for export in config.tenants.iter().flat_map(|tenant| &tenant.exports) {
        of_export(rights, export);
    }
}

fn of_export(rights: &mut Rights, export: &Export) {
    plugin(rights, &export.plugin);
    secrets(rights, &export.settings);
    for grant in &export.blobs {
        blob(rights, grant, export.policy.read_only);
    }
    for filter in &export.filters {
        of_filter(rights, filter, export.policy.read_only);
    }
}

fn of_filter(rights: &mut Rights, filter: &Filter, read_only: bool) {
    plugin(rights, &filter.plugin);
    secrets(rights, &filter.settings);
    for grant in &filter.blobs {
        blob(rights, grant, read_only);
    }
    if let Some(name) = filter.plugin.native() {
        let settings = filter
            .settings
            .iter()
            .filter_map(|(key, value)| match value {
                Value::Plain(text) => Some((&key[..], &text[..])),
                Value::File(_) | Value::Env(_) => None,
            });
        native(rights, name, settings);
    }
}

/// A plugin's file. One that is named is found in the folders, which have rights of their own; the path is for the hint to
/// whoever meant the file of that name.
pub(crate) fn plugin(rights: &mut Rights, reference: &Reference) {
    match reference {
        Reference::Path(path) => {
            rights.allow(path, Right::Read);
            rights.allow(path, Right::Code);
        }
        Reference::Name(name) => rights.allow(Path::new(name), Right::Look),
        Reference::Registry(_) => {}
    }
}

/// A granted file. An export that is read-only gets none to write.
pub(crate) fn blob(rights: &mut Rights, grant: &Grant, read_only: bool) {
    let writes = grant.access == Access::ReadWrite && !read_only;
    rights.allow(
        &grant.path,
        if writes {
            Right::WriteDisk
        } else {
            Right::ReadDisk
        },
    );
}

/// The files of TLS.
pub(crate) fn tls(rights: &mut Rights, tls: &Tls) {
    let (Tls::On(files) | Tls::Require(files)) = tls else {
        return;
    };
    let TlsFiles {
        certificate,
        key,
        client_ca,
    } = files;
    for file in [Some(certificate), Some(key), client_ca.as_ref()]
        .into_iter()
        .flatten()
    {
        rights.allow(file, Right::Read);
    }
}

fn secrets(rights: &mut Rights, settings: &[(String, Value)]) {
    for (_, value) in settings {
        if let Value::File(path) = value {
            rights.allow(path, Right::Read);
        }
    }
}

/// Files that a filter of the host's own writes, or looks whether they're there.
pub(crate) fn native<'a>(
    rights: &mut Rights,
    name: NativeName,
    settings: impl Iterator<Item = (&'a str, &'a str)>,
) {
    for (key, value) in settings {
        match (name, key) {
            (NativeName::Log, "logfile") => rights.allow(Path::new(value), Right::Append),
            (NativeName::Error, key) if key.ends_with("-file") => {
                rights.allow(Path::new(value), Right::Look);
            }
            (NativeName::Exitwhen, "exit-when-file-created" | "exit-when-file-deleted") => {
                rights.allow(Path::new(value), Right::Look);
            }
            (NativeName::Exitwhen, "exit-when-process-exits") => {
                rights.allow(&Path::new("/proc").join(value), Right::Look);
            }
            (NativeName::Exitwhen, "exit-when-pipe-closed") => {
                // What is no number is told by whoever reads the settings.
                if let Ok(descriptor) = value.parse() {
                    rights.allow_pipe(descriptor);
                }
            }
            _ => {}
        }
    }
}
