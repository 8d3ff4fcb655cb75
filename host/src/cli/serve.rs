//! `nbdbox serve`: serves a plugin, several exports, or the tenants of a configuration.

mod keep;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use device::Catalog;
use device::metrics::Observed;
use native_filters::Exit;
use nbd_server::{Address, Inherited, Listener, OnlyClient, OpenSocket, Tls, Welcome};
use nbdbox_config::config::{self, Config, LogFormat};
use nbdbox_config::poll::Poll;
use nbdbox_config::size;
use outside::Keeper;
use runtime::{Engine, cache::Cache};
use tempfile::TempDir;

use super::listen_args::{self, ListenArgs};
use super::offer_args::OfferArgs;
use super::plugin_args::PluginArgs;
use super::purpose::Purpose;
use super::run::{Captive, Variables};
use super::sandbox_args::{SandboxArgs, Side};
use super::several::SeveralArgs;
use super::tls_args::TlsArgs;
use super::{admin_args, log, parent};
use crate::hosting::{Blueprint, Hosting, Standalone};
use crate::service::{
    self, Changes, Demand, Entrance, FileWatcher, NoReload, Opened, Options, Reload, Service,
    Signals, Sockets, Supervisor, Wanted,
};
use crate::{machine, walls};

/// The reason for a new look at folders of exports.
const FOLDER_CHANGED: &str = "a folder changed";

const EXAMPLES: &str = "\
Examples:
  nbdbox serve pattern size=1G                            on 127.0.0.1, port 10809
  nbdbox serve -U - pattern --run 'nbdinfo \"$uri\"'   for one command only
  nbdbox serve -U /run/disk.sock -P /run/disk.pid --blob disk=/srv/disk.img:rw file
  nbdbox serve --tls require --tls-certificates /etc/pki/nbdbox -i 0.0.0.0 ./pattern.wasm size=1G
  nbdbox serve --config /etc/nbdbox                       many tenants, configured by these files
  nbdbox serve --limit memory=1G,cpu=1s memory size=900M
";

/// Serves a plugin over NBD.
///
/// Listens on 127.0.0.1, port 10809, by default; with --run, on a private unix socket. Stays in the
/// foreground until a signal, such as SIGTERM, ends it; it finishes the requests in flight first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("plugin", |argument| argument.required(false).required_unless_present_any(["config", "added", "folders"]).index(1)))]
// `mut_arg` moves an argument behind the others; the index restores its place.
#[command(mut_arg("settings", |argument| argument.index(2)))]
pub(super) struct Serve {
    #[command(flatten)]
    listen: ListenArgs,

    /// Serve read-only, even if the plugin can write
    #[arg(short, long, visible_alias = "readonly")]
    read_only: bool,

    /// Write the process id to this file once clients can connect
    #[arg(short = 'P', long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// How long a connection of a busy client polls for the next request before it sleeps; `off` for never
    /// [default: 50us]
    #[arg(long, value_name = "TIME")]
    poll: Option<Poll>,

    /// Worker threads [default: one per core, two at least]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Memory that the server may hold for its plugins and clients, as `512MiB`; beyond it the server denies more
    /// [default: 80 % of what the control group or the machine has]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,

    /// Run a shell command with `$uri` and `$unixsocket` set, then exit with its status
    #[arg(long, value_name = "CMD")]
    run: Option<OsString>,

    /// Serve one client on standard input and output, then exit: for inetd, and for clients that start their server
    #[arg(
        short, long, visible_alias = "stdin",
        conflicts_with_all = ["unix", "ipaddr", "port", "run", "print_uri"]
    )]
    single: bool,

    /// Exit when the parent process exits
    #[arg(long)]
    exit_with_parent: bool,

    /// Print the URI that clients can use
    #[arg(long)]
    print_uri: bool,

    #[command(flatten)]
    sandbox: SandboxArgs,

    /// Open the admin listener here: the path of a unix socket, or a loopback address and port. With --config, use
    /// `[admin]`
    #[arg(long, value_name = "ADDRESS", value_parser = admin_args::parser())]
    admin: Option<config::Address>,

    /// Log more: connections, refused requests, the plugin's debug lines. `NBDBOX_LOG` selects in detail (tracing's
    /// filter syntax)
    #[arg(short, long)]
    verbose: bool,

    /// The log's format [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<log::Format>,

    /// Serve many tenants, configured by this file or by the `*.toml` files of this folder; reloads them when they
    /// change and on SIGHUP
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = [
            "plugin", "settings", "added", "folders", "plugin_path", "blobs", "blob_options", "filters", "limits", "extents_on_error", "on_failure",
            "ipaddr", "port", "read_only", "admin", "memory", "poll", "no_sr", "no_eh", "mask_handshake", "tls", "tls_certificates", "tls_verify_peer",
        ]
    )]
    config: Option<PathBuf>,

    #[command(flatten)]
    several: SeveralArgs,

    #[command(flatten)]
    offer: OfferArgs,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    plugin: PluginArgs,
}

impl Serve {
    pub(super) fn run(mut self: Box<Self>) -> anyhow::Result<ExitCode> {
        if self.exit_with_parent && Keeper::get().is_none() {
            parent::end_with_it()?;
        }
        if let Some(path) = &self.config {
            let start_log = |format: LogFormat| self.start_log(log::HOSTING, format);
            if self.sandbox.may_keep() {
                let kept = service::block_on_one(self.keep_configuration(path, start_log))?;
                if let Some(status) = kept {
                    return Ok(status);
                }
                // The configuration turns the sandbox off, and is read again. If it's a pipe, the command line has to
                // turn it off.
            }
            return service::block_on(self.threads, self.serve_configuration(path, start_log));
        }
        self.start_log(log::PLAIN, LogFormat::default())?;
        match self.sandbox.side()? {
            Side::Keeper { all_walls } => service::block_on_one(self.keep(all_walls)),
            Side::Worker => {
                walls::warn_of_gaps();
                let exit = self.plugin.let_filters_end_it();
                service::block_on(self.threads, self.serve(exit))
            }
        }
    }

    /// Starts the log. The options of the command line override `plain` and `format`.
    fn start_log(&self, plain: &str, format: LogFormat) -> anyhow::Result<()> {
        let filter = if self.verbose { log::VERBOSE } else { plain };
        log::start(filter, self.log_format.unwrap_or(format.into()))
    }

    async fn serve(&self, exit: Arc<Exit>) -> anyhow::Result<ExitCode> {
        if !self.several.is_empty() {
            return self.serve_several(exit).await;
        }
        let mut signals = Signals::catch()?;
        let tls = Tls::load(&self.tls.tls()?)?;
        let name = &self.listen.export;
        let (opener, process) = (PluginArgs::opener(name), machine::budget(self.memory));
        let opening = self.plugin.open(name, self.read_only, &opener, &process);
        let catalog = signals.unless_asked(opening).await?;
        let catalog = Arc::new(Standalone::new(catalog));
        let files = self.plugin.granted_files();
        let ends = (exit, tls);
        self.run_service(signals, catalog, NoReload, (name, files), ends)
            .await
    }

    async fn serve_several(&self, exit: Arc<Exit>) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::catch()?;
        let tls = Tls::load(&self.tls.tls()?)?;
        // The watcher starts before the first look at the folders, so that it sees a change meanwhile.
        let changes = Changes::of_files(
            || FileWatcher::start_names(self.several.folders()),
            FOLDER_CHANGED,
        )?;
        let blueprint = self.blueprint()?;
        let first = blueprint.names().next().unwrap_or_default().to_owned();
        let files = blueprint.granted_files();
        let engine = Engine::new(Cache::default_folder())?;
        let hosting = Arc::new(Hosting::for_all(engine, blueprint));
        signals.unless_asked(hosting.check()).await?;
        let name = match self.plugin.is_named() || !self.listen.export.is_empty() {
            true => &self.listen.export,
            false => &first,
        };
        let folders = Folders {
            serve: self,
            hosting: Arc::clone(&hosting),
            changes,
        };
        let ends = (exit, tls);
        self.run_service(signals, hosting, folders, (name, files), ends)
            .await
    }

    /// The blueprint of several exports, as a configuration would have them. Blocks.
    fn blueprint(&self) -> anyhow::Result<Blueprint> {
        let config = Config {
            memory: self.memory,
            ..self.several_config()?
        };
        Blueprint::of(config, self.plugin.folders.plugins())
    }

    /// Serves a catalog. The URI for clients has the export `name`.
    async fn run_service<C: Catalog + Observed>(
        &self,
        signals: Signals,
        catalog: Arc<C>,
        reload: impl Reload<C>,
        (name, files): (&str, usize),
        (exit, tls): (Arc<Exit>, Option<Arc<Tls>>),
    ) -> anyhow::Result<ExitCode> {
        let Entrances {
            listeners,
            only,
            private: _private,
        } = self.entrances()?;
        // Behind walls the keeper announces the address, because it has the sockets.
        let purpose = match Keeper::get() {
            Some(_) => self.purpose(&Variables::default(), only),
            None => {
                let variables = self.announce(&listeners[0].address()?, name)?;
                self.purpose(&variables, only)
            }
        };
        let purpose = match purpose {
            Purpose::Signals => Purpose::Filters(exit),
            purpose => purpose,
        };
        let mut service = Service::new(signals, catalog, self.options());
        service.sockets().open_admin(self.admin.as_ref()).await?;
        let welcome = Welcome::from(tls);
        let demand = Demand {
            listeners: listeners.len(),
            connections: self.plugin.limits()?.connections,
            files,
        };
        for listener in listeners {
            service.sockets().listen(listener, welcome.clone());
        }
        demand.check();
        service.run(reload, purpose).await
    }

    fn options(&self) -> Options {
        Options {
            // Behind walls the keeper writes it.
            pidfile: self.pidfile.clone().filter(|_| Keeper::get().is_none()),
            supervisor: Supervisor::None.or_keeper(),
            offers: self.offer.offers(),
            poll: self.poll.unwrap_or_default(),
            ..Options::default()
        }
    }

    /// Prints the URI of the export `name` if `--print-uri` wants it, and returns the variables for the command of
    /// `--run`.
    fn announce(&self, address: &Address, name: &str) -> anyhow::Result<Variables> {
        let uri = address.uri(name, self.tls.required());
        tracing::debug!("listening on {address}");
        if self.print_uri {
            super::print(&format!("{uri}\n"))?;
        }
        Ok(Variables::new(address, &uri, name, self.tls.level()))
    }

    /// The listeners, one at least.
    fn entrances(&self) -> anyhow::Result<Entrances> {
        if self.single {
            let (listener, only) = Listener::standard("standard input")?;
            return Ok(Entrances {
                listeners: vec![listener],
                only: Some(only),
                private: None,
            });
        }
        if let Some(keeper) = Keeper::get() {
            return Ok(Entrances {
                listeners: Listener::of_command_line(keeper)?,
                only: None,
                private: None,
            });
        }
        let (sockets, private) = self.sockets(&Inherited::from_environment()?)?;
        Ok(Entrances {
            listeners: listen_args::listeners(sockets)?,
            only: None,
            private,
        })
    }

    /// Opens the sockets of the command line: one at least, except with `--single`. Blocks while it looks up a host
    /// name.
    fn sockets(&self, inherited: &Inherited) -> anyhow::Result<(Vec<OpenSocket>, Option<TempDir>)> {
        if self.single {
            ensure!(
                inherited.take_all()?.is_empty(),
                "--single is for one client on standard input and output, and LISTEN_FDS hands over sockets for many: \
                 leave out one of the two"
            );
            return Ok((Vec::new(), None));
        }
        let address = || match &self.run {
            Some(_) if self.listen.is_silent() => listen_args::private(),
            _ => self.listen.address(),
        };
        self.listen.sockets(inherited, address)
    }

    async fn serve_configuration(
        &self,
        path: &Path,
        start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let (entrance, _private) = self.entrance()?;
        let wanted = Wanted {
            pidfile: self.pidfile.clone().filter(|_| Keeper::get().is_none()),
            entrance,
        };
        let until = |opened: Opened| match Keeper::get() {
            Some(_) => Ok(self.purpose(&Variables::default(), opened.only)),
            None => {
                let address = service::absolute(opened.address)?;
                let variables = self.announce_configured(&address, &opened.tls)?;
                Ok(self.purpose(&variables, opened.only))
            }
        };
        service::serve_configuration(path, wanted, start_log, until).await
    }

    /// Where clients connect if the command line overrides the configuration, and the folder of a private socket.
    fn entrance(&self) -> anyhow::Result<(Entrance, Option<TempDir>)> {
        if self.single {
            return Ok((Entrance::Standard, None));
        }
        Ok(match (self.listen.has_unix_socket(), Keeper::get()) {
            (false, _) => (Entrance::Listeners, None),
            (true, Some(_)) => (Entrance::Kept, None),
            (true, None) => match self.listen.unix_socket()? {
                Some((path, private)) => (Entrance::Socket(path), private),
                None => (Entrance::Listeners, None),
            },
        })
    }

    /// As [`announce`](Self::announce), for the first listener of a configuration.
    fn announce_configured(
        &self,
        address: &Address,
        tls: &config::Tls,
    ) -> anyhow::Result<Variables> {
        let (level, certificates) = match tls {
            config::Tls::Off => (None, None),
            config::Tls::On(_) => (Some(1), None),
            // Each client decides which authorities to trust.
            config::Tls::Require(_) => (Some(2), Some(Path::new(""))),
        };
        let export = &self.listen.export;
        let uri = address.uri(export, certificates);
        if self.print_uri {
            super::print(&format!("{uri}\n"))?;
        }
        Ok(Variables::new(address, &uri, export, level))
    }

    /// When the process ends. The command of --run doesn't decide that behind walls, because the keeper runs it.
    fn purpose(&self, variables: &Variables, only: Option<OnlyClient>) -> Purpose {
        let script = self.run.as_ref().filter(|_| Keeper::get().is_none());
        match (script, only) {
            (Some(script), _) => Purpose::Command(Box::new(Captive::new(script, variables))),
            (None, Some(only)) => Purpose::Client(only),
            (None, None) => Purpose::Signals,
        }
    }
}

/// Folders whose files are exports. Files may come and go while the server runs.
struct Folders<'a> {
    serve: &'a Serve,
    hosting: Arc<Hosting>,
    changes: Changes,
}

impl Reload<Hosting> for Folders<'_> {
    async fn reason(&mut self) -> Cow<'static, str> {
        self.changes.reason().await
    }

    async fn reload(&mut self, _: &str, _: &mut Sockets<Hosting>) -> anyhow::Result<()> {
        match self.serve.blueprint() {
            Ok(blueprint) => drop(self.hosting.replace(blueprint)),
            Err(error) => tracing::error!(
                "the folders can't be served as they are now, so the exports stay as they were: {error:#}"
            ),
        }
        Ok(())
    }
}

/// Where clients connect.
struct Entrances {
    listeners: Vec<Listener>,
    /// The one client of `--single`.
    only: Option<OnlyClient>,
    /// The folder of a private socket. Dropping it removes the folder.
    private: Option<TempDir>,
}
