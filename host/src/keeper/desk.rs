//! Where one server's requests are checked against its rights, and done.

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

/// A server's requests under way at once. Beyond them the keeper reads no more from it: a server sends requests from its
/// lanes, of which each has eight threads, so only one that sends without end comes to wait.
const MOST: usize = 1024;

/// The desk of a server. It stays when the server's process dies and is started again.
pub(super) struct Desk {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    /// The rights that were granted last, while the server may still use the earlier ones.
    next: Option<Rights>,
}

/// What the tasks that answer a server have in common.
pub(super) struct Shared {
    part: Part,
    stock: Arc<Stock>,
    rights: Mutex<Arc<Rights>>,
    /// This server's compilers at work at once: two at least, since a tenant has one at a time.
    compiling: Semaphore,
}

/// A server's compilers at work at once.
pub(super) fn compilers() -> usize {
    machine::cores().max(2)
}

/// A request's answer, with a descriptor that goes along.
pub(super) type Done = Result<(Answer, Option<OwnedFd>), Failure>;

impl Desk {
    /// The desk of the server of a part.
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

    /// From here on the server has these rights. It keeps the earlier ones until the next [`settle`](Self::settle), since
    /// it hasn't read the configuration again yet.
    pub(super) fn grant(&mut self, rights: Rights) {
        let mut both = self.shared.rights();
        *both = Arc::new(rights.clone().with(&both));
        drop(both);
        self.next = Some(rights);
    }

    /// The server has read the configuration again and goes on as before: it needs its earlier rights still.
    pub(super) fn keep_both(&mut self) {
        self.next = None;
    }

    /// The server has read the configuration again: the rights that were granted last are all that it has.
    pub(super) fn settle(&mut self) {
        if let Some(rights) = self.next.take() {
            *self.shared.rights() = Arc::new(rights);
        }
    }

    /// Begins to answer the server at the other end of a link. Must be called in a runtime.
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

    /// Does a request. Dropping it ends a compiler that works on it; other work goes on to its end, unheard.
    pub(super) async fn answer(self: Arc<Self>, request: Request) -> Done {
        let rights = Arc::clone(&self.rights());
        // The sockets of the command line are the operator's words themselves.
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

    /// The compiled code of a plugin's file, once a compiler is free. Dropping it ends the compiler.
    async fn code(&self, path: &Path, compatibility: u64) -> Done {
        if !self.stock.is_compatible(compatibility) {
            return Err(Failure::denied());
        }
        let ends = |_| Failure::new("the keeper ends");
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

    /// Does work that may block, in a thread of its own.
    async fn blocking(self: Arc<Self>, request: Request, rights: Arc<Rights>) -> Done {
        #[expect(
            clippy::disallowed_methods,
            reason = "the server's: as many as the desk has places; a disk that hangs must keep nobody else"
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
