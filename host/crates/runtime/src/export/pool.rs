//! The instances of one export: lent to one call at a time, made when needed, dropped when broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use device::metrics::{Budget, Metrics};
use quota::{Backoff, CountQuota, CountShare};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::instance::Instance;

/// The first pause after a crash; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// Instances, some idle, some lent.
///
/// Each instance that exists has a permit or is idle, so that there are never more than permits.
pub(crate) struct Pool {
    permits: Semaphore,
    /// Those of the tenant, all exports together.
    quota: Arc<CountQuota>,
    state: Mutex<State>,
    returned: Notify,
    metrics: Arc<Metrics>,
}

struct State {
    idle: Vec<Instance>,
    /// Returned instances that a flush waits for, each with its permit.
    handed: Vec<Instance>,
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
    /// An instance that had taken changes was lost before they were flushed.
    changes_lost: bool,
    /// No instance is to be made again.
    closed: bool,
}

/// What a caller gets.
pub(crate) enum Acquired<'a> {
    /// An instance that is open.
    Ready(Lease<'a>),
    /// A place in which to make one.
    Vacant(Vacancy<'a>),
    /// There has just been a crash: not yet.
    Later(Duration),
    /// Never again.
    Closed,
    /// The tenant has as many instances as it may, and this export none.
    Full,
}

impl Pool {
    /// A pool for at most `most` instances, 1 or more, with the first one.
    pub(crate) fn new(
        most: usize,
        quota: Arc<CountQuota>,
        metrics: Arc<Metrics>,
        first: Instance,
    ) -> Self {
        let state = State {
            next_number: first.number + 1,
            idle: vec![first],
            handed: Vec::new(),
            wanted: BTreeMap::new(),
            dirty: BTreeSet::new(),
            taken: 1,
            put_aside: 0,
            crashes: Backoff::new(BACKOFF, LONGEST_BACKOFF),
            changes_lost: false,
            closed: false,
        };
        Self {
            permits: Semaphore::new(most),
            quota,
            state: Mutex::new(state),
            returned: Notify::new(),
            metrics,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an instance, or for the place to make one, in the order of asking.
    pub(crate) async fn acquire(&self) -> Acquired<'_> {
        loop {
            let permit = match self.permits.try_acquire() {
                Ok(permit) => permit,
                Err(_) => match self.wait().await {
                    Some(permit) => permit,
                    None => return Acquired::Closed,
                },
            };
            if let Some(acquired) = self.try_use(permit) {
                return acquired;
            }
        }
    }

    /// Waits for a permit; `None` if there will be none, which isn't so: the semaphore is never closed.
    async fn wait(&self) -> Option<SemaphorePermit<'_>> {
        let start = Instant::now();
        let permit = self.permits.acquire().await.ok();
        self.metrics.instance_waits.note(start.elapsed());
        permit
    }

    /// What a permit is good for; `None`: for nothing now, wait for another.
    fn try_use<'a>(&'a self, permit: SemaphorePermit<'a>) -> Option<Acquired<'a>> {
        let mut state = self.state();
        if state.closed {
            return Some(Acquired::Closed);
        }
        if let Some(instance) = state.idle.pop() {
            return Some(Acquired::Ready(Lease::new(self, instance, Some(permit))));
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
            return None;
        };
        let number = state.next_number;
        state.next_number += 1;
        state.taken += 1;
        Some(Acquired::Vacant(Vacancy {
            pool: self,
            permit: Some(permit),
            share: Some(share),
            number,
        }))
    }

    /// A place came free, here or maybe in another export: a permit that was put aside may be of use.
    fn try_again(&self, state: &mut State) {
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
            .partition(|instance| dirty.contains(&instance.number));
        *idle = keep;
        state.taken -= rest.len();
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

    /// Takes note, once, that changes were lost.
    pub(crate) fn take_changes_lost(&self) -> bool {
        std::mem::take(&mut self.state().changes_lost)
    }

    /// Changes may be lost: the next flush of a client says so.
    pub(crate) fn lose_changes(&self) {
        self.state().changes_lost = true;
    }

    /// Whether an instance has something to flush.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.state().dirty.is_empty()
    }

    /// The instances that have something to flush now, to be had one after the other.
    pub(crate) fn dirty(&self) -> Dirty<'_> {
        let mut state = self.state();
        let numbers = state.dirty.clone();
        for number in &numbers {
            *state.wanted.entry(*number).or_default() += 1;
        }
        Dirty {
            pool: self,
            numbers,
        }
    }
}

impl State {
    /// Whether a flush waits for any instance.
    fn is_awaited(&self) -> bool {
        !self.wanted.is_empty()
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
        match self.handed.iter().position(|one| one.number == number) {
            Some(index) => {
                let instance = self.handed.swap_remove(index);
                self.idle.push(instance);
                1
            }
            None => 0,
        }
    }
}

/// The instances that had something to flush at some moment. When they're lent, they come here next,
/// before those that wait for any instance: a busy export can't starve a flush.
pub(crate) struct Dirty<'a> {
    pool: &'a Pool,
    numbers: BTreeSet<u64>,
}

impl<'a> Dirty<'a> {
    /// The next one, leaving out those that are gone or were flushed by somebody else.
    pub(crate) async fn next(&mut self) -> Option<Lease<'a>> {
        loop {
            let returned = self.pool.returned.notified();
            tokio::pin!(returned);
            // From here on no return is missed.
            returned.as_mut().enable();
            if let Some(found) = self.try_next() {
                return found;
            }
            returned.await;
        }
    }

    /// `None`: wait. `Some(None)`: that was all.
    fn try_next(&mut self) -> Option<Option<Lease<'a>>> {
        let pool = self.pool;
        let mut state = pool.state();
        let done: Vec<u64> = self.numbers.difference(&state.dirty).copied().collect();
        for number in done {
            self.numbers.remove(&number);
            pool.permits.add_permits(state.unwant(number));
        }
        if self.numbers.is_empty() {
            return Some(None);
        }
        let wanted = |one: &Instance| self.numbers.contains(&one.number);
        let (instance, permit) = if let Some(index) = state.handed.iter().position(wanted) {
            (state.handed.swap_remove(index), None)
        } else {
            let index = state.idle.iter().position(wanted)?;
            let permit = pool.permits.try_acquire().ok()?;
            (state.idle.swap_remove(index), Some(permit))
        };
        self.numbers.remove(&instance.number);
        // It was taken out of `handed` above: no permit comes free.
        state.unwant(instance.number);
        Some(Some(Lease::new(pool, instance, permit)))
    }
}

impl Drop for Dirty<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        for number in &self.numbers {
            self.pool.permits.add_permits(state.unwant(*number));
        }
    }
}

/// A place for a new instance. Dropped unfilled, it's free again.
pub(crate) struct Vacancy<'a> {
    pool: &'a Pool,
    permit: Option<SemaphorePermit<'a>>,
    share: Option<CountShare>,
    /// The new instance's number.
    pub(crate) number: u64,
}

impl<'a> Vacancy<'a> {
    /// The instance was made and is open.
    pub(crate) fn fill(mut self, mut instance: Instance) -> Lease<'a> {
        instance.share = self.share.take();
        Lease::new(self.pool, instance, self.permit.take())
    }

    /// It could not be made.
    pub(crate) fn failed(self) {
        self.pool.state().crashes.note_failure(Instant::now());
    }
}

impl Drop for Vacancy<'_> {
    fn drop(&mut self) {
        // Filled, unless the permit is still here.
        if let Some(permit) = self.permit.take() {
            self.share = None;
            let mut state = self.pool.state();
            state.taken -= 1;
            self.pool.try_again(&mut state);
            drop(state);
            drop(permit);
        }
    }
}

/// An instance, lent to one call. Unless it's given back it counts as broken: a call that was given
/// up half-way leaves a store that can't be used.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    instance: Option<Instance>,
    /// `None` after a hand-over, when the permit was kept for whoever got the instance.
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Lease<'a> {
    fn new(pool: &'a Pool, instance: Instance, permit: Option<SemaphorePermit<'a>>) -> Self {
        Self {
            pool,
            instance: Some(instance),
            permit,
        }
    }

    /// The instance.
    pub(crate) fn instance(&mut self) -> &mut Instance {
        self.instance
            .as_mut()
            .expect("a lease holds its instance until it's given back")
    }

    /// The call has ended well enough.
    pub(crate) fn give_back(mut self) {
        let Some(instance) = self.instance.take() else {
            return;
        };
        let mut state = self.pool.state();
        state.crashes.note_success();
        if instance.dirty {
            state.dirty.insert(instance.number);
        } else {
            state.dirty.remove(&instance.number);
        }
        if state.wanted.contains_key(&instance.number) {
            state.handed.push(instance);
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        } else {
            state.idle.push(instance);
            self.release();
            self.pool.try_again(&mut state);
        }
        let awaited = state.is_awaited();
        drop(state);
        if awaited {
            self.pool.returned.notify_waiters();
        }
    }

    /// The call has ended well, and the instance has nothing to flush: when another is needed, it's made.
    pub(crate) fn retire(mut self) {
        let Some(instance) = self.instance.take() else {
            return;
        };
        let mut state = self.pool.state();
        state.crashes.note_success();
        state.dirty.remove(&instance.number);
        state.taken -= 1;
        self.release();
        self.pool.try_again(&mut state);
        let awaited = state.is_awaited();
        drop(state);
        drop(instance);
        if awaited {
            self.pool.returned.notify_waiters();
        }
    }

    fn release(&mut self) {
        match self.permit.take() {
            Some(permit) => drop(permit),
            None => self.pool.permits.add_permits(1),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(instance) = self.instance.take() else {
            return;
        };
        let mut state = self.pool.state();
        state.dirty.remove(&instance.number);
        state.changes_lost |= instance.dirty;
        state.crashes.note_failure(Instant::now());
        state.taken -= 1;
        self.release();
        let awaited = state.is_awaited();
        drop(state);
        drop(instance);
        if awaited {
            self.pool.returned.notify_waiters();
        }
    }
}
