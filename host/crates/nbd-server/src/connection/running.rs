//! Runs the requests that a connection has begun, until they end.
//!
//! Most requests end at their first poll. Such a request needs neither an allocation nor a place among those that wait,
//! because its box is kept for the next one. A future moves once, into its box. While it is polled, its request is the
//! thread's [`Origin`].
//!
//! The boxes hold futures of any type, so their owner needs no name for the type. The price is a virtual call for each
//! poll.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use device::origin::Origin;
use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::ReusableBoxFuture;

/// Requests under way, each with a result of type `T`. Dropping it gives all of them up.
pub(super) struct Running<'a, T> {
    pending: FuturesUnordered<Pending<'a, T>>,
    /// The box of a request that has ended, for the next request.
    spare: Option<ReusableBoxFuture<'a, T>>,
}

impl<T> Default for Running<'_, T> {
    fn default() -> Self {
        Self {
            pending: FuturesUnordered::new(),
            spare: None,
        }
    }
}

impl<'a, T> Running<'a, T> {
    /// Begins a request and polls it once. If it has to wait, [`poll_done`](Self::poll_done) returns its result later.
    pub(super) fn begin<F>(&mut self, origin: Origin, request: F, cx: &mut Context<'_>) -> Poll<T>
    where
        F: Future<Output = T> + Send + 'a,
    {
        let mut future = match self.spare.take() {
            Some(mut spare) => {
                spare.set(request);
                spare
            }
            None => ReusableBoxFuture::new(request),
        };
        let polled = origin.enter(|| future.poll(cx));
        if polled.is_ready() {
            self.spare = Some(future);
        } else {
            self.pending.push(Pending { origin, future });
        }
        polled
    }

    /// Returns the result of a request that had to wait and has ended. If there is none, returns `Pending` and wakes
    /// the task when one ends.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.pending).poll_next(cx)) {
            Some(done) => Poll::Ready(done),
            None => Poll::Pending,
        }
    }

    /// Whether all requests have ended and their results were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// A request that has to wait.
struct Pending<'a, T> {
    origin: Origin,
    future: ReusableBoxFuture<'a, T>,
}

impl<T> Future for Pending<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.origin.enter(|| self.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    fn origin(request: u64) -> Origin {
        Origin {
            connection: 1,
            request,
        }
    }

    fn begin<'a, T>(
        running: &mut Running<'a, T>,
        request: u64,
        future: impl Future<Output = T> + Send + 'a,
    ) -> Poll<T> {
        running.begin(
            origin(request),
            future,
            &mut Context::from_waker(Waker::noop()),
        )
    }

    fn done<T>(running: &mut Running<'_, T>) -> Poll<T> {
        running.poll_done(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_request_that_ends_at_once_is_never_pending() {
        let mut running = Running::default();
        assert_eq!(begin(&mut running, 1, ready(7)), Poll::Ready(7));
        assert!(running.is_empty());
        assert_eq!(done(&mut running), Poll::Pending);
        assert_eq!(begin(&mut running, 2, async { 8 }), Poll::Ready(8));
    }

    #[test]
    fn requests_that_wait_end_in_any_order() {
        let mut running = Running::default();
        let (first, second) = (oneshot::channel(), oneshot::channel());
        assert!(begin(&mut running, 1, first.1).is_pending());
        assert!(begin(&mut running, 2, second.1).is_pending());
        assert_eq!(begin(&mut running, 3, ready(Ok(3))), Poll::Ready(Ok(3)));
        assert_eq!(done(&mut running), Poll::Pending);
        second.0.send(2).unwrap();
        assert_eq!(done(&mut running), Poll::Ready(Ok(2)));
        assert!(!running.is_empty());
        first.0.send(1).unwrap();
        assert_eq!(done(&mut running), Poll::Ready(Ok(1)));
        assert!(running.is_empty());
    }

    #[test]
    fn each_poll_has_the_origin_of_its_request() {
        let mut running = Running::default();
        let mut polls = 0;
        let waits_once = poll_fn(move |cx| {
            assert_eq!(Origin::current(), Some(origin(5)));
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(begin(&mut running, 5, waits_once).is_pending());
        assert_eq!(Origin::current(), None);
        assert!(done(&mut running).is_ready());
        assert_eq!(Origin::current(), None);
    }

    #[test]
    fn the_box_of_a_request_that_ends_at_once_is_kept_for_the_next() {
        let mut running = Running::default();
        for request in 1..4 {
            assert!(begin(&mut running, request, ready(Ok(()))).is_ready());
            assert!(running.spare.is_some(), "request {request}");
        }
        let (sender, waits) = oneshot::channel();
        assert!(begin(&mut running, 4, waits).is_pending());
        assert!(running.spare.is_none());
        sender.send(()).unwrap();
        assert!(done(&mut running).is_ready());
    }
}
