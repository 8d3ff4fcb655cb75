//! On whose behalf a thread works: which request of which connection.
//!
//! So that a line in the log, the plugin's own included, says which request it belongs to, without the
//! number being handed through every call. It's the thread's for as long as the request is polled, and
//! setting it costs two stores; nothing else is done for a request that logs nothing.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;

use tracing::field::DisplayValue;

/// A request, as the log names it: `7.12` is the twelfth of the seventh connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The connection's number, from 1: no two of a process have the same.
    pub connection: u64,
    /// The request's number on its connection, from 1, in the order of the wire. Not its cookie, which is
    /// the client's to choose; 0 is the handshake.
    pub request: u64,
}

thread_local! {
    static CURRENT: Cell<Option<Origin>> = const { Cell::new(None) };
}

impl Origin {
    /// On whose behalf this thread works, if on anybody's.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// It as a field of a line of the log: `None` is left out.
    #[must_use]
    pub fn field() -> Option<DisplayValue<Self>> {
        Self::current().map(tracing::field::display)
    }

    /// Takes it along to another task: runs a future there on behalf of whom this thread works for now.
    pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let origin = Self::current();
        async move {
            match origin {
                Some(origin) => origin.scope(future).await,
                None => future.await,
            }
        }
    }

    /// Runs a future on behalf of this request. The future is moved once more: who polls a large one calls
    /// [`enter`](Self::enter) around each poll instead.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.enter(|| future.as_mut().poll(cx))).await
    }

    /// Does a piece of work on behalf of this request, on this thread. What was set before is put back after it,
    /// also if the work panics.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        let _outer = Restore(CURRENT.replace(Some(self)));
        work()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.request)
    }
}

/// Puts back what was there, whichever way the poll ends.
struct Restore(Option<Origin>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn it_is_the_threads_only_while_the_future_is_polled() {
        let origin = |request| Origin {
            connection: 1,
            request,
        };
        let inner = origin(2).scope(async { Origin::current() });
        let outer = origin(1).scope(async { (inner.await, Origin::current()) });
        assert_eq!(
            outer.now_or_never(),
            Some((Some(origin(2)), Some(origin(1))))
        );
        assert_eq!(Origin::current(), None);
        let mut waiting = Box::pin(origin(3).scope(std::future::pending::<()>()));
        assert_eq!((&mut waiting).now_or_never(), None);
        assert_eq!(Origin::current(), None);
    }
}
