//! Requests in flight of one export or tenant, and their bytes. Requests that exceed a limit queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Limits on the requests and bytes that one export, or one tenant, may have in flight on all its connections.
///
/// Connections that have to wait are admitted in order of arrival, so that many small requests can't starve a large
/// one. If no other request is in flight, a request fits, however large it is.
#[derive(Debug)]
pub struct FlowQuota(Mutex<State>);

#[derive(Debug)]
struct State {
    most_requests: usize,
    most_bytes: u64,
    requests: usize,
    bytes: u64,
    queue: VecDeque<(u64, Waker)>,
    next: u64,
    /// Tasks to wake when a connection queues, each once.
    watching: Vec<(u64, Waker)>,
}

/// A connection's part in a flow: its place in the queue, and what it has in flight. Returned when it's dropped.
#[derive(Debug)]
pub struct FlowTicket {
    quota: Arc<FlowQuota>,
    waiting: Option<u64>,
    /// Its number in `State::watching`.
    watching: Option<u64>,
    requests: usize,
    bytes: u64,
}

impl FlowQuota {
    /// A quota of `requests` requests and `bytes` bytes.
    #[must_use]
    pub fn new(requests: usize, bytes: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            most_requests: requests,
            most_bytes: bytes,
            requests: 0,
            bytes: 0,
            queue: VecDeque::new(),
            next: 0,
            watching: Vec::new(),
        })))
    }

    /// Replaces the limits. Wakes a request that may fit now.
    pub fn set(&self, requests: usize, bytes: u64) {
        let mut state = self.state();
        state.most_requests = requests;
        state.most_bytes = bytes;
        state.wake_first();
        state.check();
    }

    /// Requests and bytes in flight.
    #[must_use]
    pub fn used(&self) -> (usize, u64) {
        let state = self.state();
        (state.requests, state.bytes)
    }

    /// Whether there is any limit, so that a request may have to wait.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let state = self.state();
        state.most_requests < usize::MAX || state.most_bytes < u64::MAX
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics half-way through a change while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fits(&self, bytes: u64) -> bool {
        let sum = self.bytes.checked_add(bytes);
        let fits = sum.is_some_and(|sum| sum <= self.most_bytes);
        self.requests == 0 || self.requests < self.most_requests && fits
    }

    fn wake_first(&self) {
        if let Some((_, waker)) = self.queue.front() {
            waker.wake_by_ref();
        }
    }

    /// Registers a task to be woken when a connection queues. Returns its number.
    fn watch(&mut self, watching: Option<u64>, waker: &Waker) -> u64 {
        let mut all = self.watching.iter_mut();
        if let Some((number, own)) = all.find(|(number, _)| watching == Some(*number)) {
            own.clone_from(waker);
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.watching.push((number, waker.clone()));
        number
    }

    fn leave_queue(&mut self, number: u64) {
        let first = self.queue.front().is_some_and(|(own, _)| *own == number);
        self.queue.retain(|(own, _)| *own != number);
        if first {
            self.wake_first();
        }
    }

    /// Checks the invariants at the end of each transition, in debug builds.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(
            self.requests > 0 || self.bytes == 0,
            "{} bytes of no request",
            self.bytes
        );
        // Numbers ascend, so no connection overtakes another one or is there twice.
        let in_order = |(one, _): &(u64, Waker), (two, _): &(u64, Waker)| one < two;
        assert!(
            self.queue
                .iter()
                .is_sorted_by(|one, two| in_order(one, two))
        );
        assert!(self.watching.is_sorted_by(in_order));
        let last = [self.queue.back(), self.watching.last()];
        assert!(last.iter().flatten().all(|(number, _)| *number < self.next));
    }
}

impl FlowTicket {
    /// A connection with nothing in flight.
    #[must_use]
    pub fn new(quota: Arc<FlowQuota>) -> Self {
        Self {
            quota,
            waiting: None,
            watching: None,
            requests: 0,
            bytes: 0,
        }
    }

    /// Admits a request of `bytes` bytes. If that returns `false`, the connection queues, and its task is woken when it
    /// should try again.
    #[must_use]
    pub fn enter(&mut self, bytes: u64, cx: &Context<'_>) -> bool {
        let mut state = self.quota.state();
        let first = state.queue.front().map(|(number, _)| *number);
        let my_turn = first.is_none() || first == self.waiting;
        if !my_turn || !state.fits(bytes) {
            self.waiting = Some(queue_up(&mut state, self.waiting, cx.waker()));
            self.check(&state);
            return false;
        }
        state.requests += 1;
        // A single request may exceed the limit, but by no more than the largest request.
        state.bytes = state.bytes.saturating_add(bytes);
        if let Some(number) = self.waiting.take() {
            state.leave_queue(number);
        }
        self.requests += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.check(&state);
        true
    }

    /// Whether the connection queues.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether another connection waits for a part of what this one has in flight. If not, and if there is anything in
    /// flight, this task is woken when one does.
    #[must_use]
    pub fn is_wanted(&mut self, cx: &Context<'_>) -> bool {
        if self.requests == 0 {
            return false;
        }
        let mut state = self.quota.state();
        let others = |(number, _): &(u64, Waker)| Some(*number) != self.waiting;
        if state.queue.iter().any(others) {
            return true;
        }
        self.watching = Some(state.watch(self.watching, cx.waker()));
        self.check(&state);
        false
    }

    /// Notes that a request of `bytes` bytes has ended.
    pub fn leave(&mut self, bytes: u64) {
        self.requests -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.give_back(1, bytes);
    }

    /// Leaves the queue; the connections behind this one move up.
    pub fn give_up(&mut self) {
        if let Some(number) = self.waiting.take() {
            let mut state = self.quota.state();
            state.leave_queue(number);
            self.check(&state);
        }
    }

    fn give_back(&self, requests: usize, bytes: u64) {
        let mut state = self.quota.state();
        state.requests -= requests;
        state.bytes = state.bytes.saturating_sub(bytes);
        state.wake_first();
        state.check();
    }

    /// Checks the invariants of this connection and of the flow, in debug builds.
    fn check(&self, state: &State) {
        if !cfg!(debug_assertions) {
            return;
        }
        state.check();
        assert!(self.requests <= state.requests && self.bytes <= state.bytes);
        let is_queued = |waiting| state.queue.iter().any(|(number, _)| *number == waiting);
        assert!(self.waiting.is_none_or(is_queued), "it isn't in the queue");
    }
}

/// Queues a task, or replaces the task of a connection that queues already. Returns its number.
fn queue_up(state: &mut State, waiting: Option<u64>, waker: &Waker) -> u64 {
    let place = state
        .queue
        .iter_mut()
        .find(|(number, _)| waiting == Some(*number));
    if let Some((number, own)) = place {
        own.clone_from(waker);
        return *number;
    }
    let number = state.next;
    state.next += 1;
    state.queue.push_back((number, waker.clone()));
    for (_, watching) in state.watching.drain(..) {
        watching.wake();
    }
    number
}

impl Drop for FlowTicket {
    fn drop(&mut self) {
        self.give_up();
        if let Some(watching) = self.watching {
            let mut state = self.quota.state();
            state.watching.retain(|(number, _)| *number != watching);
        }
        if self.requests > 0 {
            self.give_back(self.requests, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A connection, and a count of how often it was woken.
    fn connection(quota: &Arc<FlowQuota>) -> (FlowTicket, Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        (FlowTicket::new(Arc::clone(quota)), count, waker)
    }

    #[test]
    fn queued_connections_are_woken_in_order() {
        let quota = FlowQuota::new(1, 100);
        let (mut one, _, waker_1) = connection(&quota);
        let (mut two, woken_2, waker_2) = connection(&quota);
        let (mut three, woken_3, waker_3) = connection(&quota);
        assert!(one.enter(10, &Context::from_waker(&waker_1)));
        assert!(!two.enter(10, &Context::from_waker(&waker_2)));
        assert!(!three.enter(10, &Context::from_waker(&waker_3)));
        one.leave(10);
        assert_eq!(woken_2.0.load(Ordering::SeqCst), 1);
        assert_eq!(woken_3.0.load(Ordering::SeqCst), 0);
        // Not before the second connection, which came first.
        assert!(!three.enter(10, &Context::from_waker(&waker_3)));
        assert!(two.enter(10, &Context::from_waker(&waker_2)));
        assert_eq!(quota.used(), (1, 10));
    }

    #[test]
    fn one_request_always_fits_and_then_no_other() {
        let quota = FlowQuota::new(8, 100);
        let (mut one, _, waker) = connection(&quota);
        let cx = Context::from_waker(&waker);
        assert!(one.enter(u64::MAX, &cx));
        assert!(!one.enter(1, &cx));
        one.leave(u64::MAX);
        assert!(one.enter(60, &cx));
        assert!(one.enter(40, &cx));
        assert!(!one.enter(1, &cx));
    }

    #[test]
    fn a_connection_that_ends_returns_all_and_wakes_the_next() {
        let quota = FlowQuota::new(1, 100);
        let (mut one, _, waker_1) = connection(&quota);
        let (mut two, _, waker_2) = connection(&quota);
        let (mut three, woken_3, waker_3) = connection(&quota);
        assert!(one.enter(1, &Context::from_waker(&waker_1)));
        assert!(!two.enter(1, &Context::from_waker(&waker_2)));
        assert!(!three.enter(1, &Context::from_waker(&waker_3)));
        drop(two);
        assert_eq!(woken_3.0.load(Ordering::SeqCst), 1);
        drop(one);
        assert_eq!(quota.used(), (0, 0));
        assert!(three.enter(1, &Context::from_waker(&waker_3)));
    }

    #[test]
    fn a_connection_that_others_wait_for_is_woken() {
        let quota = FlowQuota::new(1, 100);
        let (mut one, woken, waker) = connection(&quota);
        let (mut two, _, waker_2) = connection(&quota);
        let cx = Context::from_waker(&waker);
        assert!(!one.is_wanted(&cx), "it holds nothing");
        assert!(one.enter(1, &cx));
        for _ in 0..3 {
            assert!(!one.is_wanted(&cx));
        }
        assert_eq!(quota.state().watching.len(), 1);
        assert!(!one.enter(1, &cx));
        assert!(!one.is_wanted(&cx), "it waits for itself");
        let before = woken.0.load(Ordering::SeqCst);
        assert!(!two.enter(1, &Context::from_waker(&waker_2)));
        assert!(woken.0.load(Ordering::SeqCst) > before);
        assert!(one.is_wanted(&cx));
        drop(two);
        assert!(!one.is_wanted(&cx));
        drop(one);
        assert!(quota.state().watching.is_empty());
    }

    #[test]
    fn a_higher_limit_wakes_the_first_in_the_queue() {
        let quota = FlowQuota::new(1, 100);
        let (mut one, woken, waker) = connection(&quota);
        let cx = Context::from_waker(&waker);
        assert!(one.enter(1, &cx));
        assert!(!one.enter(1, &cx));
        quota.set(2, 100);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(one.enter(1, &cx));
    }
}
