//! Several exports of one command line: `--add-export` and `--export-folder`.
//!
//! They are like a configuration with one tenant, to which every client belongs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use blob::Grant;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use nbdbox_config::config::{Config, Export, Filter, Position, Tenant, Value};
use nbdbox_config::filter::{FilterError, FilterWord};
use nbdbox_config::grant::Access;
use nbdbox_config::limits::{Limits, TenantLimits};
use nbdbox_config::policy::Policy;
use nbdbox_config::reference::Reference;
use nbdbox_config::settings::Settings;
use outside::{Entry, EntryKind, Right, Rights};

/// The most files of a folder that become exports. Restrains an operator who named the wrong folder.
const MOST: usize = 4096;

/// The plugin that serves a folder's files, and its name for the file.
const FILE: (&str, &str) = ("file", "disk");

/// More exports than the one of the plugin.
#[derive(Debug, Args)]
pub(super) struct SeveralArgs {
    /// Serve one more export: another plugin, with its settings, grants (`blob.NAME=PATH`) and limits
    /// (`limit.NAME=VALUE`); write `,,` for a comma. Can be repeated
    #[arg(long = "add-export", value_name = "NAME=PLUGIN[,KEY=VALUE…]", value_parser = added_parser())]
    added: Vec<Added>,

    /// Serve each regular file of a folder as an export with the file's name, read-only by default. Files that you add
    /// later become exports too. Can be repeated
    #[arg(long = "export-folder", value_name = "DIR[:ro|:rw]", value_parser = folder_parser())]
    folders: Vec<Folder>,
}

/// One value of `--add-export`.
#[derive(Clone, Debug)]
struct Added {
    name: String,
    plugin: FilterWord,
}

/// One value of `--export-folder`.
#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    access: Access,
}

/// What all exports of a command line share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) limits: Limits,
    pub(super) policy: Policy,
    pub(super) filters: Vec<FilterWord>,
}

/// The plugin of the command line itself, if there is one.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) name: String,
    pub(super) plugin: Reference,
    pub(super) settings: Settings,
    pub(super) blobs: Vec<Grant>,
}

fn added_parser() -> impl TypedValueParser<Value = Added> {
    OsStringValueParser::new().try_map(|word: OsString| {
        let bytes = word.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let named = equals.and_then(|at| {
            let name = std::str::from_utf8(&bytes[..at]).ok()?;
            Some((name.to_owned(), OsStr::from_bytes(&bytes[at + 1..])))
        });
        let Some((name, plugin)) = named else {
            return Err("expected NAME=PLUGIN[,KEY=VALUE…], as in disk=pattern,size=1G".to_owned());
        };
        match FilterWord::parse(plugin) {
            Ok(plugin) => Ok(Added { name, plugin }),
            Err(FilterError::Missing) => Err(format!("the plugin of export `{name}` is missing")),
            Err(error) => Err(error.to_string()),
        }
    })
}

fn folder_parser() -> impl TypedValueParser<Value = Folder> {
    OsStringValueParser::new().try_map(|word: OsString| {
        let bytes = word.as_bytes();
        let (path, access) = match (bytes.strip_suffix(b":rw"), bytes.strip_suffix(b":ro")) {
            (Some(path), _) => (path, Access::ReadWrite),
            (None, Some(path)) => (path, Access::ReadOnly),
            (None, None) => (bytes, Access::ReadOnly),
        };
        match path {
            [] => Err("the folder is missing".to_owned()),
            path => Ok(Folder {
                path: OsStr::from_bytes(path).into(),
                access,
            }),
        }
    })
}

impl SeveralArgs {
    /// Whether the command line has none of these options.
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.folders.is_empty()
    }

    /// The folders whose files are exports.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|folder| &*folder.path)
    }

    /// Adds the rights that the server's process needs for the files of its folders, including files that come later.
    pub(super) fn rights(&self, read_only: bool, rights: &mut Rights) {
        for folder in &self.folders {
            rights.allow(&folder.path, Right::List);
            let writes = folder.access == Access::ReadWrite && !read_only;
            let right = if writes {
                Right::WriteDisk
            } else {
                Right::ReadDisk
            };
            rights.allow_in(&folder.path, None, &[right]);
        }
    }

    /// The exports as a configuration. Reads the folders. Blocks.
    ///
    /// # Errors
    /// Two exports have the same name; a folder can't be read.
    pub(super) fn config(&self, own: Option<Own>, common: &Common) -> anyhow::Result<Config> {
        let mut exports = Exports::default();
        if let Some(own) = own {
            let settings = plain(&own.settings);
            let limits = common.limits.clone();
            exports.add(common.export(own.name, own.plugin, settings, own.blobs, limits)?)?;
        }
        for Added { name, plugin } in &self.added {
            let limits = plugin.limits(&common.limits)?;
            let settings = plain(&plugin.settings);
            let (reference, blobs) = (plugin.plugin.clone(), plugin.blobs.clone());
            exports.add(common.export(name.clone(), reference, settings, blobs, limits)?)?;
        }
        for folder in &self.folders {
            for (name, path) in folder.files()? {
                let grant = Grant {
                    name: FILE.1.to_owned(),
                    path,
                    access: folder.access,
                    lock: None,
                };
                let reference = Reference::Name(FILE.0.to_owned());
                let limits = common.limits.clone();
                exports.add(common.export(name, reference, Vec::new(), vec![grant], limits)?)?;
            }
        }
        Ok(Config {
            tenants: vec![Tenant {
                name: String::new(),
                // Every client belongs to it, without a rule.
                clients: Vec::new(),
                limits: TenantLimits::of_the_command_line(),
                exports: exports.0.into_values().collect(),
            }],
            connections: common.limits.connections,
            handshake: common.limits.handshake,
            ..Config::default()
        })
    }
}

/// Exports by name.
#[derive(Default)]
struct Exports(BTreeMap<String, Export>);

impl Exports {
    fn add(&mut self, export: Export) -> anyhow::Result<()> {
        let name = export.name.clone();
        if self.0.insert(name.clone(), export).is_some() {
            bail!("two exports have the name `{name}`");
        }
        Ok(())
    }
}

impl Common {
    fn export(
        &self,
        name: String,
        plugin: Reference,
        settings: Vec<(String, Value)>,
        blobs: Vec<Grant>,
        limits: Limits,
    ) -> anyhow::Result<Export> {
        let filters = self.filters.iter().map(|filter| {
            Ok(Filter {
                plugin: filter.plugin.clone(),
                sha256: None,
                settings: plain(&filter.settings),
                blobs: filter.blobs.clone(),
                limits: filter.limits(&limits)?,
            })
        });
        Ok(Export {
            filters: filters.collect::<anyhow::Result<_>>()?,
            place: Position {
                file: format!("export `{name}`"),
                line: 0,
            },
            name,
            description: None,
            plugin,
            sha256: None,
            settings,
            blobs,
            limits,
            policy: self.policy,
        })
    }
}

impl Folder {
    /// The regular files, and the name of each as an export. Symlinks are left out: they could lead out of the folder.
    fn files(&self) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let named = || format!("can't read the folder {}", self.path.display());
        let mut files = Vec::new();
        // One more than the limit, to notice that there are too many.
        for Entry { path, kind } in
            outside::files::list(&self.path, MOST + 1).with_context(named)?
        {
            if kind != EntryKind::File {
                continue;
            }
            match path.file_name().and_then(OsStr::to_str) {
                Some(name) => files.push((name.to_owned(), path)),
                None => tracing::warn!(
                    target: "nbdbox::service",
                    "{} isn't exported: its name isn't UTF-8, as NBD's names are",
                    path.display()
                ),
            }
            ensure!(
                files.len() <= MOST,
                "{} has more than {MOST} files (--export-folder)",
                self.path.display()
            );
        }
        Ok(files)
    }
}

fn plain(settings: &Settings) -> Vec<(String, Value)> {
    let settings = settings.iter();
    settings
        .map(|(key, value)| (key.to_owned(), Value::Plain(value.to_owned())))
        .collect()
}
