//! `nbdbox test`: checks whether a plugin keeps the contract.

mod report;
mod spinner;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use device::peaks::Peaks;
use device::{Absent, Terms};
use outside::{Right, Rights};
use runtime::cache::Cache;
use runtime::{ExportSpec, Plugin, PluginCatalog, PluginExport};

use super::plugin_args::PluginArgs;
use super::sandbox_args::{self, SandboxArgs, Side};
use super::{FAILED, log};
use crate::conformance::{self, Claims, Outcome, Plan, Rule, Subject, Verdict};
use crate::machine;
use crate::service::{self, Signals};
use report::Report;
use spinner::Spinner;

const EXAMPLES: &str = "\
Examples:
  nbdbox test pattern.wasm size=1G
  nbdbox test --write memory.wasm size=16M
  nbdbox test --write --blob disk=scratch.img:rw --junit result.xml file.wasm
  nbdbox test --only read-cuts --seed 7 pattern.wasm
";

/// Checks whether a plugin keeps the contract: for its author, and for CI.
///
/// Runs it without a client and without listening. One line for each rule reports whether the plugin
/// kept it and what the test saw. The status is 0 if the plugin broke no rule.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Test {
    /// Try writes too: destroys what is on the disk and on blobs granted `rw`
    #[arg(long)]
    write: bool,

    /// Repeat a run: the seed of its offsets, lengths and bytes [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Check this rule only. Can be repeated
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    only: Vec<Rule>,

    /// Leave this rule out. Can be repeated
    #[arg(long, value_name = "RULE", value_parser = parse_rule, conflicts_with = "only")]
    skip: Vec<Rule>,

    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,

    /// Write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// The export's name
    #[arg(short, long, visible_alias = "exportname", default_value = "")]
    export: String,

    #[command(flatten)]
    sandbox: SandboxArgs,

    #[command(flatten)]
    plugin: PluginArgs,
}

fn parse_rule(name: &str) -> Result<Rule, String> {
    Rule::named(name).ok_or_else(|| {
        let names: Vec<&str> = Rule::ALL.into_iter().map(Rule::name).collect();
        format!("no such rule; the rules are {}", names.join(", "))
    })
}

impl Test {
    pub(super) fn run(self: Box<Self>) -> anyhow::Result<ExitCode> {
        log::start(log::PLAIN, log::Format::Text)?;
        if let Side::Keeper { all_walls } = self.sandbox.side()? {
            let mut rights = Rights::default();
            self.plugin.rights(!self.write, &mut rights)?;
            if let Some(file) = &self.junit {
                rights.allow(file, Right::Append);
            }
            return sandbox_args::keep(all_walls, rights, Cache::default_folder());
        }
        service::block_on(Some(2), async {
            let mut signals = Signals::catch()?;
            signals.unless_asked(self.test()).await
        })
    }

    async fn test(&self) -> anyhow::Result<ExitCode> {
        let (opener, process) = (PluginArgs::opener(&self.export), machine::budget(None));
        let loading = self
            .plugin
            .load(&self.export, !self.write, &opener, &process);
        let (plugin, spec) = loading.await?;
        let under_test = UnderTest { plugin, spec };
        // Wrong settings and grants end the command here. No rule is about them.
        drop(under_test.open().await?);
        let plan = Plan {
            seed: self.seed.unwrap_or_else(any_seed),
            write: self.write,
        };
        let report = Report::new(under_test.plugin.name(), plan.seed);
        if !self.json {
            super::print(&report.heading())?;
        }
        let spinner = Spinner::new();
        let mut printed = Ok(());
        let tell = |verdict: &Verdict| {
            if !self.json && printed.is_ok() {
                printed = spinner.aside(|| super::print(&report::line(verdict)));
            }
        };
        let begins = |rule: Rule| spinner.shows(rule.meaning());
        let verdicts = conformance::run(&under_test, plan, &self.rules(), begins, tell).await;
        drop(spinner);
        printed?;
        super::print(&if self.json {
            report.json(&verdicts)?
        } else {
            report::summary(&verdicts)
        })?;
        if let Some(file) = &self.junit {
            report.junit(&verdicts, file)?;
        }
        let broken = verdicts
            .iter()
            .any(|verdict| verdict.outcome == Outcome::Fail);
        Ok(ExitCode::from(if broken { FAILED } else { 0 }))
    }

    fn rules(&self) -> Vec<Rule> {
        let wanted = |rule: &Rule| {
            let only = self.only.is_empty() || self.only.contains(rule);
            only && !self.skip.contains(rule)
        };
        Rule::ALL.into_iter().filter(wanted).collect()
    }
}

/// A random seed that is short to type.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_nanos()) % 1_000_000)
}

/// The plugin under test, with its settings and grants.
struct UnderTest {
    plugin: Arc<Plugin>,
    spec: ExportSpec,
}

impl Subject for UnderTest {
    type Device = PluginExport;

    async fn open(&self) -> anyhow::Result<Arc<PluginExport>> {
        let mut spec = self.spec.clone();
        // The plugin has to answer each time, not the host's memory of its mapping.
        spec.limits.mapping = 0;
        self.open_as(spec).await
    }

    async fn open_mapped(&self) -> anyhow::Result<Arc<PluginExport>> {
        self.open_as(self.spec.clone()).await
    }

    fn terms(&self, device: &PluginExport) -> Arc<Terms> {
        Arc::clone(device.terms())
    }

    fn claims(&self, device: &PluginExport) -> Claims {
        Claims {
            parallel: device.is_parallel(),
            immutable: device.is_immutable(),
            mapped: device.is_mapped(),
        }
    }

    fn peaks<'a>(&self, device: &'a PluginExport) -> &'a Peaks {
        device.peaks()
    }
}

impl UnderTest {
    async fn open_as(&self, spec: ExportSpec) -> anyhow::Result<Arc<PluginExport>> {
        let catalog = PluginCatalog::new(Arc::clone(&self.plugin), spec).await?;
        let joined = catalog.join(&self.spec.name).await;
        joined.map_err(|absent| match absent {
            Absent::Unknown => anyhow::anyhow!("there is no export `{}`", self.spec.name),
            Absent::Failed | Absent::Full => anyhow::anyhow!("the export can't be opened"),
        })
    }
}
