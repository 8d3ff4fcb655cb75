//! A service of many tenants, for as long as their configuration is there.

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

/// What the command line says besides the configuration.
pub(crate) struct Wanted {
    /// The file that has the process id while it runs.
    pub(crate) pidfile: Option<PathBuf>,
    /// Where clients come in.
    pub(crate) entrance: Entrance,
}

/// Serves a configuration until a signal ends it, or what it runs `until`, which is asked for once clients can come in.
/// `start_log` is called once the configuration says how the log is written.
///
/// # Errors
/// The configuration is wrong; something that it names can't be opened; serving ended badly.
pub(crate) async fn serve_configuration<U: Until>(
    path: &Path,
    wanted: Wanted,
    start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    until: impl FnOnce(Opened) -> anyhow::Result<U>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch_without_hangup()?;
    // Before it's read: what changes meanwhile is noticed.
    let changes = Changes::of_files(|| FileWatcher::start(path), "a file changed")?.or_hangup()?;
    let Wanted { pidfile, entrance } = wanted;
    let mut blueprint = signals.unless_asked(read(path)).await?;
    // A configuration has one; the process of the admin listener has none.
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
        pidfile,
        supervisor: Supervisor::Systemd.or_keeper(),
        ..Options::default()
    };
    let mut service = Service::new(signals, Arc::clone(&hosting), options);
    let inherited = Inherited::from_environment()?;
    // All are new: none waits.
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

/// The configuration that is served, and who says that it changed.
struct Configured {
    path: PathBuf,
    entrance: Entrance,
    /// The configuration with which it began.
    first: Config,
    hosting: Arc<Hosting>,
    inherited: Inherited,
    changes: Changes,
}

impl Reload<Hosting> for Configured {
    async fn reason(&mut self) -> Cow<'static, str> {
        self.changes.reason().await
    }

    /// Reads the configuration again. One that is wrong changes nothing.
    async fn reload(&mut self, reason: &str, sockets: &mut Sockets<Hosting>) -> anyhow::Result<()> {
        match self.try_reload(sockets).await {
            Ok(words) => tracing::info!("reloaded ({reason}): {words}"),
            Err(error) => {
                walls::tell(Stage::Unchanged);
                tracing::error!(
                    "the configuration can't be used, and nothing is changed ({reason}):\n{error:#}"
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

/// What a configuration can bring about with so many connections.
fn demand(blueprint: &Blueprint, connections: usize) -> Demand {
    Demand {
        listeners: blueprint.config.listeners.len(),
        connections,
        files: blueprint.granted_files(),
    }
}

/// Says it in the log if some tenants' connections can leave none for another.
fn check_connections(hosting: &Hosting, connections: usize) {
    let tenants = hosting.tenants().len();
    if tenants > 1 && hosting.kept_connections() == 0 {
        tracing::warn!(
            "connections = {connections} keeps none for each of {tenants} tenants: some may find that others have \
             all. Set it to {} or more, and start the server again",
            2 * tenants
        );
    }
}

/// Files may be on a disk that hangs: not on a worker.
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
