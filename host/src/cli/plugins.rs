//! `nbdbox plugins`: lists the plugins and filters that can be named.

use std::process::ExitCode;

use clap::Args;
use device::TenantQuota;
use nbdbox_config::limits::{Limits, TenantLimits};
use nbdbox_config::native::NativeName;
use outside::Rights;
use runtime::{Engine, Interfaces, Manifest, Plugin, cache::Cache};
use serde::Serialize;

use super::plugin_args::PluginFolders;
use super::sandbox_args::{self, SandboxArgs, Side};
use super::{FAILED, log};
use crate::machine;
use crate::plugins::Named;
use crate::service::{self, Signals};

/// Lists the plugins and filters that you can name, and the host's own filters.
///
/// Compiles those that aren't in the cache yet, which takes some seconds each. A row shows what its plugin requires:
/// `blob` is a file to grant, `setting` a required setting.
#[derive(Debug, Args)]
pub(super) struct Plugins {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    folders: PluginFolders,

    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// The kind of a plugin that goes over another one.
const FILTER: &str = "filter";

/// The kind of a filter that is built into the host: `--filter` and `filters` take its name, and it has no file.
const NATIVE: &str = "native filter";

/// One entry of the list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    /// `None` if the filter is built into the host.
    file: Option<String>,
    #[serde(flatten)]
    found: Found,
}

/// What a file is.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Found {
    Plugin {
        kind: &'static str,
        version: String,
        summary: String,
        digest: Option<String>,
        needs: Needs,
    },
    Unusable {
        error: String,
    },
}

/// What the operator has to give.
#[derive(Debug, Default, Serialize)]
struct Needs {
    blobs: Vec<String>,
    settings: Vec<String>,
}

impl Plugins {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        log::start(log::PLAIN, log::Format::Text)?;
        if let Side::Keeper { all_walls } = self.sandbox.side()? {
            let mut rights = Rights::default();
            self.folders.plugins().rights(&mut rights);
            return sandbox_args::keep(all_walls, rights, Cache::default_folder());
        }
        service::block_on(None, async {
            Signals::catch()?.unless_asked(self.list()).await
        })
    }

    async fn list(&self) -> anyhow::Result<ExitCode> {
        let engine = Engine::new(Cache::default_folder())?;
        let quota = TenantQuota::new(&TenantLimits::of_the_command_line(), &machine::budget(None));
        let mut listed = Vec::new();
        let mut list = |plugin: Listed| {
            if !self.json {
                super::print(&lines(&plugin))?;
            }
            listed.push(plugin);
            anyhow::Ok(())
        };
        for Named { name, file } in self.folders.plugins().all() {
            let loaded = Plugin::load(&engine, &file, &Limits::default(), &quota).await;
            list(Listed {
                name,
                file: Some(file.display().to_string()),
                found: match loaded {
                    Ok(plugin) => found(&plugin),
                    Err(error) => Found::Unusable {
                        error: format!("{error:#}"),
                    },
                },
            })?;
        }
        for name in NativeName::ALL {
            list(native(name))?;
        }
        if self.json {
            super::print(&format!("{}\n", serde_json::to_string_pretty(&listed)?))?;
        }
        let unusable = |listed: &Listed| matches!(listed.found, Found::Unusable { .. });
        Ok(ExitCode::from(match listed.iter().any(unusable) {
            true => FAILED,
            false => 0,
        }))
    }
}

/// The entry of a filter that is built into the host, with the host's version.
fn native(name: NativeName) -> Listed {
    Listed {
        name: name.as_str().to_owned(),
        file: None,
        found: Found::Plugin {
            kind: NATIVE,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: name.summary().to_owned(),
            digest: None,
            needs: Needs::default(),
        },
    }
}

fn found(plugin: &Plugin) -> Found {
    let manifest = plugin.manifest();
    let text = |of: fn(&Manifest) -> &String| manifest.map(of).cloned().unwrap_or_default();
    Found::Plugin {
        kind: match plugin.world().has(Interfaces::FILTER) {
            true => FILTER,
            false => "plugin",
        },
        version: text(|manifest| &manifest.version),
        summary: text(|manifest| &manifest.summary),
        digest: Some(format!("sha256:{}", plugin.digest())),
        needs: manifest.map(needs).unwrap_or_default(),
    }
}

fn needs(manifest: &Manifest) -> Needs {
    let blobs = manifest.blobs.iter();
    let settings = manifest.settings.iter().filter(|setting| setting.required);
    Needs {
        blobs: blobs
            .map(|blob| format!("{}:{}", blob.name, blob.access))
            .collect(),
        settings: settings.map(|setting| setting.key.clone()).collect(),
    }
}

/// An entry as text: a heading, and indented details.
fn lines(listed: &Listed) -> String {
    let Listed { name, file, found } = listed;
    let line = |key: &str, value: Option<&String>| {
        let value = value.map(|value| format!("    {key:<7} {value}\n"));
        value.unwrap_or_default()
    };
    let file = line("file", file.as_ref());
    match found {
        Found::Plugin {
            kind,
            version,
            summary,
            digest,
            needs,
        } => {
            let filter = match *kind {
                FILTER | NATIVE => format!(" ({kind})"),
                _ => String::new(),
            };
            let blobs = needs.blobs.iter().map(|blob| format!("blob {blob}"));
            let settings = needs.settings.iter().map(|key| format!("setting {key}"));
            let needs: Vec<String> = blobs.chain(settings).collect();
            let needs = match &needs[..] {
                [] => "nothing".to_owned(),
                needs => needs.join(", "),
            };
            format!(
                "{name} {version}{filter}: {summary}\n    needs   {needs}\n{file}{digest}",
                digest = line("digest", digest.as_ref()),
            )
        }
        Found::Unusable { error } => format!("{name}: can't be used: {error}\n{file}"),
    }
}
