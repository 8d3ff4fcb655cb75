//! Puts the server's process behind its walls, and receives the messages of its [keeper](crate::keeper).
//!
//! Behind the walls a server has no path, no network of its own, and only the system calls that serving needs. It
//! requests files and sockets from the keeper.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, ensure};
use nbdbox_config::config::Part;
use outside::{Keeper, Link, Note, Request, Stage};
use sandbox::Role;

use crate::{machine, plugins};

/// The hidden subcommand that starts a server. The keeper's own arguments follow it.
pub(crate) const SUBCOMMAND: &str = "behind-walls";

/// The option that requires all walls, and its name.
pub(crate) const ALL: &str = "--all-walls";
pub(crate) const ALL_NAME: &str = "all-walls";

/// The option that names the part of the configuration that this process serves, and its name.
pub(crate) const PART: &str = "--part";
pub(crate) const PART_NAME: &str = "part";

/// The most visits that wait to be received. Restrains the admin server.
const VISITS: usize = 16;

/// The keeper's messages that no task has received yet.
static HEARD: LazyLock<Mutex<Heard>> = LazyLock::new(Mutex::default);

/// The walls that this kernel lacks.
static MISSING: OnceLock<Vec<String>> = OnceLock::new();

/// The part of the configuration that this process serves.
static SERVED: OnceLock<Part> = OnceLock::new();

#[derive(Default)]
struct Heard {
    /// The reason for a reload.
    reload: Option<String>,
    /// The streams of clients of the admin pages.
    visits: VecDeque<OwnedFd>,
    /// Whether the keeper has ended.
    gone: bool,
    /// The tasks that wait for a message, or for the keeper's end.
    waiting: Vec<Waker>,
}

/// Puts this process behind its walls, for good, to serve this part. Must be called first, while the process has one
/// thread and standard input is the link to the keeper.
///
/// # Errors
/// The kernel refuses a wall that it has, or it lacks one and `all` walls are required; there is no link.
pub(crate) fn close(all: bool, part: Part) -> anyhow::Result<()> {
    let _ = SERVED.set(part);
    close_strays()?;
    let link = io::stdin().as_fd().try_clone_to_owned();
    let link = Link::of(link.context("there is no keeper on standard input")?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // The kernel named the process `exe`, after /proc/self/exe.
    rustix::thread::set_name(c"nbdbox")?;
    machine::prepare();
    plugins::prepare();
    let missing = sandbox::enter(Role::Server).context("can't build the walls of the server")?;
    ensure!(
        !all || missing.is_empty(),
        "--sandbox=require: this kernel lacks {}",
        missing.join("; ")
    );
    let _ = MISSING.set(missing);
    Keeper::introduce(link, hear, || {
        let mut heard = heard();
        heard.gone = true;
        heard.wake();
    })?;
    Ok(())
}

/// Closes all descriptors except the standard ones. The process that started the keeper may have left some open for its
/// children; the server gets everything that it needs from the keeper.
fn close_strays() -> io::Result<()> {
    let numbers = fs::read_dir("/proc/self/fd")?.filter_map(|entry| {
        let number = entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok()?;
        (number > 2).then_some(number)
    });
    let numbers: Vec<RawFd> = numbers.collect();
    for number in numbers {
        // One number was the folder's, which is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Logs the walls that this kernel lacks. Must be called once the log has begun.
pub(crate) fn warn_of_gaps() {
    if let Some(missing) = MISSING.get().filter(|missing| !missing.is_empty()) {
        tracing::warn!(
            target: "nbdbox::service",
            "the sandbox has gaps, because this kernel lacks {}; see `nbdbox doctor`",
            missing.join("; ")
        );
    }
}

/// Reports a stage to the keeper, if there is one. Blocks until the keeper has received it.
pub(crate) fn tell(stage: Stage) {
    if let Some(keeper) = Keeper::get() {
        // A keeper that has ended needs no report.
        let _ = keeper.ask(&Request::Reached(stage));
    }
}

/// Waits until the keeper wants a reload, and returns its reason. Dropping the future loses nothing.
pub(crate) async fn reload() -> String {
    poll_fn(|context| {
        let mut heard = heard();
        match heard.reload.take() {
            Some(reason) => Poll::Ready(reason),
            None => heard.wait(context),
        }
    })
    .await
}

/// The part of the configuration that this process serves.
pub(crate) fn part() -> Part {
    SERVED.get().cloned().unwrap_or_default()
}

/// Waits until the admin server visits the admin pages of this one, and returns its stream. Dropping the future loses
/// nothing.
pub(crate) async fn visit() -> OwnedFd {
    poll_fn(|context| {
        let mut heard = heard();
        match heard.visits.pop_front() {
            Some(stream) => Poll::Ready(stream),
            None => heard.wait(context),
        }
    })
    .await
}

/// Ready once the keeper has ended.
pub(crate) fn poll_gone(context: &Context<'_>) -> Poll<()> {
    let mut heard = heard();
    match heard.gone {
        true => Poll::Ready(()),
        false => heard.wait(context),
    }
}

fn hear(note: Note, stream: Option<OwnedFd>) {
    let mut heard = heard();
    match note {
        Note::Reload(reason) => heard.reload = Some(reason),
        Note::Visit if heard.visits.len() < VISITS => heard.visits.extend(stream),
        // Dropping the stream closes it, which the visitor notices.
        Note::Visit => {}
    }
    heard.wake();
}

fn heard() -> MutexGuard<'static, Heard> {
    // No operation leaves it half-done.
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        let waker = context.waker();
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}
