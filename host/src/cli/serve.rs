//! `nbdbox serve`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use nbd_server::Tls;
use nbd_server::{Address, Listener, Welcome};
use nbdbox_config::config::{self, LogFormat};
use nbdbox_config::size;
use tempfile::TempDir;

use super::listen_args::{self, ListenArgs};
use super::plugin_args::PluginArgs;
use super::tls_args::TlsArgs;
use super::{admin_args, log, run};
use crate::hosting::Standalone;
use crate::machine;
use crate::service::{self, Demand, NoReload, Options, Service, Signals};

const EXAMPLES: &str = "\
Examples:
  nbdbox serve pattern.wasm size=1G                       on 127.0.0.1, port 10809
  nbdbox serve -U - pattern.wasm --run 'nbdinfo \"$uri\"'   for one command only
  nbdbox serve -U /run/disk.sock -P /run/disk.pid --blob disk=/srv/disk.img:rw file.wasm
  nbdbox serve --tls require --tls-certificates /etc/pki/nbdbox -i 0.0.0.0 pattern.wasm size=1G
  nbdbox serve --config /etc/nbdbox                       many tenants, as these files say
  nbdbox serve --limit memory=1G,cpu=1s memory.wasm size=900M
";

/// Serves a plugin over NBD.
///
/// Listens on 127.0.0.1, port 10809, unless told otherwise; with --run, on a unix socket of its own.
/// Stays in the foreground until SIGINT or SIGTERM; then requests under way are finished.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("plugin", |argument| argument.required(false).required_unless_present("config").index(1)))]
// An argument that was touched goes behind the others: the index says where it stands.
#[command(mut_arg("settings", |argument| argument.index(2)))]
pub(super) struct Serve {
    #[command(flatten)]
    listen: ListenArgs,

    /// Serve read-only, whatever the plugin can
    #[arg(short, long, visible_alias = "readonly")]
    read_only: bool,

    /// Write the process id to this file when listening
    #[arg(short = 'P', long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// Worker threads [default: one per core]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Memory that the server may hold for its plugins and clients, as `512MiB`; past it they're refused more
    /// [default: 80 % of what the control group or the machine has]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,

    /// Run a shell command with `$uri` and `$unixsocket` set, then exit with its status
    #[arg(long, value_name = "CMD")]
    run: Option<String>,

    /// Print the URI that clients can use
    #[arg(long)]
    print_uri: bool,

    /// Let an operator look inside, here: the path of a unix socket, or a loopback address and port. With
    /// --config, `[admin]` says it
    #[arg(long, value_name = "ADDRESS", value_parser = admin_args::parse)]
    admin: Option<config::Address>,

    /// Say more: connections, refused requests, the plugin's debug lines. `NBDBOX_LOG` sets it in
    /// detail (tracing's filter syntax)
    #[arg(short, long)]
    verbose: bool,

    /// How the log is written [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<log::Format>,

    /// Serve many tenants, as this file says, or the `*.toml` of this folder; read again when they change
    /// and on SIGHUP
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = [
            "plugin", "settings", "blobs", "blob_options", "filters", "limits", "extents_on_error", "on_failure",
            "unix", "ipaddr", "port", "export", "read_only", "run", "print_uri", "admin", "memory",
            "tls", "tls_certificates", "tls_verify_peer",
        ]
    )]
    config: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    plugin: PluginArgs,
}

impl Serve {
    pub(super) fn run(self: Box<Self>) -> anyhow::Result<ExitCode> {
        service::block_on(self.threads, async {
            match &self.config {
                Some(config) => {
                    let start_log = |format: LogFormat| self.start_log(log::HOSTING, format);
                    service::serve_configuration(config, self.pidfile.clone(), start_log).await
                }
                None => {
                    self.start_log(log::PLAIN, LogFormat::default())?;
                    self.serve().await
                }
            }
        })
    }

    /// Starts the log: what the command line says counts more.
    fn start_log(&self, plain: &str, format: LogFormat) -> anyhow::Result<()> {
        let filter = if self.verbose { log::VERBOSE } else { plain };
        log::start(filter, self.log_format.unwrap_or(format.into()))
    }

    async fn serve(&self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::catch()?;
        let tls = Tls::load(&self.tls.tls()?)?;
        let name = &self.listen.export;
        let (opener, process) = (PluginArgs::opener(name), machine::budget(self.memory));
        let opening = self.plugin.open(name, self.read_only, &opener, &process);
        let catalog = signals.unless_asked(opening).await?;
        let catalog = Arc::new(Standalone::new(catalog));
        let (address, _private) = self.address()?;
        let listener = Listener::bind(&address).await?;
        let address = listener.address()?;
        let uri = address.uri(&self.listen.export, self.tls.required());
        tracing::debug!("listening on {address}");
        if self.print_uri {
            super::print(&format!("{uri}\n"))?;
        }
        let options = Options {
            pidfile: self.pidfile.clone(),
            ..Options::default()
        };
        let mut service = Service::new(signals, catalog, options);
        service.sockets().open_admin(self.admin.as_ref()).await?;
        service.sockets().listen(listener, Welcome::from(tls));
        let demand = Demand {
            listeners: 1,
            connections: self.plugin.limits()?.connections,
            files: self.plugin.granted_files(),
        };
        demand.check();
        let command = async {
            match &self.run {
                Some(command) => run::shell(command, &uri, &address, &self.listen.export).await,
                None => std::future::pending().await,
            }
        };
        service.run(NoReload, command).await
    }

    fn address(&self) -> anyhow::Result<(Address, Option<TempDir>)> {
        match &self.run {
            Some(_) if self.listen.is_silent() => listen_args::private(),
            _ => self.listen.address(),
        }
    }
}
