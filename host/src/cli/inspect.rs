//! `nbdbox inspect`: what a plugin is, what it can do, what it needs.

use std::process::ExitCode;

use super::log;
use super::plugin_args::{self, PluginFolders};
use super::sandbox_args::{self, SandboxArgs, Side};
use crate::keeper;
use crate::machine;
use crate::service::Signals;
use clap::Args;
use device::TenantQuota;
use nbdbox_config::limits::{Limits, TenantLimits};
use nbdbox_config::reference::Reference;
use nbdbox_config::size::Bytes;
use outside::Rights;
use runtime::{Engine, INTERFACES, Interfaces, Manifest, Plugin, World, cache::Cache};

/// Shows a plugin's exports and imports, the NBD features that follow from them, and what it needs.
///
/// Calls only its `describe` and, of a filter, `changes-bytes`, in an instance with nothing granted.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The plugin: a name that `nbdbox plugins` lists, or a file's path, which has a `/` or ends in `.wasm`
    #[arg(value_parser = plugin_args::reference_parser())]
    plugin: Reference,

    #[command(flatten)]
    folders: PluginFolders,

    #[command(flatten)]
    sandbox: SandboxArgs,
}

impl Inspect {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        log::start(log::PLAIN, log::Format::Text)?;
        if let Side::Keeper { all_walls } = self.sandbox.side()? {
            let mut rights = Rights::default();
            self.folders.plugins().rights(&mut rights);
            keeper::plugin(&mut rights, &self.plugin);
            return sandbox_args::keep(all_walls, rights, Cache::default_folder());
        }
        self.inspect().map(|()| ExitCode::SUCCESS)
    }

    fn inspect(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let file = self.folders.plugins().file(&self.plugin)?;
            let engine = Engine::new(Cache::default_folder())?;
            let limits = Limits::default();
            let quota =
                TenantQuota::new(&TenantLimits::of_the_command_line(), &machine::budget(None));
            let loading = Plugin::load(&engine, &file, &limits, &quota);
            let plugin = Signals::catch()?.unless_asked(loading).await?;
            super::print(&report(&plugin))
        })
    }
}

fn report(plugin: &Plugin) -> String {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push(format!("{key:<10} {value}\n"));
    line("plugin", heading(plugin));
    line("size", Bytes(plugin.size()).to_string());
    line("digest", format!("sha256:{}", plugin.digest()));
    line(
        "compiled",
        match plugin.compile_time() {
            Some(time) => format!("in {} ms, now in the cache", time.as_millis()),
            None => "earlier, found in the cache".to_owned(),
        },
    );
    let filter = plugin.world().has(Interfaces::FILTER);
    if filter {
        let kind = match plugin.changes_bytes() {
            true => "over a plugin; it changes bytes, so nothing below is passed on as it is",
            false => "over a plugin; bytes that it only moves don't pass through it",
        };
        line("filter", kind.to_owned());
    }
    line("world", world(plugin.world()));
    line("features", features(plugin.world()));
    for name in &plugin.world().exports {
        line("exports", name.clone());
    }
    for name in &plugin.world().imports {
        line("imports", name.clone());
    }
    if plugin.world().wasi() {
        line(
            "note",
            "it imports WASI, and gets clocks, random numbers and a log".to_owned(),
        );
    }
    match plugin.manifest() {
        Some(manifest) => lines.extend(needs(manifest, filter)),
        None => line("needs", "unknown: it has no manifest".to_owned()),
    }
    lines.concat()
}

fn heading(plugin: &Plugin) -> String {
    match plugin.manifest() {
        Some(manifest) => format!(
            "{} {}: {}",
            manifest.name, manifest.version, manifest.summary
        ),
        None => plugin.name().to_owned(),
    }
}

/// The world's name, and what each missing interface would add.
fn world(world: &World) -> String {
    let name = world.name().unwrap_or("one of its own");
    let all = world.interfaces;
    let lacks = INTERFACES
        .iter()
        .filter(|row| !all.contains(row.flag) && all.contains(row.needs));
    let lacks: Vec<String> = lacks
        .filter_map(|row| Some(format!("with `{}` {}", row.name(), row.advice?)))
        .collect();
    match &lacks[..] {
        [] => name.to_owned(),
        lacks => format!("{name}; {}", lacks.join(", ")),
    }
}

/// The NBD features that follow from the exported interfaces, in NBD's words.
fn features(world: &World) -> String {
    let of_use = INTERFACES
        .iter()
        .filter(|row| row.is_of_use(world.interfaces));
    let mut features: Vec<&str> = of_use.flat_map(|row| row.features).copied().collect();
    if !world.has(Interfaces::WRITABLE) {
        features.insert(1, "(read-only)");
    }
    features.join(" ")
}

fn needs(manifest: &Manifest, filter: bool) -> Vec<String> {
    let option = if filter { "blob." } else { "--blob " };
    let blobs = manifest.blobs.iter().map(|blob| {
        format!(
            "{:<10} {option}{}=PATH:{}  {}\n",
            "needs", blob.name, blob.access, blob.help
        )
    });
    let settings = manifest.settings.iter().map(|setting| {
        let extra = match (&setting.default, setting.required) {
            (Some(default), _) => format!(" [default: {default}]"),
            (None, true) => " (required)".to_owned(),
            (None, false) => String::new(),
        };
        let kind = setting.kind.name().to_uppercase();
        format!(
            "{:<10} {}={kind}  {}{extra}\n",
            "setting", setting.key, setting.help
        )
    });
    let mut lines: Vec<String> = blobs.chain(settings).collect();
    if lines.is_empty() {
        lines.push(format!("{:<10} nothing\n", "needs"));
    }
    lines
}
