//! From the configuration's files to all that has to be known before anything is served.

mod same_file;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use nbdbox_config::config::{self, Config, Export, Problems, Source, Value};
use nbdbox_config::reference::Reference;
use nbdbox_config::settings::Settings;
use outside::{Entry, EntryKind, Keeper, files};
use runtime::cache::Digest;

use self::same_file::SameFiles;
use crate::plugins::Plugins;

/// Entries of a folder that are looked at. Restrains one that was given by mistake.
const MOST: usize = 65_536;

/// A configuration of which everything outside was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    /// What the operator wrote, without the exports.
    pub config: Config,
    /// The exports of each tenant, in the order of `config.tenants`.
    exports: Vec<Vec<Planned>>,
}

/// An export with all that has to be known to open it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// What the operator wrote.
    pub export: Export,
    /// The plugin's file.
    pub file: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// The settings, secrets put in.
    pub settings: Settings,
    /// The same of each filter.
    pub filters: Vec<PlannedFilter>,
}

/// What has to be known to open a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedFilter {
    /// Its file; of one of the host's own, its name.
    pub file: PathBuf,
    /// The file's digest; of one of the host's own there is none.
    pub digest: Option<Digest>,
    /// Its settings, secrets put in.
    pub settings: Settings,
}

impl Planned {
    /// Whether nothing is different but the place where it's written.
    #[must_use]
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let mut export = self.export.clone();
        export.place = other.export.place.clone();
        export == other.export
            && self.digest == other.digest
            && self.settings == other.settings
            && self.filters == other.filters
    }
}

impl Blueprint {
    /// Reads a configuration, of which the keeper leaves this process its own part. Reads the
    /// plugins' files too, for their digests, and the secrets, and looks which files two exports would write; loads
    /// nothing.
    ///
    /// # Errors
    /// All that is wrong, one thing a line.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let config = match Keeper::get() {
            Some(_) => passed_configuration(path)?,
            None => read_configuration(path)?,
        };
        let plugins = Plugins::of_configuration(&config.plugins);
        Self::of(config, plugins)
    }

    /// As [`read`](Self::read), of a configuration that was read or made, whose plugins are found by name in `plugins`.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn of(mut config: Config, plugins: Plugins) -> anyhow::Result<Self> {
        let mut problems = Problems::default();
        let mut known = Known {
            plugins,
            digests: HashMap::new(),
        };
        let mut files = SameFiles::default();
        let mut exports = Vec::new();
        for tenant in &mut config.tenants {
            let key = format!("tenant.{}.export", tenant.name);
            for export in &tenant.exports {
                files.add(&tenant.name, export, &key, &mut problems);
            }
            let planned = std::mem::take(&mut tenant.exports)
                .into_iter()
                .filter_map(|export| plan(export, &key, &mut known, &mut problems));
            exports.push(planned.collect());
        }
        Ok(problems.or(Self { config, exports })?)
    }

    /// The names of all exports, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let exports = self.exports.iter().flatten();
        exports.map(|planned| &planned.export.name[..])
    }

    /// How many files are granted to plugins and filters, each as often as it's granted.
    #[must_use]
    pub(crate) fn granted_files(&self) -> usize {
        let exports = self.exports.iter().flatten().map(|planned| &planned.export);
        let of_filters = |export: &Export| -> usize {
            export.filters.iter().map(|filter| filter.blobs.len()).sum()
        };
        exports
            .map(|export| export.blobs.len() + of_filters(export))
            .sum()
    }

    /// Each tenant with its exports.
    pub(crate) fn into_tenants(self) -> impl Iterator<Item = (config::Tenant, Vec<Planned>)> {
        self.config.tenants.into_iter().zip(self.exports)
    }
}

/// Reads a configuration, and looks at nothing that it names: a file, or all `*.toml` of a folder in the order of their
/// names. Blocks.
///
/// # Errors
/// A file can't be read; all that is wrong in them, one thing a line.
pub(crate) fn read_configuration(path: &Path) -> anyhow::Result<Config> {
    let mut texts = Vec::new();
    for file in configuration_files(path)? {
        let text = files::any_text(&file);
        let text = text.with_context(|| format!("can't read {}", file.display()))?;
        texts.push((file, text));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(path, text)| Source { path, text })
        .collect();
    Ok(config::parse(&sources)?)
}

/// The configuration as the keeper has read it and passes it on. Blocks.
fn passed_configuration(path: &Path) -> anyhow::Result<Config> {
    let mut bytes = Vec::new();
    let passed = files::read(path).and_then(|mut file| file.read_to_end(&mut bytes));
    passed.context("can't get the configuration from the keeper")?;
    Config::decode(&bytes).context("can't understand the configuration that the keeper passed")
}

/// The files of a configuration, in order.
fn configuration_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_folder = files::look(path).is_ok_and(|seen| seen.kind == EntryKind::Folder);
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let named = || format!("can't read the folder {}", path.display());
    let entries = files::list(path, MOST).with_context(named)?;
    let mut files = Vec::new();
    for Entry { path, .. } in entries {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What is found out once.
struct Known {
    plugins: Plugins,
    /// Digests of files that were read.
    digests: HashMap<PathBuf, Result<Digest, String>>,
}

/// Looks at what an export names.
fn plan(export: Export, key: &str, known: &mut Known, problems: &mut Problems) -> Option<Planned> {
    let mut wrong = |key: String, text: String| problems.add(export.place.clone(), key, text);
    let plugin = look(&export.plugin, export.sha256, key, known, &mut wrong);
    let settings = resolve_all(&export.settings, key, &mut wrong);
    let key = format!("{key}.filters");
    let filters = export.filters.iter().map(|filter| {
        let found = match filter.plugin.native() {
            Some(name) => Some((name.as_str().into(), None)),
            None => look(&filter.plugin, filter.sha256, &key, known, &mut wrong)
                .map(|(file, digest)| (file, Some(digest))),
        };
        let settings = resolve_all(&filter.settings, &key, &mut wrong);
        let (file, digest) = found?;
        Some(PlannedFilter {
            file,
            digest,
            settings,
        })
    });
    // All of them are looked at, whatever is wrong with the first.
    let filters: Vec<_> = filters.collect();
    let (file, digest) = plugin?;
    Some(Planned {
        file,
        digest,
        settings,
        filters: filters.into_iter().collect::<Option<_>>()?,
        export,
    })
}

/// A plugin's file and its digest, if it is what it has to be.
fn look(
    plugin: &Reference,
    expected: Option<[u8; 32]>,
    key: &str,
    known: &mut Known,
    wrong: &mut impl FnMut(String, String),
) -> Option<(PathBuf, Digest)> {
    let plugin = match known.plugins.file(plugin) {
        Ok(file) => file,
        Err(error) => {
            wrong(format!("{key}.plugin"), format!("{error:#}"));
            return None;
        }
    };
    let digest = known.digests.entry(plugin.clone()).or_insert_with(|| {
        let digest = Digest::of_file(&plugin);
        digest.map_err(|error| format!("{error:#}"))
    });
    match digest {
        Ok(digest) => {
            if expected.is_some_and(|expected| digest.as_bytes() != &expected) {
                let text = format!("{} has the digest {digest}", plugin.display());
                wrong(format!("{key}.sha256"), text);
            }
            let digest = digest.clone();
            Some((plugin, digest))
        }
        Err(error) => {
            wrong(format!("{key}.plugin"), error.clone());
            None
        }
    }
}

fn resolve_all(
    settings: &[(String, Value)],
    key: &str,
    wrong: &mut impl FnMut(String, String),
) -> Settings {
    let mut resolved = Settings::default();
    for (name, value) in settings {
        let secret = !matches!(value, Value::Plain(_));
        match resolve(value) {
            Ok(value) => resolved.add(name, &value, secret),
            Err(error) => wrong(format!("{key}.settings.{name}"), format!("{error:#}")),
        }
    }
    resolved
}

/// A setting's value.
fn resolve(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::Plain(text) => Ok(text.clone()),
        Value::File(path) => {
            let text = files::text(path);
            let text = text.with_context(|| format!("can't read {}", path.display()))?;
            Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        }
        Value::Env(name) => std::env::var(name)
            .map_err(|_| anyhow!("the environment variable {name} isn't set, or isn't UTF-8")),
    }
}
