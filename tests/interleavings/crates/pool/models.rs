//! Calls and flushes that share the instances of a pool.
//!
//! `std` is the stand-in here. A model counts with `core`'s atomics, so that counting adds no step to it.

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, advance};

use device::fault::Failure;
use device::{Deadline, HangUp};
use interleavings::{check, join};
use quota::CountQuota;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use crate::export::pool::{Acquired, Lease, Pool, Pooled};

/// Longer than any pause after a crash.
const LONG: Duration = Duration::from_secs(3600);

/// An instance that does nothing.
struct Thing {
    number: u64,
    dirty: bool,
    alive: Arc<AtomicUsize>,
}

impl Pooled for Thing {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        // Dropping an instance takes a while.
        std::point();
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// A tenant with at most `limit` instances in all of its exports.
#[derive(Clone)]
struct Tenant {
    quota: Arc<CountQuota>,
    limit: usize,
    /// Instances that exist.
    alive: Arc<AtomicUsize>,
}

impl Tenant {
    fn new(limit: usize) -> Self {
        Self {
            quota: CountQuota::new(limit),
            limit,
            alive: Arc::default(),
        }
    }

    fn thing(&self, number: u64) -> Thing {
        let others = self.alive.fetch_add(1, SeqCst);
        assert!(
            others < self.limit,
            "more instances than the tenant may have"
        );
        Thing {
            number,
            dirty: false,
            alive: Arc::clone(&self.alive),
        }
    }
}

/// An export with at most `most` instances.
struct Export {
    tenant: Tenant,
    most: usize,
    pool: Pool<Thing>,
    /// How many dirty instances were flushed.
    flushed: AtomicUsize,
}

/// The state in which a call leaves its instance.
#[derive(Clone, Copy)]
enum End {
    Unchanged,
    Dirty,
    /// Clean, and not needed any more.
    Retired,
    Broken,
}

/// Why a call got no instance.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// An instance has crashed; the call may try again after this time.
    Later(Duration),
    Closed,
    Full,
}

impl Export {
    fn new(tenant: &Tenant, most: usize) -> Arc<Self> {
        let share = tenant
            .quota
            .take()
            .expect("each export's first one has room");
        let first = tenant.thing(0);
        let quota = Arc::clone(&tenant.quota);
        Arc::new(Self {
            tenant: tenant.clone(),
            most,
            pool: Pool::new(most, quota, Arc::default(), first, share),
            flushed: AtomicUsize::new(0),
        })
    }

    /// Makes the instance if there is a vacancy.
    fn lease<'a>(
        &self,
        acquired: Result<Acquired<'a, Thing>, Failure>,
    ) -> Result<Lease<'a, Thing>, Refused> {
        match acquired.expect("the request hasn't ended") {
            Acquired::Ready(lease) => Ok(lease),
            Acquired::Vacant(vacancy) => {
                let thing = self.tenant.thing(vacancy.number);
                Ok(vacancy.fill(thing))
            }
            Acquired::Later(pause) => Err(Refused::Later(pause)),
            Acquired::Closed => Err(Refused::Closed),
            Acquired::Full => Err(Refused::Full),
        }
    }

    fn try_call(&self, end: End) -> Result<(), Refused> {
        let request = endless();
        let mut lease = self.lease(block_on(self.pool.acquire(&request)))?;
        match end {
            End::Unchanged => lease.give_back(),
            End::Dirty => {
                lease.instance().dirty = true;
                lease.give_back();
            }
            End::Retired => {
                lease.instance().dirty = false;
                lease.retire();
            }
            End::Broken => drop(lease),
        }
        Ok(())
    }

    fn call(&self, end: End) {
        self.try_call(end)
            .expect("the export has an instance for each call");
    }

    /// Flushes the instances that are dirty now, as a plugin's export does.
    fn flush(&self) {
        let mut dirty = self.pool.dirty();
        let request = endless();
        while let Some(mut lease) = block_on(dirty.next(&request)).expect("it hasn't ended") {
            if std::mem::take(&mut lease.instance().dirty) {
                self.flushed.fetch_add(1, SeqCst);
            }
            lease.give_back();
        }
    }

    fn flushed(&self) -> usize {
        self.flushed.load(SeqCst)
    }

    /// At rest the pool has all of its permits and places, and no more.
    fn assert_at_rest(&self) {
        advance(LONG);
        // A permit that was put aside becomes free when an instance comes back.
        self.call(End::Unchanged);
        let request = endless();
        let acquire = || poll(pin!(self.pool.acquire(&request)));
        let lease = |_| self.lease(acquire().expect("a permit is missing"));
        let all: Vec<_> = (0..self.most).map(lease).collect();
        assert!(all.iter().all(Result::is_ok), "a place is missing");
        assert!(acquire().is_none(), "there is a permit too many");
        all.into_iter().flatten().for_each(Lease::give_back);
    }
}

/// A request that has time until the clock's end.
fn endless() -> Deadline {
    Deadline::unattended(LONG * 1_000_000)
}

/// Polls once, for a task that can't be woken.
fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn begin(export: &Arc<Export>, deed: impl FnOnce(&Export) + Send + 'static) -> JoinHandle<()> {
    let export = Arc::clone(export);
    thread::spawn(move || deed(&export))
}

/// A client whose calls must all get an instance.
fn calls(export: &Arc<Export>, ends: &'static [End]) -> JoinHandle<()> {
    begin(export, move |export| {
        ends.iter().for_each(|end| export.call(*end));
    })
}

/// A client that tries again after the pause of a crash. Its calls may be refused for good.
fn patient_calls(export: &Arc<Export>, ends: &'static [End]) -> JoinHandle<()> {
    begin(export, move |export| {
        for end in ends {
            while let Err(Refused::Later(pause)) = export.try_call(*end) {
                advance(pause);
            }
        }
    })
}

/// Each call gets an instance, and there are never more than the tenant may have.
pub fn calls_share_the_instances() {
    for most in [1, 2] {
        check(move || {
            let export = Export::new(&Tenant::new(most), most);
            join([
                calls(&export, &[End::Dirty, End::Unchanged]),
                calls(&export, &[End::Retired, End::Dirty]),
                calls(&export, &[End::Unchanged]),
            ]);
            export.assert_at_rest();
        });
    }
}

/// A flush ends after each earlier change was flushed, while calls use the same instances.
pub fn a_flush_covers_each_earlier_change() {
    for most in [1, 2] {
        check(move || {
            let export = Export::new(&Tenant::new(most), most);
            export.call(End::Dirty);
            let flushes = || {
                begin(&export, |export| {
                    export.flush();
                    assert!(export.flushed() > 0, "a change wasn't flushed");
                })
            };
            join([
                flushes(),
                flushes(),
                calls(&export, &[End::Unchanged, End::Dirty]),
                calls(&export, &[End::Dirty]),
                begin(&export, |export| export.pool.release_idle()),
            ]);
            export.flush();
            assert!(!export.pool.is_dirty());
            export.assert_at_rest();
        });
    }
}

/// If an instance with changes crashes, each flush that doesn't find it finds the loss noted.
pub fn a_flush_learns_of_each_lost_change() {
    check(|| {
        let export = Export::new(&Tenant::new(2), 2);
        export.call(End::Dirty);
        let flushes = begin(&export, |export| {
            export.flush();
            let lost = export.pool.losses().any();
            assert!(export.flushed() > 0 || lost, "a change was forgotten");
        });
        join([
            patient_calls(&export, &[End::Broken]),
            flushes,
            patient_calls(&export, &[End::Unchanged]),
        ]);
        export.flush();
        export.assert_at_rest();
    });
}

/// A call, a flush or a vacancy that is given up holds nothing.
pub fn a_future_that_is_dropped_holds_nothing() {
    for most in [1, 2] {
        check(move || {
            let export = Export::new(&Tenant::new(most), most);
            export.call(End::Dirty);
            let gives_up_a_call = |fails: bool| {
                begin(&export, move |export| {
                    let request = endless();
                    let mut call = Box::pin(export.pool.acquire(&request));
                    let acquired = poll(call.as_mut());
                    thread::yield_now();
                    // If it still queues, it may have got a permit meanwhile.
                    drop(call);
                    match acquired {
                        Some(Ok(Acquired::Ready(lease))) => lease.give_back(),
                        Some(Ok(Acquired::Vacant(vacancy))) if fails => vacancy.failed(),
                        other => drop(other),
                    }
                })
            };
            let gives_up_a_flush = begin(&export, |export| {
                let mut dirty = export.pool.dirty();
                thread::yield_now();
                let lease = poll(pin!(dirty.next(&endless())));
                drop(dirty);
                if let Some(Ok(Some(lease))) = lease {
                    lease.give_back();
                }
            });
            join([
                gives_up_a_call(false),
                gives_up_a_call(true),
                gives_up_a_flush,
                patient_calls(&export, &[End::Unchanged]),
                begin(&export, Export::flush),
            ]);
            assert_eq!(export.flushed(), 1);
            export.assert_at_rest();
        });
    }
}

/// Two exports use one tenant's quota up. No call waits for ever.
pub fn two_exports_share_their_tenants_quota() {
    check(|| {
        let tenant = Tenant::new(2);
        let (one, two) = (Export::new(&tenant, 2), Export::new(&tenant, 2));
        let releases = |export: &Arc<Export>| {
            begin(export, |export| {
                export.pool.release_idle();
                thread::yield_now();
                export.pool.release_idle();
            })
        };
        join([
            patient_calls(&one, &[End::Unchanged, End::Retired]),
            patient_calls(&one, &[End::Broken]),
            patient_calls(&two, &[End::Retired, End::Unchanged]),
            patient_calls(&two, &[End::Unchanged]),
            releases(&one),
            releases(&two),
        ]);
        two.pool.release_idle();
        one.assert_at_rest();
        one.pool.release_idle();
        two.assert_at_rest();
    });
}

/// A request leaves the queue when its client hangs up; the others stay.
pub fn a_request_leaves_the_queue_when_its_client_hangs_up() {
    check(|| {
        let export = Export::new(&Tenant::new(1), 1);
        let request = endless();
        let held = export.lease(block_on(export.pool.acquire(&request)));
        let client = HangUp::default();
        let gone = Deadline::new(Instant::now(), LONG, client.clone());
        let waits = begin(&export, move |export| {
            let acquired = block_on(export.pool.acquire(&gone));
            assert!(acquired.is_err(), "the only instance is lent");
        });
        let other = calls(&export, &[End::Unchanged]);
        join([thread::spawn(move || client.note()), waits]);
        held.into_iter().for_each(Lease::give_back);
        join([other]);
        export.assert_at_rest();
    });
}

/// A closed pool lends to flushes only, and no call waits for it.
pub fn a_closed_pool_refuses_calls_and_lends_to_flushes() {
    check(|| {
        let export = Export::new(&Tenant::new(1), 1);
        export.call(End::Dirty);
        let calls = || patient_calls(&export, &[End::Unchanged]);
        let closes = begin(&export, |export| {
            export.pool.close();
            export.flush();
            assert_eq!(export.flushed(), 1);
        });
        join([calls(), closes, calls()]);
        let refused = export.try_call(End::Unchanged);
        assert!(matches!(refused, Err(Refused::Closed)));
    });
}
