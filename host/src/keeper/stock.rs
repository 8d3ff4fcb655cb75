//! What the keeper gives to all of its servers.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use lanes::Work;
use nbd_server::Inherited;
use nbdbox_config::config::Part;
use outside::{Answer, Note, Told};
use runtime::cache::Cache;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::Semaphore;

use super::desk::compilers;
use super::line::Wire;
use super::opened::{OpenSockets, Opened};

/// What servers can be given.
pub(crate) struct Supplies {
    /// Compiled code.
    pub(crate) cache: Cache,
    /// Sockets that the process which started the keeper has opened.
    pub(crate) inherited: Inherited,
    /// Opens the command line's sockets when the server is ready for them.
    pub(crate) sockets: OpenSockets,
    /// Standard input, if a client is there.
    pub(crate) input: Option<OwnedFd>,
}

/// The same, while servers come and go.
pub(super) struct Stock {
    pub(super) cache: Cache,
    pub(super) inherited: Inherited,
    pub(super) opened: Opened,
    pub(super) input: Option<OwnedFd>,
    /// Compilers at work at once for all servers: one more than a single server may have, so that no server keeps the
    /// others from compiling.
    pub(super) compiling: Semaphore,
    /// The number that changes with everything that compiled code depends on. The first server to ask for code sets it,
    /// before it has run any guest. Restrains a server that was taken over from filling the cache with others.
    compatibility: OnceLock<u64>,
    /// The servers that can be visited.
    seats: Mutex<Vec<Seat>>,
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
        // If there's no thread, the next server to start does it.
        let _ = Work::of_the_host().begin(move || tidying.cache.tidy());
        stock
    }

    /// Whether code is compiled for this number: the program has only one.
    pub(super) fn is_compatible(&self, compatibility: u64) -> bool {
        *self.compatibility.get_or_init(|| compatibility) == compatibility
    }

    /// A server that can be visited has a new line. The first visit to a part gives it a number, which it keeps.
    pub(super) fn seat(&self, part: &Part, wire: &Arc<Wire>) {
        let wire = Arc::downgrade(wire);
        let mut seats = self.seats();
        match seats.iter_mut().find(|seat| seat.part == *part) {
            Some(seat) => seat.wire = wire,
            None => seats.push(Seat {
                part: part.clone(),
                wire,
            }),
        }
    }

    /// A server that has ended for good can't be visited any more.
    pub(super) fn unseat(&self, part: &Part) {
        self.seats().retain(|seat| seat.part != *part);
    }

    /// Connects one server with the admin pages of another one. Dropping it is safe: the other server finds an ended
    /// connection.
    ///
    /// # Errors
    /// ENOENT: there's no server with this number.
    pub(super) async fn visit(&self, number: u32) -> io::Result<(Answer, Option<OwnedFd>)> {
        let (name, wire) = {
            let seats = self.seats();
            let seat = seats.get(number as usize).ok_or(io::ErrorKind::NotFound);
            // ENOENT itself: the kind alone gets lost on the way.
            let seat = seat.map_err(|_| io::Error::from(rustix::io::Errno::NOENT))?;
            (seat.part.label().to_owned(), seat.wire.upgrade())
        };
        let stream = match wire {
            None => None,
            Some(wire) => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
                let (here, there) = pair?;
                let told = Told::Note(Note::Visit);
                let sent = wire.send(&told, Some(&there)).await;
                sent.is_ok().then_some(here)
            }
        };
        Ok((Answer::Visit { name }, stream))
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        // No operation leaves it half-done.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
