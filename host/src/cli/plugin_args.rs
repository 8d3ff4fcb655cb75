//! The arguments that name a plugin, its settings, grants and limits: the same for all commands that run one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use blob::{Blob, Grant, Opener};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use device::ExtentsOnError;
use device::{ProcessQuota, TenantQuota};
use native_filters::Exit;
use nbdbox_config::blob_option::BlobOption;
use nbdbox_config::filter::FilterWord;
use nbdbox_config::limits::{self, Limits, TenantLimits};
use nbdbox_config::policy::OnFailure;
use nbdbox_config::reference::Reference;
use nbdbox_config::settings::Settings;
use outside::Rights;
use runtime::{
    Engine, ExportSpec, FilterKind, FilterSpec, Plugin, PluginCatalog, PluginFilter, Policy,
    cache::Cache,
};

use super::several::{Common, Own};
use crate::hosting::native;
use crate::keeper;
use crate::plugins::Plugins;

/// A plugin, its settings, its grants and its limits.
#[derive(Debug, Args)]
pub(super) struct PluginArgs {
    /// The plugin: a name that `nbdbox plugins` lists, or a file's path, which has a `/` or ends in `.wasm`
    #[arg(required = true, value_parser = reference_parser())]
    plugin: Option<Reference>,

    /// The plugin's settings; `nbdbox inspect` lists them
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Grant a file under a name: `ro` (the default), `rw`, or `map-only` for a plugin that may serve its bytes but
    /// not read them
    #[arg(long = "blob", value_name = "NAME=PATH[:ro|:rw|:map-only]", value_parser = grant_parser())]
    blobs: Vec<Grant>,

    /// Set an option of a blob. `lock` decides who else may use the file: `exclusive` (the default for `rw`) keeps
    /// others from writing it, `shared` lets them, `none` takes no lock
    #[arg(long = "blob-option", value_name = "NAME.KEY=VALUE", value_parser = clap::value_parser!(BlobOption))]
    blob_options: Vec<BlobOption>,

    #[command(flatten)]
    pub(super) folders: PluginFolders,

    /// Put a filter over the plugin; the first one is the outermost. The host has filters of its own: blocksize-policy,
    /// delay, error, exitlast, exitwhen, fua, log, nocache, noextents, notrim, nozero.
    /// `blob.NAME=PATH[:ro|:rw|:map-only]` grants a file, `blob-option.NAME.KEY=VALUE` sets an option of it,
    /// `limit.NAME=VALUE` sets a limit of the filter; write `,,` for a comma
    #[arg(long = "filter", value_name = "FILTER[,KEY=VALUE…]", value_parser = filter_parser())]
    filters: Vec<FilterWord>,

    /// How a filter may end the server; `None` if no filter may.
    #[arg(skip)]
    exit: Option<Arc<Exit>>,

    /// Set limits, as in `memory=64MiB,cpu=100ms`
    #[arg(
        long = "limit",
        value_name = "NAME=VALUE,…",
        value_parser = parse_limits,
        long_help = limits_help()
    )]
    limits: Vec<String>,

    /// What clients get if the plugin fails to report extents
    #[arg(long, value_name = "WHAT", default_value = "data")]
    extents_on_error: OnError,

    /// What happens after the plugin crashed or was stopped: a fresh instance after a pause, or none. A writable plugin
    /// in mode `single` always fails for good: its memory was the disk
    #[arg(long, value_name = "WHAT", default_value = "restart")]
    on_failure: Failed,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Failed {
    /// A fresh instance serves the next request, after a pause of 10 ms to 10 s.
    Restart,
    /// Every further request fails.
    Fail,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnError {
    /// Data for the whole request: always a safe answer.
    Data,
    /// The error.
    Error,
}

/// Where plugins are looked for by name.
#[derive(Debug, Args)]
pub(super) struct PluginFolders {
    /// Search this folder first for plugins by name; separate several folders by colons
    #[arg(long, value_name = "DIR[:DIR…]")]
    plugin_path: Vec<OsString>,
}

impl PluginFolders {
    /// The plugins of these folders and of the default ones.
    pub(super) fn plugins(&self) -> Plugins {
        let said = self.plugin_path.iter().flat_map(std::env::split_paths);
        let said: Vec<PathBuf> = said.filter(|path| !path.as_os_str().is_empty()).collect();
        Plugins::of_command_line(&said)
    }
}

/// Clap's parser for a plugin, whose path may have any bytes.
pub(super) fn reference_parser() -> impl TypedValueParser<Value = Reference> {
    OsStringValueParser::new().try_map(|word| Reference::parse(&word))
}

/// Clap's parser for a grant, whose path may have any bytes.
fn grant_parser() -> impl TypedValueParser<Value = Grant> {
    OsStringValueParser::new().try_map(|word| Grant::parse(&word))
}

/// Clap's parser for a filter, whose paths may have any bytes.
fn filter_parser() -> impl TypedValueParser<Value = FilterWord> {
    OsStringValueParser::new().try_map(|word| FilterWord::parse(&word))
}

/// Checks a `--limit` on its own, so that a wrong one is a usage error.
fn parse_limits(list: &str) -> Result<String, limits::LimitError> {
    Limits::default().set(list).map(|()| list.to_owned())
}

/// The help of `--limit`: each limit with its default.
fn limits_help() -> String {
    let words: Vec<String> = limits::KEYS
        .iter()
        .map(|key| format!("{}={}", key.name, key.default_value()))
        .collect();
    // From this one on, the limits restrain clients.
    let clients = limits::KEYS
        .iter()
        .position(|key| key.name == "connections");
    let (plugin, clients) = words.split_at(clients.unwrap_or(words.len()));
    format!(
        "Set limits. Those of the plugin, with their defaults: {}; those of its clients: {}",
        plugin.join(", "),
        clients.join(", ")
    )
}

impl PluginArgs {
    /// Whether the command line only names the plugin, without settings, grants, limits or policies.
    pub(super) fn is_bare(&self) -> bool {
        let nothing = self.settings.is_empty()
            && self.blobs.is_empty()
            && self.blob_options.is_empty()
            && self.limits.is_empty()
            && self.filters.is_empty();
        let by_default = matches!(
            (self.extents_on_error, self.on_failure),
            (OnError::Data, Failed::Restart)
        );
        nothing && by_default
    }

    /// The plugin as one of several exports; `None` if the command line names none.
    ///
    /// # Errors
    /// Its settings or grants are wrong; there are grants without a plugin.
    pub(super) fn own(&self, name: &str) -> anyhow::Result<Option<Own>> {
        let mut blobs = self.blobs.clone();
        BlobOption::set_all(&self.blob_options, &mut blobs)?;
        let Some(plugin) = &self.plugin else {
            ensure!(
                blobs.is_empty(),
                "--blob grants a file to the plugin, but no plugin is named; for --add-export, write blob.NAME=PATH"
            );
            return Ok(None);
        };
        Ok(Some(Own {
            name: name.to_owned(),
            plugin: plugin.clone(),
            settings: Settings::parse(&self.settings)?,
            blobs,
        }))
    }

    /// What all exports of the command line share.
    ///
    /// # Errors
    /// A limit is wrong.
    pub(super) fn common(&self, read_only: bool) -> anyhow::Result<Common> {
        Ok(Common {
            limits: self.limits()?,
            policy: self.policy(read_only),
            filters: self.filters.clone(),
        })
    }

    fn policy(&self, read_only: bool) -> Policy {
        Policy {
            read_only,
            immutable: false,
            extents_on_error: match self.extents_on_error {
                OnError::Data => ExtentsOnError::Data,
                OnError::Error => ExtentsOnError::Error,
            },
            on_failure: match self.on_failure {
                Failed::Restart => OnFailure::Restart,
                Failed::Fail => OnFailure::Fail,
            },
        }
    }

    /// The number of files that the plugin and its filters are granted.
    pub(super) fn granted_files(&self) -> usize {
        let of_filters: usize = self.filters.iter().map(|filter| filter.blobs.len()).sum();
        self.blobs.len() + of_filters
    }

    /// Lets the filters end the server, and returns the means by which they do.
    pub(super) fn let_filters_end_it(&mut self) -> Arc<Exit> {
        Arc::clone(self.exit.get_or_insert_default())
    }

    /// Whether the command line names a plugin: only some commands need one.
    pub(super) fn is_named(&self) -> bool {
        self.plugin.is_some()
    }

    /// The plugin's name or path. The command must be one that requires it.
    pub(super) fn plugin(&self) -> &Reference {
        self.plugin
            .as_ref()
            .expect("clap requires a plugin for all commands that call this")
    }

    /// The plugin's file. Blocks.
    ///
    /// # Errors
    /// No folder has a plugin of this name.
    pub(super) fn file(&self) -> anyhow::Result<PathBuf> {
        self.folders.plugins().file(self.plugin())
    }

    /// Adds the rights that the server's process needs for these arguments.
    ///
    /// # Errors
    /// The grants are wrong.
    pub(super) fn rights(&self, read_only: bool, rights: &mut Rights) -> anyhow::Result<()> {
        self.folders.plugins().rights(rights);
        if let Some(plugin) = &self.plugin {
            keeper::plugin(rights, plugin);
        }
        for grant in &self.blobs {
            keeper::blob(rights, grant, read_only);
        }
        for filter in &self.filters {
            keeper::plugin(rights, &filter.plugin);
            for grant in &filter.blobs {
                keeper::blob(rights, grant, read_only);
            }
            if let Some(name) = filter.plugin.native() {
                keeper::native(rights, name, filter.settings.iter());
            }
        }
        Ok(())
    }

    /// The default limits, changed by `--limit`.
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let mut limits = Limits::default();
        for list in &self.limits {
            limits.set(list)?;
        }
        Ok(limits)
    }

    /// Opens files for the export, and names the export in errors.
    pub(super) fn opener(name: &str) -> Opener {
        Opener::new(format!("export \"{name}\""))
    }

    /// Loads the plugin and opens its export, within the budget of `process`.
    pub(super) async fn open(
        &self,
        name: &str,
        read_only: bool,
        opener: &Opener,
        process: &Arc<ProcessQuota>,
    ) -> anyhow::Result<PluginCatalog> {
        let (plugin, spec) = self.load(name, read_only, opener, process).await?;
        PluginCatalog::new(plugin, spec).await
    }

    /// Loads the plugin, and returns it with everything that opening its export needs.
    pub(super) async fn load(
        &self,
        name: &str,
        read_only: bool,
        opener: &Opener,
        process: &Arc<ProcessQuota>,
    ) -> anyhow::Result<(Arc<Plugin>, ExportSpec)> {
        let settings = Settings::parse(&self.settings)?;
        let limits = self.limits()?;
        let mut grants = self.blobs.clone();
        BlobOption::set_all(&self.blob_options, &mut grants)?;
        let quota = TenantQuota::new(&TenantLimits::of_the_command_line(), process);
        let work = quota.lane.charging(None);
        let blobs = Blob::open_all(&grants, read_only, opener, &work).await?;
        let engine = Engine::new(Cache::default_folder())?;
        let plugin = Plugin::load(&engine, &self.file()?, &limits, &quota).await?;
        let plugins = self.folders.plugins();
        let mut filters = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let kind = if let Some(name) = filter.plugin.native() {
                native(name, &filter.settings, self.exit.as_ref())?
            } else {
                let file = plugins.file(&filter.plugin)?;
                load_filter(&engine, &file, filter, &limits, &quota, read_only, opener).await?
            };
            filters.push(FilterSpec {
                kind,
                below: Arc::default(),
            });
        }
        let spec = ExportSpec {
            tenant: String::new(),
            metrics: Arc::default(),
            name: name.to_owned(),
            settings,
            blobs,
            limits,
            quota,
            policy: self.policy(read_only),
            filters,
        };
        Ok((plugin, spec))
    }
}

/// Loads a filter, and opens the files that it's granted.
async fn load_filter(
    engine: &Engine,
    file: &Path,
    filter: &FilterWord,
    limits: &Limits,
    quota: &Arc<TenantQuota>,
    read_only: bool,
    opener: &Opener,
) -> anyhow::Result<FilterKind> {
    let limits = filter.limits(limits)?;
    let work = quota.lane.charging(None);
    let filter = PluginFilter {
        plugin: Plugin::load(engine, file, &limits, quota).await?,
        settings: filter.settings.clone(),
        blobs: Blob::open_all(&filter.blobs, read_only, opener, &work).await?,
        limits,
    };
    Ok(FilterKind::Plugin(Box::new(filter)))
}
