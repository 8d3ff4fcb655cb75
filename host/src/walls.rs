//! The process that serves, behind its walls: no path, no network of its own, and only the system calls that serving
//! takes. What it needs by name it asks of its [keeper](crate::keeper).

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

/// The hidden subcommand behind which stand the keeper's own arguments.
pub(crate) const SUBCOMMAND: &str = "behind-walls";

/// The option with which all walls are required, and its name.
pub(crate) const ALL: &str = "--all-walls";
pub(crate) const ALL_NAME: &str = "all-walls";

/// The option that names the part of the configuration that this process serves, and its name.
pub(crate) const PART: &str = "--part";
pub(crate) const PART_NAME: &str = "part";

/// Visits that nobody has received yet. Restrains the keeper's other servers.
const VISITS: usize = 16;

/// What the keeper said that nobody has heard yet.
static HEARD: LazyLock<Mutex<Heard>> = LazyLock::new(Mutex::default);

/// Walls that this kernel can't build.
static MISSING: OnceLock<Vec<String>> = OnceLock::new();

/// What this process serves of the configuration.
static SERVED: OnceLock<Part> = OnceLock::new();

#[derive(Default)]
struct Heard {
    /// Why what is served is to be looked at again.
    reload: Option<String>,
    /// Streams of clients of the admin pages.
    visits: VecDeque<OwnedFd>,
    gone: bool,
    /// The tasks that wait for either.
    waiting: Vec<Waker>,
}

/// Puts this process behind its walls, for good, to serve this part. To be called first, with one thread; the keeper is at
/// the other end of standard input.
///
/// # Errors
/// The kernel refuses a wall, or `all` of them are required and it lacks one.
pub(crate) fn close(all: bool, part: Part) -> anyhow::Result<()> {
    let _ = SERVED.set(part);
    close_strays()?;
    let link = io::stdin().as_fd().try_clone_to_owned();
    let link = Link::of(link.context("there is no keeper on standard input")?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // It was started by another path than its own.
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
        // One was that of the folder, and is closed.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Says in the log what is missing of the walls. To be called once the log has begun.
pub(crate) fn warn_of_gaps() {
    if let Some(missing) = MISSING.get().filter(|missing| !missing.is_empty()) {
        tracing::warn!(
            target: "nbdbox::service",
            "the sandbox has gaps, since this kernel lacks {}: `nbdbox doctor` says more",
            missing.join("; ")
        );
    }
}

/// Tells the keeper, if there is one, how far this process is. Blocks until the keeper has heard it.
pub(crate) fn tell(stage: Stage) {
    if let Some(keeper) = Keeper::get() {
        // One that has ended needs no word.
        let _ = keeper.ask(&Request::Reached(stage));
    }
}

/// Waits until the keeper wants what is served looked at again, and says why. Dropping it loses nothing.
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

/// What this process serves of the configuration.
pub(crate) fn part() -> Part {
    SERVED.get().cloned().unwrap_or_default()
}

/// Waits until another server of the keeper wants to see the admin pages. Dropping it loses nothing.
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
        // A visitor whose stream is closed finds that out.
        Note::Visit if heard.visits.len() < VISITS => heard.visits.extend(stream),
        Note::Visit => {}
    }
    heard.wake();
}

fn heard() -> MutexGuard<'static, Heard> {
    // What it holds is whole at any time.
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
