//! What the keeper gives to all of its servers.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use lanes::Work;
use nbd_server::Inherited;
use nbdbox_config::config::Part;
use outside::{Answer, Note, Told};
use runtime::cache::Cache;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::desk::compilers;
use super::line::Wire;
use super::opened::{OpenSockets, Opened};

/// What a command gives to the servers of its keeper.
pub(crate) struct Supplies {
    /// The cache of compiled code.
    pub(crate) cache: Cache,
    /// The sockets that the keeper inherited (sd_listen_fds(3)).
    pub(crate) inherited: Inherited,
    /// Opens the sockets of the command line, at a server's first request for one.
    pub(crate) sockets: OpenSockets,
    /// Standard input, if it's a client's connection.
    pub(crate) input: Option<OwnedFd>,
}

/// Time for a visited server to take its end of the stream.
const PATIENCE: Duration = Duration::from_secs(1);

/// The [`Supplies`] in use, which all servers share.
pub(super) struct Stock {
    pub(super) cache: Cache,
    pub(super) inherited: Inherited,
    pub(super) opened: Opened,
    pub(super) input: Option<OwnedFd>,
    /// The compilers at work for all servers: one more than a single server may have, so that no server keeps the
    /// others from compiling.
    pub(super) compiling: Semaphore,
    /// The number that changes with everything that compiled code depends on. The first request for code sets it,
    /// before that server has run any guest. Restrains a server that an intruder controls: with other numbers it could
    /// fill the cache.
    compatibility: OnceLock<u64>,
    /// The servers whose admin pages can be visited, by number.
    seats: Mutex<BTreeMap<u32, Seat>>,
}

struct Seat {
    part: Part,
    wire: Weak<Wire>,
}

impl Stock {
    pub(super) fn new(supplies: Supplies) -> Arc<Self> {
        let Supplies {
            cache,
            inherited,
            sockets,
            input,
        } = supplies;
        let stock = Arc::new(Self {
            cache,
            inherited,
            opened: Opened::new(sockets),
            input,
            compiling: Semaphore::new(compilers() + 1),
            compatibility: OnceLock::new(),
            seats: Mutex::default(),
        });
        let tidying = Arc::clone(&stock);
        // If the kernel can't start a thread, the next start tidies.
        let _ = Work::of_the_host().begin(move || tidying.cache.tidy());
        stock
    }

    /// Whether the keeper compiles code for this number. All servers run the same program, so there is only one.
    pub(super) fn is_compatible(&self, compatibility: u64) -> bool {
        *self.compatibility.get_or_init(|| compatibility) == compatibility
    }

    /// Sends visits to a part by its server's new line from now on. A new part gets the next number.
    pub(super) fn seat(&self, part: &Part, wire: &Arc<Wire>) {
        let wire = Arc::downgrade(wire);
        let mut seats = self.seats();
        if let Some(seat) = seats.values_mut().find(|seat| seat.part == *part) {
            seat.wire = wire;
            return;
        }
        let next = seats.keys().next_back().map_or(0, |last| last + 1);
        let part = part.clone();
        seats.insert(next, Seat { part, wire });
    }

    /// Removes a server that has ended for good.
    pub(super) fn unseat(&self, part: &Part) {
        self.seats().retain(|_, seat| seat.part != *part);
    }

    /// Connects a server with the admin pages of the server with this number, or the next one above. If the future is
    /// dropped, the other server finds a closed connection.
    ///
    /// # Errors
    /// ENOENT if there is no such server.
    pub(super) async fn visit(&self, least: u32) -> io::Result<(Answer, Option<OwnedFd>)> {
        let (number, name, wire) = {
            let seats = self.seats();
            // The link carries an errno, but no kind of error without one.
            let seat = seats.range(least..).next();
            let (number, seat) = seat.ok_or(rustix::io::Errno::NOENT)?;
            (*number, seat.part.label().to_owned(), seat.wire.upgrade())
        };
        let stream = match wire {
            None => None,
            Some(wire) => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
                let (here, there) = pair?;
                let told = Told::Note(Note::Visit);
                // A server that hangs doesn't read.
                let sent = timeout(PATIENCE, wire.send(&told, Some(&there))).await;
                matches!(sent, Ok(Ok(()))).then_some(here)
            }
        };
        Ok((Answer::Visit { number, name }, stream))
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u32, Seat>> {
        // No operation leaves it half-done.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
