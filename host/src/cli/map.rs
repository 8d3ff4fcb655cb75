//! `nbdbox map`: where an export's data and holes are.

mod progress;
mod source;
mod svg_file;
mod tls_args;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _};
use extent_map::Extent;
use nbd_client::{Client, Stream};
use outside::Keeper;

use self::progress::Progress;
use self::source::{Source, Told};
use self::svg_file::SvgFile;
use self::tls_args::TlsArgs;
use super::log;
use super::plugin_args::PluginArgs;
use super::sandbox_args::SandboxArgs;
use super::{Cli, FAILED};
use crate::map::{Coalesce, Ink, Json, Picture, Rendering, Svg, Table, TotalsJson, TotalsTable};
use crate::service::{self, Signals};

/// The exit status for a wrong command line, the same as clap's.
const USAGE: u8 = 2;

/// Shows where an export's data and holes are, as a table, as JSON or as a picture.
///
/// Connects to a server, or runs a plugin, read-only and without listening. Table and JSON have the
/// format of `nbdinfo --map`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("plugin", |argument| argument.index(1).value_name("URI|PLUGIN").help(WHAT)))]
// `mut_arg` moves an argument behind the others; the index restores its place.
#[command(mut_arg("settings", |argument| argument.index(2)))]
pub(super) struct Map {
    /// Print only the total size of each type, and its percentage
    #[arg(long, conflicts_with = "picture")]
    totals: bool,

    /// Print JSON in the format of `nbdinfo --map --json`
    #[arg(long, conflicts_with = "picture")]
    json: bool,

    /// Draw a picture: every cell is a bar whose height is its share of data
    #[arg(long)]
    picture: bool,

    /// Write a picture to this SVG file; alone, print nothing
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    sandbox: SandboxArgs,

    #[command(flatten)]
    source: PluginArgs,
}

const WHAT: &str = "\
The server and its export, as nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH, over TLS with \
nbds; or a plugin, by name or path";

const EXAMPLES: &str = "\
Examples:
  nbdbox map nbd://localhost/disk                     a line for each extent
  nbdbox map --picture sparse size=4G            a plugin's map in the terminal
  nbdbox map --svg disk.svg --totals nbd://localhost/ a file to look at, and the sums
  nbdbox map --tls-ca ca.pem nbds://localhost/disk    over TLS
";

/// One rendering, and the stream that it goes to.
struct Output {
    name: String,
    rendering: Box<dyn Rendering>,
    out: Box<dyn Write>,
}

impl Map {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if let Some(keeper) = Keeper::get() {
            log::start(log::PLAIN, log::Format::Text)?;
            return service::block_on_one(source::serve(&self.source, keeper));
        }
        let side = self.sandbox.side()?;
        let source = Source::of(&self.source, &self.tls, side)?;
        if source.is_server() && !self.source.is_bare() {
            return Ok(usage(
                "settings, --blob, --limit and --extents-on-error are for a plugin, not for a server",
            ));
        }
        if !source.is_over_tls() && !self.tls.is_empty() {
            return Ok(usage(
                "--tls-ca, --tls-certificate and --tls-key are for nbds: and nbds+unix:",
            ));
        }
        log::start(log::PLAIN, log::Format::Text)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let done = runtime.block_on(self.map(&source));
        // A plugin that hangs must not keep the process.
        runtime.shutdown_background();
        match done {
            // A closed pipe is no error: its reader, such as `head`, has enough.
            Err(error) if self.svg.is_none() && is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
            Err(error) if error.is::<Told>() => Ok(ExitCode::from(FAILED)),
            done => done,
        }
    }

    async fn map(&self, source: &Source<'_>) -> anyhow::Result<ExitCode> {
        // Opened before the work, so that a file that can't be written fails at once.
        let file = self.svg.as_deref().map(SvgFile::create).transpose()?;
        // A signal mustn't end the process at once: the unfinished file has to be removed.
        let mut signals = Signals::catch()?;
        tokio::select! {
            done = self.show(source, file.as_ref()) => done?,
            signal = signals.wait() => return Ok(super::ended_by(signal)),
        }
        if let Some(file) = file {
            file.keep()?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, source: &Source<'_>, svg: Option<&SvgFile>) -> anyhow::Result<()> {
        let name = source.name();
        let client = source.connect().await.with_context(|| name.clone())?;
        let mut outputs: Vec<Output> = Vec::new();
        outputs.extend(self.rendering(&name, client.size()).map(Output::stdout));
        if let Some(file) = svg {
            outputs.push(Output {
                name: file.name(),
                rendering: Box::new(Svg::new(&name, client.size())),
                out: Box::new(BufWriter::new(file.handle()?)),
            });
        }
        let progress = Progress::start(client.size(), !self.streams_to_terminal());
        walk(client, &mut outputs, &progress)
            .await
            .map_err(|error| {
                // An error of the output isn't attributed to the server.
                if error.is::<io::Error>() {
                    error
                } else {
                    error.context(name)
                }
            })?;
        drop(progress);
        outputs.iter_mut().try_for_each(Output::finish)
    }

    /// The rendering for standard output; `None` if only the SVG file is wanted.
    fn rendering(&self, name: &str, size: u64) -> Option<Box<dyn Rendering>> {
        Some(match (self.picture, self.totals, self.json) {
            (true, ..) => Box::new(Picture::new(name, size, ink())),
            (_, true, true) => Box::new(TotalsJson::default()),
            (_, true, false) => Box::new(TotalsTable::default()),
            (_, false, true) => Box::new(Json::default()),
            _ if self.svg.is_some() => return None,
            _ => Box::new(Table),
        })
    }

    /// Whether the terminal shows extents as they arrive, and so needs no progress bar.
    fn streams_to_terminal(&self) -> bool {
        let collects = self.picture || self.totals || (self.svg.is_some() && !self.json);
        !collects && io::stdout().is_terminal()
    }
}

impl Output {
    fn stdout(rendering: Box<dyn Rendering>) -> Self {
        let stdout = io::stdout();
        let out: Box<dyn Write> = if stdout.is_terminal() {
            Box::new(stdout)
        } else {
            Box::new(BufWriter::new(stdout))
        };
        Self {
            name: "standard output".to_owned(),
            rendering,
            out,
        }
    }

    fn extent(&mut self, extent: &Extent) -> anyhow::Result<()> {
        let written = self.rendering.extent(extent, &mut self.out);
        written.with_context(|| format!("can't write to {}", self.name))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let finished = self.rendering.finish(&mut self.out);
        finished
            .and_then(|()| self.out.flush())
            .with_context(|| format!("can't write to {}", self.name))
    }
}

/// Requests all extents, joins neighbours of the same kind, and writes them to the outputs.
async fn walk(
    mut client: Client<Stream>,
    outputs: &mut [Output],
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut coalesce = Coalesce::default();
    let mut show = |extent: Option<Extent>| match extent {
        Some(extent) => outputs
            .iter_mut()
            .try_for_each(|output| output.extent(&extent)),
        None => Ok(()),
    };
    client
        .extents(|extent| {
            progress.reached(extent.offset + extent.length);
            show(coalesce.push(extent))
        })
        .await?;
    show(coalesce.finish())?;
    // All extents have arrived, so a server that is gone now does no harm.
    let _ = client.disconnect().await;
    Ok(())
}

/// Colours for a terminal, unless the environment turns them off (no-color.org).
fn ink() -> Ink {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let unwanted = set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb");
    if io::stdout().is_terminal() && !unwanted {
        Ink::Colour
    } else {
        Ink::Plain
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a usage error, and returns the exit status.
fn usage(message: &str) -> ExitCode {
    let mut cli = Cli::command();
    cli.build();
    let error = match cli.find_subcommand_mut("map") {
        Some(map) => map.error(ErrorKind::ArgumentConflict, message),
        None => cli.error(ErrorKind::ArgumentConflict, message),
    };
    // The status is the same if the terminal is closed.
    let _ = error.print();
    ExitCode::from(USAGE)
}
