//! The instances of one export: lent to one call at a time, made when needed, dropped when broken.
//!
//! Knows nothing of wasm: what is lent has a number, and says whether it has something to flush.

mod dirty;
mod lease;
mod vacancy;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use device::fault::Failure;
use device::metrics::{Budget, Metrics};
use device::{Deadline, Losses};
use quota::{Backoff, CountPermit, CountQuota};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

pub(crate) use self::dirty::Dirty;
pub(crate) use self::lease::Lease;
pub(crate) use self::vacancy::Vacancy;

/// The first pause after a crash; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// How often a request that queues looks whether its time stands still, until that is up. Must be 2 or more.
const LOOKS: u32 = 8;

/// The shortest time between two looks.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// What a pool lends.
pub(crate) trait Pooled {
    /// The number of the vacancy that it was made for.
    fn number(&self) -> u64;

    /// Whether it took a change since it was last flushed.
    fn is_dirty(&self) -> bool;
}

/// Instances, some idle, some lent.
///
/// Each instance that exists has a permit or is idle, so that there are never more than permits. A permit is free, or
/// held: by a call that is about to use it, by a lease or a vacancy, by an instance that was handed to a flush; or it's
/// put aside.
pub(crate) struct Pool<T> {
    /// Permits that there are, free or not.
    most: usize,
    permits: Semaphore,
    /// Those of the tenant, all exports together.
    quota: Arc<CountQuota>,
    state: Mutex<State<T>>,
    returned: Notify,
    metrics: Arc<Metrics>,
    /// Instances that had taken changes and were lost before those were flushed.
    losses: Arc<Losses>,
}

struct State<T> {
    idle: Vec<Member<T>>,
    /// Returned instances that a flush waits for, each with its permit.
    handed: Vec<Member<T>>,
    /// Numbers of instances that flushes wait for, and how many do.
    wanted: BTreeMap<u64, u32>,
    /// Numbers of instances that took a change since their last flush.
    dirty: BTreeSet<u64>,
    next_number: u64,
    /// Places that are taken: by instances, lent or not, and by those that are being made.
    taken: usize,
    /// Permits that were put aside when the tenant's quota had no room: calls wait for the instances
    /// that there are.
    put_aside: usize,
    crashes: Backoff,
    /// What is left to the requests that have an instance or a place to make one.
    holders: Vec<Deadline>,
    /// No instance is to be made again.
    closed: bool,
}

/// An instance, and its place among its tenant's, which comes free after it's gone.
struct Member<T> {
    instance: T,
    _share: Option<CountPermit>,
}

/// What a caller gets.
pub(crate) enum Acquired<'a, T: Pooled> {
    /// An instance that is open.
    Ready(Lease<'a, T>),
    /// A place in which to make one.
    Vacant(Vacancy<'a, T>),
    /// There has just been a crash: not yet.
    Later(Duration),
    /// Never again.
    Closed,
    /// The tenant has as many instances as it may, and this export none.
    Full,
}

impl<T: Pooled> Pool<T> {
    /// A pool for at most `most` instances, 1 or more, with the first one and its place among its tenant's.
    pub(crate) fn new(
        most: usize,
        quota: Arc<CountQuota>,
        metrics: Arc<Metrics>,
        first: T,
        share: CountPermit,
    ) -> Self {
        let state = State {
            next_number: first.number() + 1,
            idle: vec![Member {
                instance: first,
                _share: Some(share),
            }],
            handed: Vec::new(),
            wanted: BTreeMap::new(),
            dirty: BTreeSet::new(),
            taken: 1,
            put_aside: 0,
            crashes: Backoff::new(BACKOFF, LONGEST_BACKOFF),
            holders: Vec::new(),
            closed: false,
        };
        Self {
            most,
            permits: Semaphore::new(most),
            quota,
            state: Mutex::new(state),
            returned: Notify::new(),
            metrics,
            losses: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that holds the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds at the end of each transition, in debug builds.
    fn check(&self, state: &State<T>) {
        if !cfg!(debug_assertions) {
            return;
        }
        let (idle, handed) = (state.idle.len(), state.handed.len());
        assert!(idle + handed <= state.taken, "an instance has no place");
        // Those that are missing here are held by calls that are about to use them.
        let permits = self.permits.available_permits() + state.put_aside + (state.taken - idle);
        assert!(permits <= self.most, "{permits} of {} permits", self.most);
        let is_wanted = |member: &Member<T>| state.wanted.contains_key(&member.instance.number());
        assert!(state.handed.iter().all(is_wanted), "handed to nobody");
        assert!(state.wanted.values().all(|flushes| *flushes > 0));
        let mut kept = state.idle.iter().chain(&state.handed);
        assert!(kept.all(|Member { instance, .. }| {
            instance.is_dirty() == state.dirty.contains(&instance.number())
        }));
    }

    /// Waits for an instance, or for the place to make one, in the order of asking, for a request that has so much
    /// time left. Its time stands still while all that have an instance wait with theirs standing still.
    ///
    /// # Errors
    /// The request has ended.
    pub(crate) async fn acquire(&self, request: &Deadline) -> Result<Acquired<'_, T>, Failure> {
        loop {
            let permit = match self.permits.try_acquire() {
                Ok(permit) => permit,
                Err(_) => match self.wait(request).await? {
                    Some(permit) => permit,
                    None => return Ok(Acquired::Closed),
                },
            };
            if let Some(acquired) = self.try_use(permit, request) {
                return Ok(acquired);
            }
        }
    }

    /// Waits for a permit; `None` if there will be none, which isn't so: the semaphore is never closed.
    async fn wait(&self, request: &Deadline) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        let start = Instant::now();
        let waited = self.queue(request, self.permits.acquire()).await;
        self.metrics.instance_waits.note(start.elapsed());
        Ok(waited?.ok())
    }

    /// Waits for something that those who have an instance are to bring, for as long as the request has time.
    ///
    /// # Errors
    /// The request has ended.
    async fn queue<F: Future>(&self, request: &Deadline, wait: F) -> Result<F::Output, Failure> {
        let mut wait = pin!(wait);
        loop {
            request.check()?;
            let start = Instant::now();
            let step = (request.left(start) / LOOKS).max(SHORTEST_LOOK);
            tokio::select! {
                biased;
                done = &mut wait => return Ok(done),
                () = request.abandoned() => return Err(Failure::hung_up()),
                () = sleep(step) => {
                    if self.state().is_standing_still() {
                        request.forgive(start.elapsed());
                    }
                }
            }
        }
    }

    /// What a permit is good for; `None`: for nothing now, wait for another.
    fn try_use<'a>(
        &'a self,
        permit: SemaphorePermit<'a>,
        request: &Deadline,
    ) -> Option<Acquired<'a, T>> {
        let mut state = self.state();
        if state.closed {
            return Some(Acquired::Closed);
        }
        if let Some(member) = state.idle.pop() {
            self.check(&state);
            let lease = Lease::new(self, &mut state, member, Some(permit), request.clone());
            return Some(Acquired::Ready(lease));
        }
        if let Some(wait) = state.crashes.wait(Instant::now()) {
            return Some(Acquired::Later(wait));
        }
        let Some(share) = self.quota.take() else {
            self.metrics.refusals(Budget::Instances).one();
            if state.taken == 0 {
                return Some(Acquired::Full);
            }
            // One of those that there are will come back, with a permit of its own.
            permit.forget();
            state.put_aside += 1;
            self.check(&state);
            return None;
        };
        let number = state.next_number;
        state.next_number += 1;
        state.taken += 1;
        self.check(&state);
        let vacancy = Vacancy::new(self, &mut state, permit, share, number, request.clone());
        Some(Acquired::Vacant(vacancy))
    }

    /// A place came free, here or maybe in another export: a permit that was put aside may be of use.
    fn try_again(&self, state: &mut State<T>) {
        if state.put_aside > 0 && (state.taken == 0 || self.quota.has_room()) {
            state.put_aside -= 1;
            self.permits.add_permits(1);
        }
    }

    /// Drops the instances that nobody uses, for others of the tenant. Those with changes to flush stay.
    pub(crate) fn release_idle(&self) {
        let mut state = self.state();
        let State { idle, dirty, .. } = &mut *state;
        let (keep, rest): (Vec<_>, Vec<_>) = std::mem::take(idle)
            .into_iter()
            .partition(|member| dirty.contains(&member.instance.number()));
        *idle = keep;
        state.taken -= rest.len();
        self.check(&state);
        drop(state);
        drop(rest);
    }

    /// No instance is lent or made from now on, except to be flushed.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    /// Whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// What was lost of the changes that instances took.
    pub(crate) fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// Whether an instance has something to flush.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.state().dirty.is_empty()
    }

    /// The instances that have something to flush now, to be had one after the other.
    pub(crate) fn dirty(&self) -> Dirty<'_, T> {
        let mut state = self.state();
        let numbers = state.dirty.clone();
        for number in &numbers {
            *state.wanted.entry(*number).or_default() += 1;
        }
        Dirty::new(self, numbers)
    }
}

impl<T: Pooled> State<T> {
    /// Whether a flush waits for any instance.
    fn is_awaited(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether all that have an instance wait, for a source or a core, so that nothing comes back by their own fault.
    fn is_standing_still(&self) -> bool {
        !self.holders.is_empty() && self.holders.iter().all(Deadline::is_standing_still)
    }

    /// A request has no instance any more.
    fn let_go(&mut self, request: &Deadline) {
        if let Some(index) = self.holders.iter().position(|own| own.is_same(request)) {
            self.holders.swap_remove(index);
        }
    }

    /// A flush doesn't wait for this one any more. Returns how many permits came free.
    fn unwant(&mut self, number: u64) -> usize {
        if let Some(count) = self.wanted.get_mut(&number) {
            *count -= 1;
            if *count > 0 {
                return 0;
            }
        }
        self.wanted.remove(&number);
        match self
            .handed
            .iter()
            .position(|one| one.instance.number() == number)
        {
            Some(index) => {
                let member = self.handed.swap_remove(index);
                self.idle.push(member);
                1
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests;
