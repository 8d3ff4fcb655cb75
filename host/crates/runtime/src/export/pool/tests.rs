//! The pool, with instances that do nothing.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;

/// An instance that does nothing.
#[derive(Debug)]
struct Thing {
    number: u64,
    dirty: bool,
}

impl Pooled for Thing {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }
}

type Things = Pool<Thing>;

/// A request with a deadline that no test reaches.
fn patient() -> Deadline {
    Deadline::unattended(Duration::from_secs(3600))
}

impl<'a> Dirty<'a, Thing> {
    async fn get(&mut self) -> Option<Lease<'a, Thing>> {
        self.next(&patient()).await.unwrap()
    }
}

/// A quota with more room than any test needs.
fn roomy() -> Arc<CountQuota> {
    CountQuota::new(100)
}

fn pool(most: usize, quota: &Arc<CountQuota>) -> Things {
    let first = thing(0);
    let share = quota.take().unwrap();
    Pool::new(most, Arc::clone(quota), Arc::default(), first, share)
}

fn thing(number: u64) -> Thing {
    Thing {
        number,
        dirty: false,
    }
}

impl Things {
    /// Acquires for a patient request.
    async fn get(&self) -> Acquired<'_, Thing> {
        self.acquire(&patient()).await.unwrap()
    }

    /// Asserts that nobody uses the pool: each permit is free or put aside, and each instance is idle.
    #[track_caller]
    fn assert_at_rest(&self) {
        let state = self.state();
        self.check(&state);
        let free = self.permits.available_permits();
        assert_eq!(free + state.put_aside, self.most, "permits");
        assert_eq!(state.idle.len(), state.taken, "places");
        assert!(state.handed.is_empty() && state.wanted.is_empty());
    }

    /// Acquires, and panics if that waits.
    #[track_caller]
    fn acquire_now(&self) -> Acquired<'_, Thing> {
        finished(pin!(self.get()))
    }

    #[track_caller]
    fn ready(&self) -> Lease<'_, Thing> {
        is_ready(self.acquire_now())
    }

    #[track_caller]
    fn vacant(&self) -> Vacancy<'_, Thing> {
        match self.acquire_now() {
            Acquired::Vacant(vacancy) => vacancy,
            other => panic!("{}", name(&other)),
        }
    }

    /// Makes another instance, and lends it.
    #[track_caller]
    fn make(&self) -> Lease<'_, Thing> {
        let vacancy = self.vacant();
        let thing = thing(vacancy.number);
        vacancy.fill(thing)
    }
}

fn name(acquired: &Acquired<'_, Thing>) -> &'static str {
    match acquired {
        Acquired::Ready(_) => "ready",
        Acquired::Vacant(_) => "vacant",
        Acquired::Later(_) => "later",
        Acquired::Closed => "closed",
        Acquired::Full => "full",
    }
}

#[track_caller]
fn is_ready<'a>(acquired: Acquired<'a, Thing>) -> Lease<'a, Thing> {
    match acquired {
        Acquired::Ready(lease) => lease,
        other => panic!("{}", name(&other)),
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn finished<F: Future>(future: Pin<&mut F>) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn waits<F: Future>(future: Pin<&mut F>) -> bool {
    poll(future).is_pending()
}

/// Ends a call that changed something.
fn give_back_dirty(mut lease: Lease<'_, Thing>) {
    lease.instance().dirty = true;
    lease.give_back();
}

/// Ends a call that flushed.
fn give_back_clean(mut lease: Lease<'_, Thing>) {
    lease.instance().dirty = false;
    lease.give_back();
}

#[tokio::test]
async fn as_many_are_lent_as_there_are_permits() {
    let pool = pool(2, &roomy());
    let (one, two) = (pool.ready(), pool.make());
    let mut third = pin!(pool.get());
    assert!(waits(third.as_mut()));
    two.give_back();
    let two = is_ready(finished(third.as_mut()));
    one.give_back();
    two.give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn calls_get_an_instance_in_order() {
    let pool = pool(1, &roomy());
    let lease = pool.ready();
    let (mut one, mut two) = (pin!(pool.get()), pin!(pool.get()));
    assert!(waits(one.as_mut()) && waits(two.as_mut()));
    lease.give_back();
    assert!(waits(two.as_mut()));
    is_ready(finished(one.as_mut())).give_back();
    is_ready(finished(two.as_mut())).give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_call_that_is_given_up_while_it_waits_holds_nothing() {
    let pool = pool(1, &roomy());
    let lease = pool.ready();
    {
        let mut gone = pin!(pool.get());
        assert!(waits(gone.as_mut()));
        lease.give_back();
        // The waiting call holds the permit now.
        assert!(matches!(poll(pin!(pool.get())), Poll::Pending));
    }
    pool.assert_at_rest();
    pool.ready().give_back();
}

#[tokio::test]
async fn a_vacancy_that_is_dropped_is_free_again() {
    let quota = CountQuota::new(2);
    let pool = pool(2, &quota);
    let one = pool.ready();
    let vacancy = pool.vacant();
    assert_eq!(vacancy.number, 1);
    assert!(!quota.has_room());
    drop(vacancy);
    assert!(quota.has_room());
    assert_eq!(pool.vacant().number, 2, "no number is used twice");
    one.give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn an_instance_that_could_not_be_made_makes_others_wait() {
    let pool = pool(2, &roomy());
    let one = pool.ready();
    pool.vacant().failed();
    assert!(matches!(pool.acquire_now(), Acquired::Later(wait) if wait <= BACKOFF));
    // A successful call shows that the plugin is in order.
    one.give_back();
    let _one = pool.ready();
    assert!(matches!(pool.acquire_now(), Acquired::Vacant(_)));
}

#[tokio::test]
async fn without_room_in_the_quota_calls_wait_for_existing_instances() {
    let quota = CountQuota::new(1);
    let pool = pool(3, &quota);
    let lease = pool.ready();
    let (mut one, mut two) = (pin!(pool.get()), pin!(pool.get()));
    assert!(waits(one.as_mut()) && waits(two.as_mut()));
    assert_eq!(pool.state().put_aside, 2);
    lease.give_back();
    is_ready(finished(one.as_mut())).give_back();
    is_ready(finished(two.as_mut())).give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_permit_that_was_put_aside_comes_back_when_there_is_room() {
    let quota = CountQuota::new(2);
    let pool = pool(2, &quota);
    let of_another_export = quota.take().unwrap();
    let lease = pool.ready();
    let mut second = pin!(pool.get());
    assert!(waits(second.as_mut()));
    drop(of_another_export);
    lease.give_back();
    assert_eq!(pool.state().put_aside, 0);
    let one = is_ready(finished(second.as_mut()));
    let two = pool.make();
    one.give_back();
    two.give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn without_room_and_without_an_instance_a_call_is_refused() {
    let quota = CountQuota::new(1);
    let pool = pool(2, &quota);
    pool.release_idle();
    let of_another_export = quota.take().unwrap();
    assert!(matches!(pool.acquire_now(), Acquired::Full));
    drop(of_another_export);
    pool.make().give_back();
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_waiting_call_gets_the_place_of_a_retired_instance() {
    let quota = CountQuota::new(1);
    let pool = pool(1, &quota);
    let lease = pool.ready();
    let mut next = pin!(pool.get());
    assert!(waits(next.as_mut()));
    lease.retire();
    assert!(matches!(finished(next.as_mut()), Acquired::Vacant(_)));
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_lease_that_is_dropped_is_a_crash() {
    let pool = pool(1, &roomy());
    drop(pool.ready());
    assert!(matches!(pool.acquire_now(), Acquired::Later(_)));
    assert!(!pool.losses().any(), "there were no changes");
    pool.assert_at_rest();
}

#[tokio::test]
async fn changes_that_a_crash_lost_are_noted() {
    let pool = pool(1, &roomy());
    let mut lease = pool.ready();
    lease.instance().dirty = true;
    drop(lease);
    assert!(!pool.is_dirty(), "there is nothing left to flush");
    assert!(pool.losses().any());
}

#[tokio::test]
async fn a_flush_comes_before_calls_that_wait_for_any_instance() {
    let pool = pool(1, &roomy());
    give_back_dirty(pool.ready());
    let lease = pool.ready();
    let mut call = pin!(pool.get());
    assert!(waits(call.as_mut()));
    let mut dirty = pool.dirty();
    {
        let mut flush = pin!(dirty.get());
        assert!(waits(flush.as_mut()));
        lease.give_back();
        assert!(waits(call.as_mut()));
        give_back_clean(finished(flush.as_mut()).unwrap());
    }
    assert!(finished(pin!(dirty.get())).is_none());
    is_ready(finished(call.as_mut())).give_back();
    drop(dirty);
    pool.assert_at_rest();
    assert!(!pool.is_dirty());
}

/// A call already waits for each return.
#[tokio::test]
async fn a_busy_export_does_not_starve_a_flush() {
    let pool = pool(2, &roomy());
    let (one, two) = (pool.ready(), pool.make());
    give_back_dirty(one);
    give_back_dirty(two);
    let (one, two) = (pool.ready(), pool.ready());
    let mut calls: Vec<_> = (0..8).map(|_| Box::pin(pool.get())).collect();
    assert!(calls.iter_mut().all(|call| waits(call.as_mut())));
    let mut dirty = pool.dirty();
    for lease in [one, two] {
        let mut flush = pin!(dirty.get());
        assert!(waits(flush.as_mut()));
        lease.give_back();
        give_back_clean(finished(flush.as_mut()).unwrap());
    }
    assert!(finished(pin!(dirty.get())).is_none());
    for mut call in calls {
        is_ready(finished(call.as_mut())).give_back();
    }
    drop(dirty);
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_flush_gets_each_dirty_instance_once_and_no_other() {
    let pool = pool(3, &roomy());
    let (one, two, three) = (pool.ready(), pool.make(), pool.make());
    give_back_dirty(one);
    two.give_back();
    give_back_dirty(three);
    let mut dirty = pool.dirty();
    let mut numbers = Vec::new();
    while let Some(mut lease) = finished(pin!(dirty.get())) {
        numbers.push(lease.instance().number);
        // It wasn't flushed, so it stays dirty for the next flush.
        lease.give_back();
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 2]);
    assert!(pool.is_dirty());
    drop(dirty);
    pool.assert_at_rest();
}

#[tokio::test]
async fn one_flush_suffices_for_two_that_wait() {
    let pool = pool(1, &roomy());
    give_back_dirty(pool.ready());
    let lease = pool.ready();
    let (mut one, mut two) = (pool.dirty(), pool.dirty());
    {
        let (mut first, mut second) = (pin!(one.get()), pin!(two.get()));
        assert!(waits(first.as_mut()) && waits(second.as_mut()));
        lease.give_back();
        give_back_clean(finished(first.as_mut()).unwrap());
        assert!(finished(second.as_mut()).is_none());
    }
    drop((one, two));
    pool.assert_at_rest();
}

#[tokio::test]
async fn two_flushes_get_an_instance_that_stays_dirty_in_turn() {
    let pool = pool(1, &roomy());
    give_back_dirty(pool.ready());
    let lease = pool.ready();
    let (mut one, mut two) = (pool.dirty(), pool.dirty());
    {
        let (mut first, mut second) = (pin!(one.get()), pin!(two.get()));
        assert!(waits(first.as_mut()) && waits(second.as_mut()));
        lease.give_back();
        let lease = finished(first.as_mut()).unwrap();
        assert!(waits(second.as_mut()));
        lease.give_back();
        finished(second.as_mut()).unwrap().give_back();
    }
    drop((one, two));
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_flush_that_is_given_up_returns_its_instance() {
    let pool = pool(1, &roomy());
    give_back_dirty(pool.ready());
    let lease = pool.ready();
    let mut call = pin!(pool.get());
    assert!(waits(call.as_mut()));
    let dirty = pool.dirty();
    lease.give_back();
    assert!(waits(call.as_mut()));
    drop(dirty);
    is_ready(finished(call.as_mut())).give_back();
    pool.assert_at_rest();
    assert!(pool.is_dirty());
}

#[tokio::test]
async fn a_flush_does_not_wait_for_an_instance_that_is_gone() {
    for retired in [true, false] {
        let pool = pool(1, &roomy());
        give_back_dirty(pool.ready());
        let mut lease = pool.ready();
        let mut dirty = pool.dirty();
        {
            let mut flush = pin!(dirty.get());
            assert!(waits(flush.as_mut()));
            if retired {
                lease.instance().dirty = false;
                lease.retire();
            } else {
                drop(lease);
            }
            assert!(finished(flush.as_mut()).is_none());
        }
        assert_eq!(pool.losses().any(), !retired);
        drop(dirty);
        pool.assert_at_rest();
    }
}

/// The permit was on its way to a call. It comes back although nothing was lent.
#[tokio::test]
async fn a_flush_goes_on_when_a_call_gives_up_its_permit() {
    let pool = pool(1, &roomy());
    let lease = pool.ready();
    let mut call = Box::pin(pool.get());
    assert!(waits(call.as_mut()));
    give_back_dirty(lease);
    let mut dirty = pool.dirty();
    {
        let mut flush = pin!(dirty.get());
        assert!(waits(flush.as_mut()), "the call has the permit");
        drop(call);
        give_back_clean(finished(flush.as_mut()).unwrap());
    }
    drop(dirty);
    pool.assert_at_rest();
}

#[tokio::test]
async fn a_closed_pool_lends_to_flushes_only() {
    let pool = pool(1, &roomy());
    give_back_dirty(pool.ready());
    pool.close();
    assert!(pool.is_closed());
    assert!(matches!(pool.acquire_now(), Acquired::Closed));
    let mut dirty = pool.dirty();
    give_back_clean(finished(pin!(dirty.get())).unwrap());
    assert!(finished(pin!(dirty.get())).is_none());
    drop(dirty);
    pool.assert_at_rest();
}

#[tokio::test]
async fn release_idle_keeps_dirty_instances() {
    let quota = CountQuota::new(2);
    let pool = pool(2, &quota);
    let (one, two) = (pool.ready(), pool.make());
    give_back_dirty(one);
    two.give_back();
    pool.release_idle();
    assert_eq!(quota.used(), 1);
    assert!(pool.is_dirty());
    assert_eq!(pool.ready().instance().number, 0);
}

/// What a random walk holds.
#[derive(Default)]
struct Walk<'a> {
    leases: Vec<Lease<'a, Thing>>,
    vacancies: Vec<Vacancy<'a, Thing>>,
    calls: Vec<Pin<Box<dyn Future<Output = Acquired<'a, Thing>> + 'a>>>,
    flushes: Vec<Dirty<'a, Thing>>,
}

impl<'a> Walk<'a> {
    fn step(&mut self, pool: &'a Things, random: u32) {
        let (choice, which) = (random % 16, random as usize / 16);
        match choice {
            0..5 => self.calls.push(Box::pin(pool.get())),
            5..7 => self.flushes.push(pool.dirty()),
            7 if !self.flushes.is_empty() => {
                self.flushes.swap_remove(which % self.flushes.len());
            }
            8 if !self.calls.is_empty() => {
                drop(self.calls.swap_remove(which % self.calls.len()));
            }
            9 if !self.vacancies.is_empty() => {
                let vacancy = self.vacancies.swap_remove(which % self.vacancies.len());
                if which.is_multiple_of(2) {
                    vacancy.failed();
                }
            }
            10 => pool.release_idle(),
            _ if !self.leases.is_empty() => {
                let mut lease = self.leases.swap_remove(which % self.leases.len());
                match choice {
                    11 => drop(lease),
                    12 if !lease.instance().dirty => lease.retire(),
                    13 | 14 => give_back_dirty(lease),
                    _ => give_back_clean(lease),
                }
            }
            _ => {}
        }
        self.go_on();
    }

    /// Polls everything that waits.
    fn go_on(&mut self) {
        for vacancy in self.vacancies.drain(..) {
            let thing = thing(vacancy.number);
            self.leases.push(vacancy.fill(thing));
        }
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain_mut(|call| match poll(call.as_mut()) {
            Poll::Ready(Acquired::Ready(lease)) => {
                self.leases.push(lease);
                false
            }
            Poll::Ready(Acquired::Vacant(vacancy)) => {
                self.vacancies.push(vacancy);
                false
            }
            Poll::Ready(_) => false,
            Poll::Pending => true,
        });
        self.calls = calls;
        let leases = &mut self.leases;
        self.flushes.retain_mut(|flush| {
            match poll(pin!(flush.get())) {
                Poll::Ready(Some(lease)) => leases.push(lease),
                Poll::Ready(None) => return false,
                Poll::Pending => {}
            }
            true
        });
    }
}

/// Checks the invariants at each transition, and that nothing is missing at the end.
#[tokio::test]
async fn permits_and_places_add_up_whatever_happens() {
    for (seed, limit) in [(1, 100), (2, 3), (3, 1), (4, 2)] {
        let quota = CountQuota::new(limit);
        let pool = pool(3, &quota);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut walk = Walk::default();
        for _ in 0..5000 {
            walk.step(&pool, random.u32(..));
            // A pause after a crash would block the rest of the walk.
            pool.state().crashes.note_success();
        }
        drop(walk);
        pool.assert_at_rest();
        assert_eq!(quota.used(), pool.state().taken);
    }
}
