//! `nbdbox serve --config`: many tenants, for as long as the configuration is there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use device::metrics::Observed;
use nbd_server::{Inherited, Server};
use nbdbox_config::config::{Config, LogFormat};
use runtime::{Engine, cache::Cache};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::listeners::Listeners;
use super::{AdminListener, FileWatcher, PidFile, Signals, restart};
use crate::admin::Admin;
use crate::hosting::{Blueprint, Hosting};

/// Serves a configuration until a signal ends it. `start_log`: how the log is written it has to say.
pub(crate) async fn serve_configuration(
    path: &Path,
    pidfile: Option<&Path>,
    start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let mut hangup = signal(SignalKind::hangup()).context("can't catch SIGHUP")?;
    let blueprint = read(path).await?;
    let config = blueprint.config.clone();
    start_log(config.log_format)?;
    let hosting = Arc::new(Hosting::new(
        Engine::new(Cache::default_folder()?)?,
        blueprint,
    ));
    let (stop, stopped) = watch::channel(false);
    let server = Server::new(
        Arc::clone(&hosting),
        config.connections,
        config.drain,
        stopped.clone(),
    );
    let observed: Arc<dyn Observed> = Arc::<Hosting>::clone(&hosting);
    let admin = Admin::new(observed, Arc::clone(server.metrics()), stopped);
    let mut host = Host {
        path: path.to_owned(),
        first: config.clone(),
        hosting,
        listening: Listeners::new(server, Inherited::from_environment()),
        looking: AdminListener::new(admin),
    };
    // All are new: none waits.
    let _ = host.adopt(&config).await?;
    let mut watching = FileWatcher::start(path)?;
    // Last: who waits for it finds all else done.
    let _pidfile = pidfile.map(PidFile::write).transpose()?;
    tell(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            () = signals.wait() => break,
            _ = hangup.recv() => host.reload("SIGHUP").await,
            () = watching.changed() => host.reload("a file changed").await,
        }
    }
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    // Nobody listens any more only if serving has ended already.
    let _ = stop.send(true);
    tokio::select! {
        () = host.listening.ended() => {}
        // Asked again: at once.
        () = signals.wait() => {}
    }
    host.looking.close().await;
    Ok(ExitCode::SUCCESS)
}

struct Host {
    path: PathBuf,
    /// The configuration with which it began.
    first: Config,
    hosting: Arc<Hosting>,
    listening: Listeners,
    looking: AdminListener,
}

impl Host {
    /// Reads the configuration again. One that is wrong changes nothing.
    async fn reload(&mut self, why: &str) {
        // `Type=notify-reload` wants both at once.
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now());
        tell(&reloading);
        match self.try_reload().await {
            Ok(words) => tracing::info!("reloaded ({why}): {words}"),
            Err(error) => tracing::error!(
                "the configuration can't be used, and nothing is changed ({why}):\n{error:#}"
            ),
        }
        tell(&[NotifyState::Ready]);
    }

    /// Opens what the configuration says, and closes what it doesn't. If something can't be opened
    /// nothing has changed. Returns what waits for another start.
    async fn adopt(&mut self, config: &Config) -> anyhow::Result<Vec<String>> {
        let admin = self.looking.prepare(config.admin.as_ref())?;
        let waiting = self.listening.adopt(&config.listeners)?;
        self.looking.adopt(admin).await;
        Ok(waiting)
    }

    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let blueprint = read(&self.path).await?;
        let mut waiting = restart::waiting(&self.first, &blueprint.config);
        waiting.extend(self.adopt(&blueprint.config).await?);
        let changes = self.hosting.replace(blueprint);
        let crate::hosting::Changes {
            added,
            changed,
            removed,
            kept,
        } = changes;
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            tracing::warn!("changed, but as before until the server is started again: {keys}");
        }
        Ok(format!(
            "{added} exports added, {changed} changed, {removed} removed, {kept} kept"
        ))
    }
}

/// Files may be on a disk that hangs: not on a worker.
async fn read(path: &Path) -> anyhow::Result<Blueprint> {
    let path = path.to_owned();
    spawn_blocking(move || Blueprint::read(&path)).await?
}

/// Tells systemd, if it's there.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!("can't notify systemd: {error}");
    }
}
