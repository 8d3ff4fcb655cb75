//! `nbdbox serve`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::Context as _;
use clap::Args;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::plugin_args::PluginArgs;
use super::run;
use crate::server::{self, Address, Listener};

/// NBD's registered port.
const PORT: u16 = 10809;

/// Serves a plugin over NBD.
///
/// Listens on 127.0.0.1, port 10809, unless told otherwise; with --run, on a unix socket of its own.
/// Stays in the foreground until SIGINT or SIGTERM; then requests under way are finished.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen on this unix socket; `-` makes one in a private folder
    #[arg(short = 'U', long = "unix", value_name = "SOCKET", conflicts_with_all = ["ipaddr", "port"])]
    unix: Option<PathBuf>,

    /// Listen on this address, or host name [default: 127.0.0.1]
    #[arg(short, long, value_name = "ADDR")]
    ipaddr: Option<String>,

    /// Listen on this TCP port; 0 takes any that is free [default: 10809]
    #[arg(short, long)]
    port: Option<u16>,

    /// The export's name
    #[arg(short, long, visible_alias = "exportname", default_value = "")]
    export: String,

    /// Serve read-only, whatever the plugin can
    #[arg(short, long, visible_alias = "readonly")]
    read_only: bool,

    /// Write the process id to this file when listening
    #[arg(short = 'P', long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// Worker threads [default: one per core]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Run a shell command with `$uri` and `$unixsocket` set, then exit with its status
    #[arg(long, value_name = "CMD")]
    run: Option<String>,

    /// Print the URI that clients can use
    #[arg(long)]
    print_uri: bool,

    /// Say more: connections, refused requests, the plugin's debug lines. `NBDBOX_LOG` sets it in
    /// detail (tracing's filter syntax)
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    plugin: PluginArgs,
}

impl Serve {
    pub(super) fn run(self: Box<Self>) -> anyhow::Result<ExitCode> {
        start_log(self.verbose);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            runtime.worker_threads(threads.into());
        }
        let runtime = runtime
            .enable_all()
            .build()
            .context("can't start worker threads")?;
        let done = runtime.block_on(self.serve());
        // A disk that hangs must not keep the process.
        runtime.shutdown_background();
        done
    }

    async fn serve(&self) -> anyhow::Result<ExitCode> {
        let catalog = self.plugin.open(&self.export, self.read_only).await?;
        let (address, _private) = self.address()?;
        let mut terminate = signal(SignalKind::terminate()).context("can't catch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("can't catch SIGINT")?;
        let listener = Listener::bind(&address).await?;
        let address = listener.address()?;
        let _pidfile = self.pidfile.as_deref().map(PidFile::write).transpose()?;
        let uri = address.uri(&self.export);
        tracing::debug!("listening on {address}");
        if self.print_uri {
            println!("{uri}");
        }
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(server::serve(listener, catalog, stopped));
        let command = async {
            match &self.run {
                Some(command) => run::shell(command, &uri, &address, &self.export).await,
                None => std::future::pending().await,
            }
        };
        let status = tokio::select! {
            status = command => status?,
            _ = terminate.recv() => ExitCode::SUCCESS,
            _ = interrupt.recv() => ExitCode::SUCCESS,
        };
        // Nobody listens any more only if serving has ended already.
        let _ = stop.send(true);
        tokio::select! {
            done = serving => done.context("serving ended badly")?,
            // Asked again: at once.
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(status)
    }

    /// Where to listen, and the folder of a private socket, which is removed at the end.
    fn address(&self) -> anyhow::Result<(Address, Option<TempDir>)> {
        let private = match &self.unix {
            Some(path) => path == Path::new("-"),
            None => self.run.is_some() && self.ipaddr.is_none() && self.port.is_none(),
        };
        if private {
            let folder = TempDir::with_prefix("nbdbox-").context("can't make a private folder")?;
            return Ok((Address::Unix(folder.path().join("socket")), Some(folder)));
        }
        if let Some(path) = &self.unix {
            return Ok((Address::Unix(std::path::absolute(path)?), None));
        }
        let host = self
            .ipaddr
            .clone()
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok((Address::Tcp(host, self.port.unwrap_or(PORT)), None))
    }
}

/// A file with the process id, removed at the end.
struct PidFile<'a>(&'a Path);

impl<'a> PidFile<'a> {
    fn write(path: &'a Path) -> anyhow::Result<Self> {
        fs::write(path, format!("{}\n", process::id()))
            .with_context(|| format!("can't write the pidfile {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile<'_> {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(self.0);
    }
}

fn start_log(verbose: bool) {
    let filter = EnvFilter::try_from_env("NBDBOX_LOG").unwrap_or_else(|_| {
        EnvFilter::new(if verbose {
            "warn,nbdbox=debug,plugin=debug"
        } else {
            "warn,plugin=info"
        })
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
