//! `nbdbox dev`: serves a plugin while its author works on it.

mod journal;
mod stage;
mod timed;

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use blob::Opener;
use clap::Args;
use device::ProcessQuota;
use nbd_server::{Inherited, Listener, Welcome};
use nbdbox_config::size::Bytes;
use outside::{Keeper, Rights};
use runtime::PluginCatalog;
use runtime::cache::Cache;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::journal::Journal;
use self::stage::Stage;
use super::listen_args::{self, ListenArgs};
use super::plugin_args::PluginArgs;
use super::purpose::Purpose;
use super::sandbox_args::{self, SandboxArgs, Side};
use super::{log, print};
use crate::hosting::Standalone;
use crate::keeper::{self, Charge, SameRights, Serving, Supplies};
use crate::service::{
    self, Changes, FileWatcher, Options, Reload, Service, Signals, Sockets, Supervisor, Until,
};
use crate::{machine, walls};

/// The time between two summaries of calls: long enough for a person to read one, whatever a client does.
const TELL: Duration = Duration::from_secs(1);

/// The reason for a reload.
const FILE_CHANGED: &str = "the file changed";

const EXAMPLES: &str = "\
Examples:
  nbdbox dev mydisk.wasm size=1G                    and in another terminal: make; nbdinfo nbd://localhost
  nbdbox dev -U mydisk.sock --calls mydisk.wasm     every call, with its offset and length
";

/// Serves a plugin while you work on it.
///
/// Reloads it whenever its file changes. New connections get the new build; connected clients keep the one that they
/// have. If a build fails to load, nbdbox keeps serving the old one and prints the reason. Prints the plugin's log, how
/// long its calls take, and how much of its limits they use.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Dev {
    #[command(flatten)]
    listen: ListenArgs,

    /// Print every call instead of a summary each second
    #[arg(long)]
    calls: bool,

    #[command(flatten)]
    sandbox: SandboxArgs,

    #[command(flatten)]
    plugin: PluginArgs,
}

impl Dev {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        log::start(log::AUTHOR, log::Format::Text)?;
        match self.sandbox.side()? {
            Side::Keeper { all_walls } => service::block_on_one(self.keep(all_walls)),
            Side::Worker => {
                walls::warn_of_gaps();
                service::block_on(None, self.dev())
            }
        }
    }

    /// Runs as the keeper of the process that runs the plugin.
    async fn keep(&self, all_walls: bool) -> anyhow::Result<ExitCode> {
        let signals = Signals::catch()?;
        let file = self.plugin.file()?;
        let changes = Changes::of_files(|| FileWatcher::start(&file), FILE_CHANGED)?;
        let mut rights = Rights::default();
        self.plugin.rights(false, &mut rights)?;
        let listen = self.listen.clone();
        let charge = Charge {
            arguments: sandbox_args::arguments(),
            all_walls,
            pidfile: None,
            supervisor: Supervisor::None,
            restart: true,
            parts: Serving::all(rights.clone()),
            supplies: Supplies {
                cache: Cache::default_folder(),
                inherited: Inherited::from_environment()?,
                sockets: Box::new(move |inherited| listen.sockets(inherited, || listen.address())),
                input: None,
            },
        };
        let occasion = SameRights(changes, rights);
        keeper::keep(signals, charge, occasion, |_| Ok(Purpose::Signals)).await
    }

    async fn dev(&self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::catch()?;
        // The watcher starts before the load, so that it sees a change during the load.
        let changes = Changes::of_files(|| FileWatcher::start(&self.plugin.file()?), FILE_CHANGED)?;
        let opener = PluginArgs::opener(&self.listen.export);
        let process = machine::budget(None);
        let catalog = signals.unless_asked(self.load(&opener, &process)).await?;
        let (listeners, _private) = match Keeper::get() {
            Some(keeper) => (Listener::of_command_line(keeper)?, None),
            None => {
                let inherited = Inherited::from_environment()?;
                let address = || self.listen.address();
                let (sockets, private) = self.listen.sockets(&inherited, address)?;
                (listen_args::listeners(sockets)?, private)
            }
        };
        let uri = listeners[0].address()?.uri(&self.listen.export, None);
        print(&format!("{}, on {uri}\n", introduction(&catalog)))?;
        let journal = Arc::new(Journal::new(self.calls));
        let shown = Standalone::new(catalog);
        let stage = Arc::new(Stage::new(shown, Arc::clone(&journal)));
        let mut service = Service::new(
            signals,
            Arc::clone(&stage),
            Options {
                supervisor: Supervisor::None.or_keeper(),
                ..Options::default()
            },
        );
        // No TLS: `dev` serves the machine on which the author works.
        for listener in listeners {
            service.sockets().listen(listener, Welcome::Plain);
        }
        let author = Author {
            dev: self,
            stage,
            changes,
            opener,
            waits: false,
            process,
        };
        let status = service.run(author, Teller(Arc::clone(&journal))).await?;
        print(&journal.take())?;
        Ok(status)
    }

    async fn load(
        &self,
        opener: &Opener,
        process: &Arc<ProcessQuota>,
    ) -> anyhow::Result<PluginCatalog> {
        let name = &self.listen.export;
        self.plugin.open(name, false, opener, process).await
    }

    /// Loads the file as it is now. If that fails, new connections still get the old build.
    async fn reload(
        &self,
        shown: &Standalone,
        opener: &Opener,
        process: &Arc<ProcessQuota>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        let current = shown.current();
        match self.load(&opener.next_generation(), process).await {
            Ok(catalog) if catalog.plugin().digest() == current.opened().plugin().digest() => {
                Ok(())
            }
            Ok(catalog) => {
                let introduction = introduction(&catalog);
                shown.replace(catalog);
                let took = start.elapsed().as_millis();
                print(&format!("loaded anew in {took} ms: {introduction}\n"))
            }
            Err(error) => print(&format!("not loaded, the old build stays: {error:#}\n")),
        }
    }
}

/// Reloads the plugin when its author has rebuilt it.
struct Author<'a> {
    dev: &'a Dev,
    stage: Arc<Stage>,
    changes: Changes,
    opener: Opener,
    /// The file has changed, but clients are connected to an export that mustn't be open twice.
    waits: bool,
    /// The budget that the old and the new build share.
    process: Arc<ProcessQuota>,
}

impl Reload<Stage> for Author<'_> {
    async fn reason(&mut self) -> Cow<'static, str> {
        tokio::select! {
            reason = self.changes.reason() => reason,
            () = self.stage.shown().left(), if self.waits => "a client has left".into(),
        }
    }

    async fn reload(&mut self, _: &str, _: &mut Sockets<Stage>) -> anyhow::Result<()> {
        let shown = self.stage.shown();
        let waited = std::mem::replace(&mut self.waits, shown.has_writer_of_files().await);
        if !self.waits {
            return self.dev.reload(shown, &self.opener, &self.process).await;
        }
        if !waited {
            print(
                "the file changed: nbdbox loads it when all clients have left, so that two builds don't write to one \
                 blob\n",
            )?;
        }
        Ok(())
    }
}

/// Prints the journal each [`TELL`].
struct Teller(Arc<Journal>);

impl Until for Teller {
    async fn done(&mut self) -> anyhow::Result<ExitCode> {
        let mut interval = interval(TELL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            print(&self.0.take())?;
        }
    }
}

fn introduction(catalog: &PluginCatalog) -> String {
    let plugin = catalog.plugin();
    let name = match plugin.manifest() {
        Some(manifest) => format!("{} {}", manifest.name, manifest.version),
        None => plugin.name().to_owned(),
    };
    format!("{name}, {}", Bytes(plugin.size()))
}
