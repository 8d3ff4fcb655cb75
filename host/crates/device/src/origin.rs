//! The request that a thread works for.
//!
//! It lets each log line, the plugin's own included, name its request, although no call passes the number along. A
//! thread has it while it polls the request. Setting it costs two stores; a request that logs nothing costs nothing
//! else.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;

use tracing::field::DisplayValue;

/// A request, as the log names it: `7.12` is the twelfth request of the seventh connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The connection's number, from 1, unique in the process.
    pub connection: u64,
    /// The request's number on its connection, from 1, in the order of the wire; 0 is the handshake. It isn't the
    /// cookie, which the client chooses.
    pub request: u64,
}

thread_local! {
    static CURRENT: Cell<Option<Origin>> = const { Cell::new(None) };
}

impl Origin {
    /// The request that this thread works for now, if any.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// The current request as a field of a log line, which omits `None`.
    #[must_use]
    pub fn field() -> Option<DisplayValue<Self>> {
        Self::current().map(tracing::field::display)
    }

    /// Wraps a future for another task, so that it runs there on behalf of the request that this thread works for now.
    pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let origin = Self::current();
        async move {
            match origin {
                Some(origin) => origin.scope(future).await,
                None => future.await,
            }
        }
    }

    /// Runs a future on behalf of this request. This moves the future once more; for a large one, call
    /// [`enter`](Self::enter) around each poll instead.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.enter(|| future.as_mut().poll(cx))).await
    }

    /// Runs `work` on this thread on behalf of this request. Afterwards the previous request is current again, also if
    /// `work` panics.
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

/// Restores the previous request when a poll ends or panics.
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
