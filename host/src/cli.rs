//! The command line: a module for each command of `nbdbox`.

mod admin_args;
mod check;
mod dev;
mod doctor;
mod foreground;
mod inspect;
mod intrude;
mod listen_args;
mod log;
mod map;
mod new;
mod offer_args;
mod parent;
mod plugin_args;
mod plugins;
mod purpose;
mod run;
mod sandbox_args;
mod serve;
mod several;
mod test;
mod tls_args;
mod top;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use nbdbox_config::config::Part;
use runtime::compile;
use rustix::process::Signal;

use crate::walls;

/// The exit status of a command that failed.
const FAILED: u8 = 1;

/// An NBD server whose plugins are sandboxed WebAssembly components.
///
/// A plugin can read and write only what you grant it by name (--blob), and use no more than its limits
/// (--limit). Its exported interfaces decide what clients can do: see `nbdbox inspect`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nbdbox serve pattern size=1G                            on 127.0.0.1, port 10809
  nbdbox serve -U - pattern --run 'nbdinfo \"$uri\"'   for one command only
  nbdbox serve --blob disk=/srv/disk.img:rw file          a file, through the sandbox
  nbdbox serve --config /etc/nbdbox                       many tenants
  nbdbox plugins                                          which plugins are installed?
  nbdbox inspect file                                     what is it, what does it need?
  nbdbox new --lang python mydisk                         a plugin to start from
  nbdbox dev ./mydisk.wasm size=1G                        reloads it after each build
  nbdbox test pattern size=1G                             check a plugin against the contract
  nbdbox top /run/nbdbox/admin.sock                       what does a server do?
  nbdbox doctor                                           what does this machine give?
  nbdbox map --picture sparse size=4G                     where are its data and holes?
";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Inspect(inspect::Inspect),
    Plugins(plugins::Plugins),
    Map(Box<map::Map>),
    Check(check::Check),
    /// Prints the JSON schema of the configuration, for editors.
    Schema,
    New(new::New),
    Dev(Box<dev::Dev>),
    Test(Box<test::Test>),
    Top(top::Top),
    Doctor(doctor::Doctor),
    #[command(hide = true)]
    Intrude(intrude::Intrude),
    /// Compiles standard input to the file on standard output. nbdbox starts this for itself.
    #[command(name = compile::SUBCOMMAND, hide = true)]
    CompilePlugin,
    /// Goes behind its walls and then does what the other arguments say. nbdbox starts this for itself.
    #[command(name = walls::SUBCOMMAND, hide = true)]
    BehindWalls {
        /// Refuse to go on if the kernel lacks a wall.
        #[arg(long = walls::ALL_NAME)]
        all: bool,
        /// What it serves of a configuration.
        #[arg(long = walls::PART_NAME, value_parser = |words: &str| Part::parse(words).ok_or("no part"))]
        part: Part,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs the program with these arguments, the first of which is its name.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // The status is the same if the terminal is closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED));
        }
    };
    let done = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Plugins(plugins) => plugins.run(),
        Command::Map(map) => map.run(),
        Command::Check(check) => check.run(),
        Command::Schema => print_schema().map(|()| ExitCode::SUCCESS),
        Command::Dev(dev) => dev.run(),
        Command::New(new) => new.run().map(|()| ExitCode::SUCCESS),
        Command::Test(test) => test.run(),
        Command::Top(top) => top.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Intrude(intrude) => intrude.run(),
        Command::BehindWalls {
            all,
            part,
            arguments,
        } => {
            let program = OsString::from("nbdbox");
            match walls::close(all, part) {
                Ok(()) => return main([program].into_iter().chain(arguments)),
                Err(error) => Err(error),
            }
        }
        Command::CompilePlugin => {
            let done = compile::worker().map(|()| ExitCode::SUCCESS);
            // The parent reads this pipe. The compiler's memory limit may leave no room for the log's thread.
            return done.unwrap_or_else(|error| {
                let _ = writeln!(io::stderr(), "{error:#}");
                ExitCode::from(FAILED)
            });
        }
    };
    done.unwrap_or_else(|error| failed(&format!("nbdbox: {error:#}")))
}

fn failed(words: &str) -> ExitCode {
    // If nobody reads them, the status still reports the failure.
    crate::log::say(words);
    ExitCode::from(FAILED)
}

fn print_schema() -> anyhow::Result<()> {
    let schema = serde_json::to_string_pretty(&nbdbox_config::config::schema())?;
    print(&format!("{schema}\n"))
}

/// The exit status of a command that a signal ended: 128 and the signal's number, as in shells.
fn ended_by(signal: Signal) -> ExitCode {
    ExitCode::from(128 + u8::try_from(signal.as_raw()).unwrap_or(0))
}

/// Writes to standard output; may block. A closed pipe is no error: its reader, such as `head`, has enough.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("can't write to standard output")
        }
        _ => Ok(()),
    }
}
