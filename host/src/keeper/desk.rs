//! Where a server's asks are checked, done and answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanes::Work;
use nbd_server::{Address, Inherited, OpenSocket, address_of};
use outside::{Answer, Ask, Failure, Link, Note, Rights, Socket, Stage, Told, fitting};
use runtime::cache::{Cache, Refused};
use tempfile::TempDir;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::machine;

/// Asks under way at once. Past them the keeper reads no more: a server asks from its lanes, of which each has eight
/// threads, so only one that asks without end comes to wait.
const MOST: usize = 1024;

/// What a server can be given.
pub(crate) struct Supplies {
    /// What it may ask for at first.
    pub(crate) rights: Rights,
    /// Compiled code.
    pub(crate) cache: Cache,
    /// Sockets that whoever started the keeper has opened.
    pub(crate) inherited: Inherited,
    /// Opens the command line's sockets, in their order, when the server is ready for them. They may stand in a folder that
    /// goes with them.
    pub(crate) sockets: OpenSockets,
    /// Standard input, if a client is there.
    pub(crate) input: Option<OwnedFd>,
}

type OpenSockets =
    Box<dyn FnOnce(&Inherited) -> anyhow::Result<(Vec<OpenSocket>, Option<TempDir>)> + Send>;

/// The desk itself, which stays while servers come and go.
pub(super) struct Desk {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    /// What was granted last, while a server may still ask for more.
    next: RefCell<Option<Rights>>,
}

struct Shared {
    rights: Mutex<Arc<Rights>>,
    cache: Cache,
    inherited: Inherited,
    opened: Opened,
    input: Option<OwnedFd>,
    /// Compilers at work at once: two at least, since a tenant has one at a time.
    compiling: Semaphore,
}

/// The sockets that are open.
pub(crate) struct Opened(Mutex<Sockets>);

struct Sockets {
    open: HashMap<Socket, OpenSocket>,
    /// Those of the command line, not opened yet.
    command_line: Option<OpenSockets>,
    /// The folder of a private one, removed after it.
    private: Option<TempDir>,
}

/// One server's line to the desk. Dropping it ends what is under way for it.
pub(super) struct Line {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    wire: Arc<Wire>,
    under_way: HashMap<u64, AbortHandle>,
    /// What the server is being told.
    note: Option<AbortHandle>,
}

/// A link, and the runtime's watch over it.
struct Wire {
    link: Link,
    /// The same socket: the runtime tells when something can be sent or received.
    watched: UnixStream,
}

type Done = Result<(Answer, Option<OwnedFd>), Failure>;

impl Desk {
    pub(super) fn new(supplies: Supplies) -> Self {
        let Supplies {
            mut rights,
            cache,
            inherited,
            sockets,
            input,
        } = supplies;
        let opened = Sockets {
            open: HashMap::new(),
            command_line: Some(sockets),
            private: None,
        };
        if input.is_some() {
            rights.allow_input();
        }
        let shared = Arc::new(Shared {
            rights: Mutex::new(Arc::new(rights)),
            cache,
            inherited,
            opened: Opened(Mutex::new(opened)),
            input,
            compiling: Semaphore::new(machine::cores().max(2)),
        });
        let tidying = Arc::clone(&shared);
        // Without a thread it's done by the next server that starts.
        let _ = Work::of_the_host().begin(move || tidying.cache.tidy());
        Self {
            shared,
            places: Arc::new(Semaphore::new(MOST)),
            next: RefCell::new(None),
        }
    }

    /// The sockets that are open.
    pub(super) fn opened(&self) -> &Opened {
        &self.shared.opened
    }

    /// From here on a server may ask for this. What it could ask for before it still can until the next
    /// [`settle`](Self::settle): it hasn't looked yet.
    pub(super) fn grant(&self, rights: Rights) {
        let mut both = self.shared.rights();
        let before = Arc::clone(&both);
        *both = Arc::new(rights.clone().with(&before));
        drop(both);
        *self.next.borrow_mut() = Some(rights);
    }

    /// From here on a server may ask for this too, and what was provided before is read anew: the operator's words are of
    /// no use, which it's to find itself.
    pub(super) fn amend(&self, rights: Rights) {
        let mut both = self.shared.rights();
        let before = both.without_provided();
        *both = Arc::new(rights.with(&before));
    }

    /// The server has looked, and goes on as before: it needs what it could ask for all along.
    pub(super) fn keep_both(&self) {
        self.next.borrow_mut().take();
    }

    /// The server has looked: what was granted last is all that it may ask for.
    pub(super) fn settle(&self) {
        if let Some(rights) = self.next.borrow_mut().take() {
            *self.shared.rights() = Arc::new(rights);
        }
    }

    /// Begins to answer a server. Must be called in a runtime.
    ///
    /// # Errors
    /// The link can't be watched.
    pub(super) fn line(&self, link: Link) -> io::Result<Line> {
        rustix::io::ioctl_fionbio(&link, true)?;
        let watched = link.as_fd().try_clone_to_owned()?;
        let wire = Wire {
            link,
            watched: UnixStream::from_std(watched.into())?,
        };
        Ok(Line {
            shared: Arc::clone(&self.shared),
            places: Arc::clone(&self.places),
            wire: Arc::new(wire),
            under_way: HashMap::new(),
            note: None,
        })
    }
}

impl Opened {
    /// Closes the sockets of clients, and removes the files of those that were made here. The operator can look in until
    /// the end.
    pub(super) fn close(&self) {
        let mut sockets = self.lock();
        sockets
            .open
            .retain(|socket, _| matches!(socket, Socket::Admin(_)));
        // Another server isn't to open them again.
        sockets.command_line = None;
    }

    /// The address of an open socket.
    pub(crate) fn address(&self, socket: &Socket) -> Option<Address> {
        self.lock().open.get(socket)?.address().ok()
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        // What it holds is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Answers until the server says how far it is; `None` once it has gone, or says what can't be understood. Dropping
    /// it loses nothing.
    pub(super) async fn stage(&mut self) -> Option<Stage> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let ((number, ask), _) = self.wire.receive().await.ok()??;
            self.under_way.retain(|_, task| !task.is_finished());
            match ask {
                Ask::Cancel(other) => {
                    if let Some(task) = self.under_way.remove(&other) {
                        task.abort();
                    }
                }
                Ask::Reached(stage) => {
                    self.begin(number, place, async { Ok((Answer::Done, None)) });
                    return Some(stage);
                }
                ask => {
                    let shared = Arc::clone(&self.shared);
                    self.begin(number, place, async move { shared.answer(ask).await });
                }
            }
        }
    }

    /// Tells the server something that it hasn't asked for, as soon as it reads: the keeper doesn't wait for that. What
    /// it hasn't read yet of before is forgotten.
    pub(super) fn note(&mut self, note: Note) {
        let wire = Arc::clone(&self.wire);
        let telling = async move {
            // One that has just ended needs no word.
            let _ = wire.send(&Told::Note(note), None).await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's: one, which ends with the server's line"
        )]
        let telling = tokio::spawn(telling);
        if let Some(before) = self.note.replace(telling.abort_handle()) {
            before.abort();
        }
    }

    fn begin(
        &mut self,
        number: u64,
        place: OwnedSemaphorePermit,
        work: impl Future<Output = Done> + Send + 'static,
    ) {
        let wire = Arc::clone(&self.wire);
        let task = async move {
            let (answer, file) = match work.await {
                Ok((answer, file)) => (Ok(answer), file),
                Err(failure) => (Err(failure), None),
            };
            let told = Told::Answer(number, answer);
            let _ = wire.send(&told, file.as_ref().map(OwnedFd::as_fd)).await;
            drop(place);
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the server's: as many as the desk has places, and they end with its line"
        )]
        let task = tokio::spawn(task);
        self.under_way.insert(number, task.abort_handle());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for task in self.under_way.values().chain(&self.note) {
            task.abort();
        }
    }
}

impl Wire {
    async fn receive(&self) -> io::Result<Option<((u64, Ask), Option<OwnedFd>)>> {
        let receive = || self.link.receive();
        self.watched.async_io(Interest::READABLE, receive).await
    }

    async fn send(&self, told: &Told, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let send = || self.link.send(told, file);
        self.watched.async_io(Interest::WRITABLE, send).await
    }
}

impl Shared {
    fn rights(&self) -> MutexGuard<'_, Arc<Rights>> {
        // What it holds is whole at any time.
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, ask: Ask) -> Done {
        let rights = Arc::clone(&self.rights());
        // The sockets of the command line are the operator's words themselves.
        let is_own = matches!(ask, Ask::Listen(Socket::CommandLine(_)));
        if !is_own && !rights.permit(&ask) {
            return Err(Failure::denied());
        }
        match ask {
            Ask::Code {
                path,
                compatibility,
            } => self.code(&path.to_path(), compatibility).await,
            Ask::Input => {
                let input = self.input.as_ref().map(OwnedFd::try_clone).transpose()?;
                Ok((Answer::File, input))
            }
            ask => self.blocking(ask, rights).await,
        }
    }

    /// The compiled code of a plugin's file, when it's its turn. Dropping it ends the compiler.
    async fn code(&self, path: &Path, compatibility: u64) -> Done {
        let turn = self.compiling.acquire().await;
        let _turn = turn.map_err(|_| Failure::new("the keeper ends"))?;
        let code = match self.cache.code(compatibility, path).await {
            Ok(code) => code,
            Err(Refused { digest, error }) => {
                let words = format!("{error:#}");
                let digest = digest.ok_or_else(|| Failure::new(&words))?;
                let answer = Answer::Refused {
                    digest: *digest.as_bytes(),
                    words: fitting(&words),
                };
                return Ok((answer, None));
            }
        };
        let answer = Answer::Code {
            digest: *code.digest.as_bytes(),
            size: code.size,
            compiled: code
                .compile_time
                .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        };
        Ok((answer, Some(code.file.as_fd().try_clone_to_owned()?)))
    }

    /// Does what may block in a thread of its own.
    async fn blocking(self: Arc<Self>, ask: Ask, rights: Arc<Rights>) -> Done {
        #[expect(
            clippy::disallowed_methods,
            reason = "the server's: as many as the desk has places; a disk that hangs must keep nobody else"
        )]
        let done = tokio::task::spawn_blocking(move || match ask {
            Ask::Listen(socket) => self.listen(socket),
            Ask::Unlisten(socket) => {
                let closed = self.opened.lock().open.remove(&socket);
                drop(closed);
                Ok((Answer::Done, None))
            }
            ask => rights.perform(&ask),
        });
        done.await
            .unwrap_or_else(|error| Err(Failure::new(&error.to_string())))
    }

    /// The socket: open already, or opened now. Blocks.
    fn listen(&self, socket: Socket) -> Done {
        let mut opened = self.opened.lock();
        if matches!(socket, Socket::CommandLine(_))
            && let Some(open) = opened.command_line.take()
        {
            let made =
                open(&self.inherited).map_err(|error| Failure::new(&format!("{error:#}")))?;
            opened
                .open
                .extend((0..).map(Socket::CommandLine).zip(made.0));
            opened.private = made.1;
        }
        let opened = &mut opened.open;
        if !opened.contains_key(&socket) {
            let made = match &socket {
                // There are no more.
                Socket::CommandLine(_) => return Err(Failure::denied()),
                Socket::Admin(inner) => {
                    address_of(inner).map(|address| OpenSocket::admin(&address))
                }
                other => {
                    address_of(other).map(|address| OpenSocket::open(&address, &self.inherited))
                }
            };
            let made =
                made.unwrap_or_else(|| anyhow::bail!("the configuration has no such socket"));
            let made = made.map_err(|error| Failure::new(&format!("{error:#}")))?;
            opened.insert(socket.clone(), made);
        }
        let open = &opened[&socket];
        let answer = Answer::Socket {
            name: open.name().map(str::to_owned),
            place: open.place().clone(),
        };
        Ok((answer, Some(open.as_fd().try_clone_to_owned()?)))
    }
}
