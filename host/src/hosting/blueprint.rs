//! From the configuration's files to everything that the host must know before it serves.

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

/// The most entries of a folder that the host reads. Restrains an operator who named the wrong folder.
const MOST: usize = 65_536;

/// A configuration whose files, digests and secrets the host has checked.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    /// What the operator wrote, without the exports.
    pub config: Config,
    /// The exports of each tenant, in the order of `config.tenants`.
    exports: Vec<Vec<Planned>>,
}

/// An export with everything that the host must know to open it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// What the operator wrote.
    pub export: Export,
    /// The plugin's file.
    pub file: PathBuf,
    /// The digest of the plugin's file.
    pub digest: Digest,
    /// The settings, with the secrets filled in.
    pub settings: Settings,
    /// The filters, as the configuration lists them.
    pub filters: Vec<PlannedFilter>,
}

/// A filter with everything that the host must know to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedFilter {
    /// The filter's file; the name of a filter that is built in.
    pub file: PathBuf,
    /// The file's digest; `None` for a filter that is built in.
    pub digest: Option<Digest>,
    /// The filter's settings, with the secrets filled in.
    pub settings: Settings,
}

impl Planned {
    /// Whether everything is equal except the place in the configuration.
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
    /// Reads a configuration, or gets this process's part of it from the keeper. Also reads the plugins' files, for
    /// their digests, and the secrets, and finds files that two exports would write. Loads nothing. Blocks.
    ///
    /// # Errors
    /// All errors in the configuration, one a line.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let config = match Keeper::get() {
            Some(_) => passed_configuration(path)?,
            None => read_configuration(path)?,
        };
        let plugins = Plugins::of_configuration(&config.plugins);
        Self::of(config, plugins)
    }

    /// As [`read`](Self::read), for a configuration in memory. `plugins` finds its plugins by name.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
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

    /// The names of all exports, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let exports = self.exports.iter().flatten();
        exports.map(|planned| &planned.export.name[..])
    }

    /// The number of grants of files to plugins and filters.
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

/// Reads a configuration, but none of the files that it names: a file, or all `*.toml` of a folder in the order of
/// their names. Blocks.
///
/// # Errors
/// A file can't be read; all errors in the files, one a line.
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

/// This process's part of the configuration, from the keeper. Blocks.
fn passed_configuration(path: &Path) -> anyhow::Result<Config> {
    let mut bytes = Vec::new();
    let passed = files::read(path).and_then(|mut file| file.read_to_end(&mut bytes));
    passed.context("can't get the configuration from the keeper")?;
    Config::decode(&bytes).context("can't decode the configuration from the keeper")
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

/// What the host looks up only once.
struct Known {
    plugins: Plugins,
    /// The digests of the files that the host has read.
    digests: HashMap<PathBuf, Result<Digest, String>>,
}

/// Reads the files and secrets that an export names.
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
    // Checks all of them, even if the first is wrong.
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

/// A plugin's file and its digest. Reports a problem if the configuration has another digest.
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

/// A setting's value; reads it if it's a secret.
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
