//! `nbdbox check`: would this configuration work?

use std::path::PathBuf;
use std::process::ExitCode;

use blob::Grant;
use clap::Args;
use nbd_server::Welcome;
use nbdbox_config::config::{Config, Export};
use runtime::{Engine, Plugin};

use super::log;
use super::sandbox_args::{self, SandboxArgs, Side};
use crate::hosting::{self, Blueprint, Hosting};
use crate::keeper;
use crate::service::{self, Signals};

/// Checks a configuration: a dry run that doesn't listen and doesn't open an export.
///
/// Loads every plugin, and prints what each needs next to what it's granted. Reads the certificates and keys too.
/// Exits with 1 if anything is wrong.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration: a file, or a folder with `*.toml` files
    config: PathBuf,

    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// One row of the table, with its six cells.
type Row = [String; 6];

impl Check {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        log::start(log::PLAIN, log::Format::Text)?;
        if let Side::Keeper { all_walls } = self.sandbox.side()? {
            let config = hosting::read_configuration(&self.config)?;
            let rights = keeper::of_configuration(&self.config, &config)?;
            return sandbox_args::keep(all_walls, rights, service::open_cache(&config.cache));
        }
        service::block_on(None, async {
            Signals::catch()?.unless_asked(self.check()).await
        })
    }

    async fn check(&self) -> anyhow::Result<ExitCode> {
        let blueprint = Blueprint::read(&self.config)?;
        let mut wrong = unwelcome(&blueprint.config);
        let hosting = Hosting::new(
            Engine::new(service::open_cache(&blueprint.config.cache))?,
            blueprint,
        );
        let mut rows =
            vec![["TENANT", "EXPORT", "PLUGIN", "NEEDS", "GRANTED", ""].map(str::to_owned)];
        for tenant in hosting.tenants().iter() {
            for slot in tenant.exports() {
                let planned = slot.planned();
                let export = &planned.export;
                let place = &export.place;
                let loaded = async {
                    let plugin = slot.load(&planned).await?;
                    Ok((plugin, slot.load_filters(&planned).await?))
                };
                let loaded: anyhow::Result<_> = loaded.await;
                match loaded {
                    Ok((plugin, filters)) => {
                        for (filter, given) in filters.iter().zip(&export.filters) {
                            if let Some(filter) = filter {
                                rows.extend(needs(tenant.name(), export, filter, &given.blobs));
                            }
                        }
                        rows.extend(needs(tenant.name(), export, &plugin, &export.blobs));
                        if let Err(error) = slot.check(&plugin, filters).await {
                            let lines = format!("{error:#}");
                            wrong.extend(lines.lines().map(|line| format!("{place}: {line}")));
                        }
                    }
                    Err(error) => wrong.push(format!("{place}: {error:#}")),
                }
            }
        }
        super::print(&table(&rows))?;
        if wrong.is_empty() {
            super::print("all fits\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        anyhow::bail!(
            "the configuration can't be served as it is:\n{}",
            wrong.join("\n")
        )
    }
}

/// The errors in the listeners' TLS files, one line each. Reads the files.
fn unwelcome(config: &Config) -> Vec<String> {
    let loaded = config.listeners.iter().map(Welcome::load);
    let errors = loaded.filter_map(Result::err);
    errors.map(|error| format!("{error:#}")).collect()
}

/// The rows of an export's plugin, or of one of its filters: each blob that it needs, and what the operator granted.
fn needs(tenant: &str, export: &Export, plugin: &Plugin, blobs: &[Grant]) -> Vec<Row> {
    let row = |needs: String, granted: String, verdict: &str| {
        let name = match &export.name[..] {
            "" => "\"\"",
            name => name,
        };
        let words = [tenant, name, plugin.name()].map(str::to_owned);
        let [tenant, name, plugin] = words;
        [tenant, name, plugin, needs, granted, verdict.to_owned()]
    };
    let mut rows = Vec::new();
    let needed = plugin.manifest().map(|manifest| &manifest.blobs[..]);
    for need in needed.unwrap_or_default() {
        let needs = format!("{}:{}", need.name, need.access);
        let granted = blobs.iter().find(|blob| blob.name == need.name);
        rows.push(match granted {
            None => row(needs, "nothing".to_owned(), "MISSING"),
            Some(blob) => {
                let granted = format!("{}:{}", blob.path.display(), blob.access);
                let enough = blob.access >= need.access;
                row(needs, granted, if enough { "ok" } else { "NOT ENOUGH" })
            }
        });
    }
    for blob in blobs {
        if needed.is_some_and(|needed| needed.iter().all(|need| need.name != blob.name)) {
            let granted = format!("{}={}:{}", blob.name, blob.path.display(), blob.access);
            rows.push(row("-".to_owned(), granted, "optional"));
        }
    }
    if rows.is_empty() {
        rows.push(row("-".to_owned(), "-".to_owned(), "ok"));
    }
    rows
}

/// Formats the rows; each column is as wide as its widest cell.
fn table(rows: &[Row]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &Row| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
