//! Derives the rights of a server from the command line or the configuration.

use std::path::Path;

use nbd_server::socket_of;
use nbdbox_config::config::{Config, Export, Filter, Tls, TlsFiles, Value};
use nbdbox_config::grant::{Access, Grant};
use nbdbox_config::native::NativeName;
use nbdbox_config::reference::Reference;
use outside::{Right, Rights, Socket};

use crate::plugins::Plugins;

/// The rights of a server that serves `config`, which the keeper read from `path`. A read of `path` gives the server
/// this configuration, not the file.
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

/// Adds the rights that the exports of a configuration need.
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

/// Adds the rights to a plugin's file. For a plugin by name, the folders of plugins have rights of their own. The
/// server may only look for a file with that name, for a hint to an operator who meant the file.
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

/// Adds the right to a granted file. A read-only export gets no right to write.
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

/// Adds the rights to the files of TLS.
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

/// Adds the rights to files that have secrets.
fn secrets(rights: &mut Rights, settings: &[(String, Value)]) {
    for (_, value) in settings {
        if let Value::File(path) = value {
            rights.allow(path, Right::Read);
        }
    }
}

/// Adds the rights to files that one of the host's own filters writes or checks for.
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
                // The filter itself rejects a value that is no number.
                if let Ok(descriptor) = value.parse() {
                    rights.allow_pipe(descriptor);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use nbdbox_config::config::{Part, Source, parse};
    use outside::Request;

    use super::*;

    const TEXT: &str = r#"
        [[listener]]
        name = "gold"
        unix = "/run/gold.sock"
        process = "own"
        [[listener]]
        name = "silver"
        unix = "/run/silver.sock"
        process = "own"
        [tenant.gold]
        clients = [{ listener = "gold" }]
        [[tenant.gold.export]]
        name = "disk"
        plugin = "/plugins/file.wasm"
        settings = { key = "gold's" }
        blobs = { disk = "/srv/gold.img:rw" }
        [tenant.silver]
        clients = [{ listener = "silver" }]
        [[tenant.silver.export]]
        name = "disk"
        plugin = "/plugins/qcow2.wasm"
        settings = { key = "silver's" }
        blobs = { disk = "/srv/silver.img:ro" }
    "#;

    #[test]
    fn a_part_has_no_right_to_another_part_and_no_word_of_it() {
        let path = Path::new("/etc/nbdbox.toml");
        let mut config = parse(&[Source { path, text: TEXT }]).unwrap();
        config.narrow_to(&Part::Listener("silver".to_owned()));
        let rights = of_configuration(path, &config).unwrap();
        let disk = |path: &str, writable| Request::Disk {
            path: Path::new(path).into(),
            writable,
        };
        let code = |path: &str| Request::Code {
            path: Path::new(path).into(),
            compatibility: 0,
        };
        let socket = |path: &str| {
            Request::Listen(Socket::Unix {
                path: Path::new(path).into(),
                mode: None,
                owner: None,
            })
        };
        for (request, allowed) in [
            (disk("/srv/silver.img", false), true),
            (disk("/srv/silver.img", true), false),
            (disk("/srv/gold.img", false), false),
            (code("/plugins/qcow2.wasm"), true),
            (code("/plugins/file.wasm"), false),
            (socket("/run/silver.sock"), true),
            (socket("/run/gold.sock"), false),
            (Request::Visit(0), false),
        ] {
            assert_eq!(rights.permit(&request), allowed, "{request:?}");
        }
        let (_, file) = rights.perform(&Request::Read(path.into())).unwrap();
        let mut bytes = Vec::new();
        std::fs::File::from(file.unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        let has = |word: &str| {
            bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes())
        };
        assert!(has("silver's"));
        assert!(!has("gold"), "{}", String::from_utf8_lossy(&bytes));
    }
}
