//! Checks the requests of one server against its rights, and does them.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nbdbox_config::config::Part;
use outside::{Answer, Failure, Link, Request, Rights, Socket, fitting};
use runtime::cache::Refused;
use tokio::sync::Semaphore;

use super::line::Line;
use super::stock::Stock;
use crate::machine;

/// The most requests of a server in flight. Beyond them the keeper stops reading from the server. Restrains only a
/// server that sends without end, because a server sends requests from its lanes, which have eight threads each.
const MOST: usize = 1024;

/// The desk of a server. It outlives the server's process, and serves the next one.
pub(super) struct Desk {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    /// The rights that the last reload granted, while the server may still use the earlier ones, too.
    next: Option<Rights>,
}

/// The data that the tasks share that answer a server.
pub(super) struct Shared {
    part: Part,
    stock: Arc<Stock>,
    rights: Mutex<Arc<Rights>>,
    /// The server's compilers at work. At least two, so that the compiler of one tenant doesn't hold up another tenant.
    compiling: Semaphore,
}

/// The most compilers of one server at work.
pub(super) fn compilers() -> usize {
    machine::cores().max(2)
}

/// The answer to a request, with the descriptor that the message carries.
pub(super) type Done = Result<(Answer, Option<OwnedFd>), Failure>;

impl Desk {
    /// The desk of the server that serves `part`.
    pub(super) fn new(stock: &Arc<Stock>, part: Part, mut rights: Rights) -> Self {
        if stock.input.is_some() {
            rights.allow_input();
        }
        Self {
            shared: Arc::new(Shared {
                part,
                stock: Arc::clone(stock),
                rights: Mutex::new(Arc::new(rights)),
                compiling: Semaphore::new(compilers()),
            }),
            places: Arc::new(Semaphore::new(MOST)),
            next: None,
        }
    }

    /// Grants rights after a reload. The server keeps the earlier ones until the next [`settle`](Self::settle), since
    /// it hasn't read the new configuration yet.
    pub(super) fn grant(&mut self, rights: Rights) {
        let mut both = self.shared.rights();
        *both = Arc::new(rights.clone().with(&both));
        drop(both);
        self.next = Some(rights);
    }

    /// Keeps the earlier rights: the server's reload failed, and it goes on as before.
    pub(super) fn keep_both(&mut self) {
        self.next = None;
    }

    /// Withdraws the earlier rights: the server has read the new configuration.
    pub(super) fn settle(&mut self) {
        if let Some(rights) = self.next.take() {
            *self.shared.rights() = Arc::new(rights);
        }
    }

    /// Begins to answer the server at the other end of a link. Must be called in a runtime of tokio.
    ///
    /// # Errors
    /// The runtime can't watch the link.
    pub(super) fn line(&self, link: Link) -> io::Result<Line> {
        let line = Line::new(link, Arc::clone(&self.shared), Arc::clone(&self.places))?;
        let Shared { part, stock, .. } = &*self.shared;
        if *part != Part::Admin {
            stock.seat(part, line.wire());
        }
        Ok(line)
    }
}

impl Shared {
    fn rights(&self) -> MutexGuard<'_, Arc<Rights>> {
        // No operation leaves it half-done.
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a request. Dropping the future kills a compiler that works for it. Other work runs to its end, and its
    /// answer is lost.
    pub(super) async fn answer(self: Arc<Self>, request: Request) -> Done {
        let rights = Arc::clone(&self.rights());
        // The command line itself allows its sockets.
        let is_own = matches!(request, Request::Listen(Socket::CommandLine(_)));
        if !is_own && !rights.permit(&request) {
            return Err(Failure::denied());
        }
        match request {
            Request::Code {
                path,
                compatibility,
            } => self.code(&path.to_path(), compatibility).await,
            Request::Input => {
                let input = self.stock.input.as_ref().map(OwnedFd::try_clone);
                Ok((Answer::File, input.transpose()?))
            }
            Request::Visit(number) => Ok(self.stock.visit(number).await?),
            request => self.blocking(request, rights).await,
        }
    }

    /// The compiled code of a plugin's file. Waits for a free compiler. Dropping the future kills the compiler.
    async fn code(&self, path: &Path, compatibility: u64) -> Done {
        if !self.stock.is_compatible(compatibility) {
            return Err(Failure::denied());
        }
        let ends = |_| Failure::new("the keeper is about to end");
        let _own = self.compiling.acquire().await.map_err(ends)?;
        let _turn = self.stock.compiling.acquire().await.map_err(ends)?;
        let code = match self.stock.cache.code(compatibility, path).await {
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

    /// Does a request that may block, on a thread of its own.
    async fn blocking(self: Arc<Self>, request: Request, rights: Arc<Rights>) -> Done {
        #[expect(
            clippy::disallowed_methods,
            reason = "owner: the server; as many as the desk has places. A disk that hangs must hold up no other server"
        )]
        let done = tokio::task::spawn_blocking(move || {
            let Self { part, stock, .. } = &*self;
            match request {
                Request::Listen(socket) => {
                    let taken = stock.opened.take(part, &socket, &stock.inherited);
                    taken.map(|(answer, file)| (answer, Some(file)))
                }
                Request::Unlisten(socket) => {
                    stock.opened.give_up(part, &socket);
                    Ok((Answer::Done, None))
                }
                request => rights.perform(&request),
            }
        });
        done.await
            .unwrap_or_else(|error| Err(Failure::new(&error.to_string())))
    }
}
