//! `nbdbox top`: shows in the terminal what a running server does.

mod fetch;
mod figures;
mod plain;
mod screen;

use std::io::stdout;
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use nbdbox_config::config::Address;
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;

use self::figures::{Process, Row, rows};
use self::screen::{View, Wish};
use super::admin_args;
use crate::admin::Report;
use crate::service::Signals;

/// The time that the end waits for a picture that is being drawn.
const DRAWING: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  nbdbox serve --admin /run/nbdbox/admin.sock -U /run/disk.sock pattern.wasm size=1G
  nbdbox top /run/nbdbox/admin.sock                   until you press q
  nbdbox top --sort cpu --by tenant 127.0.0.1:9809
  nbdbox top --once --sort faults /run/nbdbox/admin.sock
  nbdbox top --json /run/nbdbox/admin.sock | jq '.[] | select(.p99_us > 1000)'
";

/// Shows what a running server does: operations, bytes, latency, CPU, memory and faults of its exports.
///
/// Reads the server's admin listener (`[admin]` of the configuration, or `serve --admin`) twice, and shows the
/// difference. OPS/S are requests that ended; P99 is the time within which 99 of 100 of them ended, accurate to a
/// factor of two; CPU% is the time of connections, guests and the tenant's lane, GUEST% that of the guests alone, and
/// 100 % is one core; FAULTS are those of the plugin, and requests that failed by the host's fault, since the server
/// started.
///
/// Keys: o, b, l, c, m, f and n sort by operations, bytes, latency, CPU, memory, faults and name; t, e and y
/// show tenants, exports and layers; the arrows scroll; q quits.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    /// The admin listener: the path of a unix socket, or a loopback address and port
    #[arg(value_name = "ADMIN", value_parser = admin_args::parser())]
    admin: Address,

    /// The column to sort by
    #[arg(short, long, value_name = "KEY", default_value = "ops")]
    sort: Sort,

    /// Show a row for each export, each layer, or each tenant
    #[arg(long, value_name = "WHAT", default_value = "export")]
    by: By,

    /// Seconds between two readings
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,

    /// Print a table once, for scripts
    #[arg(long)]
    once: bool,

    /// Print JSON once, for scripts
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Requests that ended in a second
    Ops,
    /// Bytes read and written in a second
    Bytes,
    /// The time within which 99 of 100 requests ended
    P99,
    /// CPU time, of guests and of the host on their behalf
    Cpu,
    /// Guest memory
    Memory,
    /// Faults of the plugin and of the host
    Faults,
    /// Tenant and export
    Name,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// A layer: a filter, or the plugin
    Layer,
    /// An export
    Export,
    /// A tenant
    Tenant,
}

impl Top {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let first = runtime.block_on(fetch::report(&self.admin))?;
        let looks = Looks {
            top: self.clone(),
            runtime,
            last: (Instant::now(), first),
        };
        if self.once || self.json {
            looks.print()?;
            return Ok(ExitCode::SUCCESS);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(looks.shown())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }
}

/// One reading of the server after the other.
struct Looks {
    top: Top,
    runtime: Runtime,
    /// The last reading, and its time.
    last: (Instant, Report),
}

impl Looks {
    /// Reads again, and returns what has changed since the last reading.
    fn next(&mut self) -> anyhow::Result<(Vec<Row>, Process)> {
        let report = self.runtime.block_on(fetch::report(&self.top.admin))?;
        let now = Instant::now();
        let elapsed = now - self.last.0;
        let rows = rows(&self.last.1, &report, elapsed);
        let process = figures::process(&self.last.1, &report, elapsed);
        self.last = (now, report);
        Ok((rows, process))
    }

    fn print(mut self) -> anyhow::Result<()> {
        std::thread::sleep(self.top.interval());
        let (rows, process) = self.next()?;
        let rows = figures::arranged(&rows, self.top.by, self.top.sort);
        let text = match self.top.json {
            true => serde_json::to_string_pretty(&rows)? + "\n",
            false => format!("{}{}\n", plain::table(&rows), plain::process(&process)),
        };
        super::print(&text)
    }

    /// Shows the screen until the user quits or a signal comes. Then the terminal is as it was before.
    ///
    /// A thread draws and reads keys. A signal ends the process even if the thread waits for a key or an answer, or
    /// tries for ever, as crossterm does on a terminal that is gone.
    async fn shown(self) -> anyhow::Result<ExitCode> {
        // Signals are caught before the terminal changes, so that none leaves it changed.
        let mut signals = Signals::catch()?;
        let terminal = ratatui::try_init().context("can't use the terminal")?;
        let screen = Arc::new(Mutex::new(()));
        let (told, ended) = oneshot::channel();
        let drawn = Arc::clone(&screen);
        #[expect(
            clippy::disallowed_methods,
            reason = "the command's own: one, which ends with the process"
        )]
        let thread = thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || told.send(self.show(terminal, &drawn)));
        let done = tokio::select! {
            done = ended => match done {
                Ok(shown) => shown.map(|()| ExitCode::SUCCESS),
                Err(_) => Err(thread.err().map_or_else(|| anyhow!("the screen's thread panicked"), Into::into)),
            },
            signal = signals.wait() => Ok(super::ended_by(signal)),
        };
        // While the lock is held nothing is drawn. A picture that can't be drawn isn't waited for any longer.
        let start = Instant::now();
        let mut held = screen.try_lock();
        while held.is_err() && start.elapsed() < DRAWING {
            sleep(Duration::from_millis(1)).await;
            held = screen.try_lock();
        }
        // A terminal that is gone, as after SIGHUP, needs no restoring.
        let _ = execute!(stdout(), Show);
        let _ = ratatui::try_restore();
        done
    }

    /// Shows the screen until the user quits. Holds `screen` while it draws.
    fn show(mut self, terminal: DefaultTerminal, screen: &Mutex<()>) -> anyhow::Result<()> {
        // Its drop would show the cursor, and panic on a terminal that is gone. The caller shows the cursor instead.
        let mut terminal = ManuallyDrop::new(terminal);
        let mut draw = |view: &mut View| {
            let _held = screen.lock().unwrap_or_else(PoisonError::into_inner);
            terminal.draw(|frame| view.draw(frame)).map(drop)
        };
        let mut view = View::new(self.top.admin.to_string(), self.top.by, self.top.sort);
        loop {
            draw(&mut view)?;
            let due = self.last.0 + self.top.interval();
            while event::poll(due.saturating_duration_since(Instant::now()))? {
                let Event::Key(key) = event::read()? else {
                    draw(&mut view)?;
                    continue;
                };
                if view.press(key) == Wish::End {
                    return Ok(());
                }
                draw(&mut view)?;
            }
            match self.next() {
                Ok((rows, process)) => view.show(rows, process),
                Err(error) => {
                    // The server may be back soon; its counters then start from zero.
                    self.last.0 = Instant::now();
                    view.fail(format!("{error:#}"));
                }
            }
        }
    }
}
