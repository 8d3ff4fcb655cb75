//! The pool of one layer's instances. It lends an instance to one call at a time, makes room for new ones when calls
//! need them, and drops broken ones.
//!
//! The pool knows nothing of wasm. What it lends has a number, and tells whether it has changes to flush.

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

/// The first pause after a crash. It doubles with each further crash.
const BACKOFF: Duration = Duration::from_millis(10);

/// The longest pause after crashes.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// A queued request checks this many times, over its remaining time, whether its clock should stand still. Must be at
/// least 2.
const LOOKS: u32 = 8;

/// The shortest time between two of these checks.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// What a pool lends.
pub(crate) trait Pooled {
    /// The number of the vacancy that it was made for.
    fn number(&self) -> u64;

    /// Whether it took a change since its last flush.
    fn is_dirty(&self) -> bool;
}

/// Instances, some of them idle, some lent.
///
/// Each instance is idle or has a permit, and the pool makes one only if none is idle. So there are never more
/// instances than permits. A permit is free, put aside, or held: by a call that is about to use it, by a lease or a
/// vacancy, or by an instance that was handed to a flush.
pub(crate) struct Pool<T> {
    /// The number of permits, free or not.
    most: usize,
    permits: Semaphore,
    /// The tenant's quota of instances, for all of its exports together.
    quota: Arc<CountQuota>,
    state: Mutex<State<T>>,
    returned: Notify,
    metrics: Arc<Metrics>,
    /// Losses of changes that an instance took and that were lost with it, or by a failed flush.
    losses: Arc<Losses>,
}

struct State<T> {
    idle: Vec<Member<T>>,
    /// Returned instances that a flush waits for, each with its permit.
    handed: Vec<Member<T>>,
    /// The numbers of the instances that flushes wait for, and how many flushes wait for each.
    wanted: BTreeMap<u64, u32>,
    /// The numbers of the instances that took a change since their last flush.
    dirty: BTreeSet<u64>,
    next_number: u64,
    /// Places in use: by instances, idle, lent or leaving, and by vacancies.
    taken: usize,
    /// Instances that were idle and are being dropped. They have no permit, but their places until they are gone.
    leaving: usize,
    /// Permits that were put aside because the tenant's quota had no room. Calls wait for the existing instances
    /// instead.
    put_aside: usize,
    crashes: Backoff,
    /// The deadlines of the requests that have an instance or a vacancy.
    holders: Vec<Deadline>,
    /// Whether the pool lends and makes no instances any more, except for flushes.
    closed: bool,
}

/// An instance, and its permit from the tenant's quota, which is returned after the instance is gone.
struct Member<T> {
    instance: T,
    _share: Option<CountPermit>,
}

/// The outcome of [`Pool::acquire`].
pub(crate) enum Acquired<'a, T: Pooled> {
    /// An open instance.
    Ready(Lease<'a, T>),
    /// A place for a new instance, which the caller has to make.
    Vacant(Vacancy<'a, T>),
    /// There has just been a crash. The caller must wait for this time before it tries again.
    Later(Duration),
    /// The export has failed for good.
    Closed,
    /// The tenant has as many instances as it may, and none of them is this export's.
    Full,
}

impl<T: Pooled> Pool<T> {
    /// A pool of at most `most` instances, 1 or more. `first` is the first one, and `share` its permit from the
    /// tenant's quota.
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
            leaving: 0,
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

    /// Checks the invariants at the end of each transition, in debug builds.
    fn check(&self, state: &State<T>) {
        if !cfg!(debug_assertions) {
            return;
        }
        let (idle, handed) = (state.idle.len(), state.handed.len());
        let used = handed + state.holders.len();
        assert_eq!(state.taken, idle + state.leaving + used, "places");
        assert!(idle + used <= self.most, "more instances than permits");
        // Calls that are about to use a permit hold those that are missing here.
        let permits = self.permits.available_permits() + state.put_aside + used;
        assert!(permits <= self.most, "{permits} of {} permits", self.most);
        assert!(state.dirty.len() <= idle + used, "a dirty one is gone");
        let is_wanted = |member: &Member<T>| state.wanted.contains_key(&member.instance.number());
        assert!(state.handed.iter().all(is_wanted), "handed to nobody");
        assert!(state.wanted.values().all(|flushes| *flushes > 0));
        let mut kept = state.idle.iter().chain(&state.handed);
        assert!(kept.all(|Member { instance, .. }| {
            instance.is_dirty() == state.dirty.contains(&instance.number())
        }));
    }

    /// Waits for an instance, or for the place to make one, in the order of the calls. The request's clock stands still
    /// while the clocks of all requests that have an instance do. Dropping the future leaves the queue, and returns the
    /// permit if there is one.
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

    /// Waits for a permit, and counts the wait. It never returns `None`, because the semaphore is never closed.
    async fn wait(&self, request: &Deadline) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        let start = Instant::now();
        let waited = self.queue(request, self.permits.acquire()).await;
        self.metrics.instance_waits.note(start.elapsed());
        Ok(waited?.ok())
    }

    /// Waits for something that a holder of an instance has to bring, as long as the request has time. As safe to drop
    /// as `wait`.
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

    /// Uses a permit. Returns `None` if there's nothing to use it for now, so that the caller must wait for another.
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
            // One of the existing instances will come back, with a permit of its own.
            permit.forget();
            state.put_aside += 1;
            self.check(&state);
            return None;
        };
        let number = state.next_number;
        state.next_number += 1;
        state.taken += 1;
        let vacancy = Vacancy::new(self, &mut state, permit, share, number, request.clone());
        Some(Acquired::Vacant(vacancy))
    }

    /// Returns a permit that was put aside to the free ones, if a place may have come free, here or in another export.
    fn try_again(&self, state: &mut State<T>) {
        if state.put_aside > 0 && (state.taken == 0 || self.quota.has_room()) {
            state.put_aside -= 1;
            self.permits.add_permits(1);
        }
    }

    /// Drops the idle instances, so that other exports of the tenant can have their places. Keeps those with changes to
    /// flush.
    pub(crate) fn release_idle(&self) {
        let mut state = self.state();
        let State { idle, dirty, .. } = &mut *state;
        let (keep, rest): (Vec<_>, Vec<_>) = std::mem::take(idle)
            .into_iter()
            .partition(|member| dirty.contains(&member.instance.number()));
        *idle = keep;
        let count = rest.len();
        state.leaving += count;
        self.check(&state);
        drop(state);
        // This takes a while. Their places stay taken, so a call that meanwhile finds no room in the quota queues instead
        // of failing.
        drop(rest);
        let mut state = self.state();
        state.leaving -= count;
        state.taken -= count;
        for _ in 0..count {
            self.try_again(&mut state);
        }
        self.check(&state);
    }

    /// Makes the pool lend and make no instances from now on, except for flushes.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    /// Whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The losses of changes that instances took.
    pub(crate) fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// Whether an instance has changes to flush.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.state().dirty.is_empty()
    }

    /// The instances that have changes to flush now, for a flush to take one after the other. Dropping the result lets
    /// other calls have them.
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

    /// Whether the clocks of all holders stand still, because they wait for a blob or a core. Then no instance comes
    /// back, and that isn't the holders' fault.
    fn is_standing_still(&self) -> bool {
        !self.holders.is_empty() && self.holders.iter().all(Deadline::is_standing_still)
    }

    /// Removes a request from the holders.
    fn let_go(&mut self, request: &Deadline) {
        if let Some(index) = self.holders.iter().position(|own| own.is_same(request)) {
            self.holders.swap_remove(index);
        }
    }

    /// Called when one flush no longer waits for the instance `number`. Returns the number of permits that came free:
    /// if no other flush waits for an instance that was handed over, it becomes idle.
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
