//! A service of the tenants of a configuration, without walls or behind them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use lanes::Work;
use nbd_server::{Inherited, Listener, Welcome};
use nbdbox_config::config::{Config, LogFormat};
use outside::{Keeper, Stage};
use runtime::Engine;

use super::{
    Changes, Demand, Entrance, FileWatcher, Opened, Options, Reload, Service, Signals, Sockets,
    Supervisor, Until, open_cache, restart,
};
use crate::hosting::{self, Blueprint, Hosting};
use crate::walls;

/// The settings of the command line that add to a configuration.
pub(crate) struct Wanted {
    /// The file that has the process id while the service runs.
    pub(crate) pidfile: Option<PathBuf>,
    /// The sockets to which clients connect.
    pub(crate) entrance: Entrance,
}

/// Serves a configuration until a signal comes or `until` is done. Calls `start_log` once it knows the configured
/// format, and `until` once the server admits clients.
///
/// # Errors
/// The configuration has errors; something that it names can't be opened; [`Service::run`] failed.
pub(crate) async fn serve_configuration<U: Until>(
    path: &Path,
    wanted: Wanted,
    start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    until: impl FnOnce(Opened) -> anyhow::Result<U>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch_without_hangup()?;
    // Before the first read, so that no change after it is missed.
    let changes = Changes::of_files(|| FileWatcher::start(path), "a file changed")?.or_hangup()?;
    let Wanted { pidfile, entrance } = wanted;
    let mut blueprint = signals.unless_asked(read(path)).await?;
    // Every part of a configuration has a listener, except the part of the admin server.
    let first = blueprint.config.listeners.first().cloned();
    entrance.narrow(&mut blueprint.config);
    let config = blueprint.config.clone();
    let demand = demand(&blueprint, config.own_connections());
    start_log(config.log_format)?;
    walls::warn_of_gaps();
    let engine = Engine::new(open_cache(&config.cache))?;
    let hosting = Arc::new(Hosting::new(engine, blueprint));
    let options = Options {
        drain: config.drain,
        poll: config.poll,
        pidfile,
        supervisor: Supervisor::Systemd.or_keeper(),
        ..Options::default()
    };
    let mut service = Service::new(signals, Arc::clone(&hosting), options);
    let inherited = Inherited::from_environment()?;
    // At the start no change waits for a restart.
    let _ = service.sockets().adopt(&config, &inherited).await?;
    let only = match entrance {
        Entrance::Standard => {
            let first = first.as_ref().context("there is no listener")?;
            let welcome = Welcome::load(first)?;
            let (listener, only) = Listener::standard(&first.name)?;
            service.sockets().listen(listener, welcome);
            Some(only)
        }
        Entrance::Kept => {
            let keeper = Keeper::get().context("there is no keeper")?;
            let first = first.as_ref().context("there is no listener")?;
            for listener in Listener::of_command_line(keeper)? {
                let listener = listener.called(&first.name);
                service.sockets().listen(listener, Welcome::load(first)?);
            }
            None
        }
        Entrance::Listeners | Entrance::Socket(_) => None,
    };
    let until = until(Opened {
        address: service.sockets().address(),
        tls: first.map(|first| first.tls).unwrap_or_default(),
        only,
    })?;
    demand.check();
    check_connections(&hosting, config.connections);
    let configured = Configured {
        path: path.to_owned(),
        entrance,
        first: config,
        hosting,
        inherited,
        changes,
    };
    service.run(configured, until).await
}

/// The configuration that the service serves, and the source of reasons to reload it.
struct Configured {
    path: PathBuf,
    entrance: Entrance,
    /// The configuration of the start.
    first: Config,
    hosting: Arc<Hosting>,
    inherited: Inherited,
    changes: Changes,
}

impl Reload<Hosting> for Configured {
    async fn reason(&mut self) -> Cow<'static, str> {
        self.changes.reason().await
    }

    /// Reads the configuration again. One with errors changes nothing.
    async fn reload(&mut self, reason: &str, sockets: &mut Sockets<Hosting>) -> anyhow::Result<()> {
        match self.try_reload(sockets).await {
            Ok(words) => tracing::info!("reloaded ({reason}): {words}"),
            Err(error) => {
                walls::tell(Stage::Unchanged);
                tracing::error!(
                    "can't reload the configuration ({reason}); the previous one stays in force:\n{error:#}"
                );
            }
        }
        Ok(())
    }
}

impl Configured {
    async fn try_reload(&self, sockets: &mut Sockets<Hosting>) -> anyhow::Result<String> {
        let mut blueprint = read(&self.path).await?;
        self.entrance.narrow(&mut blueprint.config);
        let mut waiting = restart::waiting(&self.first, &blueprint.config);
        waiting.extend(sockets.adopt(&blueprint.config, &self.inherited).await?);
        let demand = demand(&blueprint, self.first.own_connections());
        let hosting::Changes {
            added,
            changed,
            removed,
            kept,
        } = self.hosting.replace(blueprint);
        demand.check();
        check_connections(&self.hosting, self.first.connections);
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            tracing::warn!(
                "these keys changed, but take effect only when the server restarts: {keys}"
            );
        }
        Ok(format!(
            "{added} exports added, {changed} changed, {removed} removed, {kept} kept"
        ))
    }
}

/// The descriptors that a configuration can need with this many connections.
fn demand(blueprint: &Blueprint, connections: usize) -> Demand {
    Demand {
        listeners: blueprint.config.listeners.len(),
        connections,
        files: blueprint.granted_files(),
    }
}

/// Logs a warning if the connections of some tenants can leave none for another tenant.
fn check_connections(hosting: &Hosting, connections: usize) {
    let tenants = hosting.tenants().len();
    if tenants > 1 && hosting.kept_connections() == 0 {
        tracing::warn!(
            "connections = {connections} reserves none for each of {tenants} tenants, so some can use up all of them; \
             set it to {} or more, and restart the server",
            2 * tenants
        );
    }
}

/// Reads a configuration on the host's lane, since its files may be on a disk that hangs.
async fn read(path: &Path) -> anyhow::Result<Blueprint> {
    let path = path.to_owned();
    let reading = Work::of_the_host().run(move || {
        let blueprint = Blueprint::read(&path)?;
        ensure!(
            Keeper::get().is_some() || !blueprint.config.has_apart(),
            "a listener has `process = \"own\"`, but the sandbox is off and there is one process; remove the key, or \
             turn the sandbox on"
        );
        Ok(blueprint)
    });
    reading.await?
}
