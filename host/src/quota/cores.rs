//! The cores, shared by tenants whose guests compute, and within a tenant by its exports.
//!
//! A guest that goes on past a tick needs a place, and there are as many places as cores. It holds its
//! place from when it's given one, while it stands in line for a thread, to the end of its slice. Who finds
//! none waits, and the next place is for the tenant that had the least so far, measured by its weight, and
//! there for the export that had the least. So a tenant that computes without end takes the cores that
//! nobody else wants, and no others; and what runs for less than a tick, as most calls do, never stands
//! behind more than one slice on its core.

mod fair;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fair::Fair;

/// What a place costs when it's taken: a tick of the clock. It's set right when it's given back.
const EXPECTED: Duration = Duration::from_millis(1);

/// The cores of this process.
#[derive(Debug)]
pub struct Cores(Mutex<State>);

#[derive(Debug)]
struct State {
    places: usize,
    taken: usize,
    /// The number of the next who waits.
    next: u64,
    tenants: Fair<Tenant>,
}

#[derive(Debug, Default)]
struct Tenant {
    exports: Fair<Export>,
    /// How many wait, for those who look without the lock.
    length: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Export {
    queue: VecDeque<(u64, Waker)>,
}

/// A tenant's share of the cores.
#[derive(Debug)]
pub struct CpuQuota {
    cores: Arc<Cores>,
    number: u64,
    length: Arc<AtomicUsize>,
}

/// An export's share of its tenant's.
#[derive(Debug)]
pub struct CpuShare {
    tenant: Arc<CpuQuota>,
    number: u64,
}

/// Leave to run for a slice. Given back when it's dropped.
#[derive(Debug)]
pub struct Place {
    share: Arc<CpuShare>,
    cost: Duration,
}

/// A place, once there is one.
#[derive(Debug)]
pub struct Entering {
    share: Arc<CpuShare>,
    ticket: Option<u64>,
}

/// Whose: the numbers of a tenant and of an export of it.
#[derive(Clone, Copy)]
struct Whose(u64, u64);

impl Cores {
    /// So many cores, one at least.
    #[must_use]
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            places: cores.max(1),
            taken: 0,
            next: 0,
            tenants: Fair::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes those who got a place by that.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let woken = state.hand_out();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn export(&mut self, whose: Whose) -> Option<&mut Export> {
        self.tenants.own(whose.0)?.exports.own(whose.1)
    }

    /// Charges for what was had, beyond what was paid for it.
    fn charge(&mut self, whose: Whose, cost: Duration, paid: Duration) {
        self.tenants.charge(whose.0, cost, paid);
        if let Some(tenant) = self.tenants.own(whose.0) {
            tenant.exports.charge(whose.1, cost, paid);
        }
    }

    /// Takes a place if there is one. Then nobody waits for it: they're handed out at once.
    fn try_enter(&mut self, whose: Whose) -> bool {
        let free = self.taken < self.places;
        if free {
            self.take_place(whose);
        }
        free
    }

    fn take_place(&mut self, whose: Whose) {
        self.taken += 1;
        self.tenants.begin(whose.0);
        if let Some(tenant) = self.tenants.own(whose.0) {
            tenant.exports.begin(whose.1);
        }
        self.charge(whose, EXPECTED, Duration::ZERO);
    }

    fn leave(&mut self, whose: Whose, cost: Duration) {
        self.taken -= 1;
        self.charge(whose, cost, EXPECTED);
    }

    fn queue_up(&mut self, whose: Whose, waker: &Waker) -> u64 {
        let ticket = self.next;
        self.next += 1;
        if let Some(export) = self.export(whose) {
            export.queue.push_back((ticket, waker.clone()));
            self.wait(whose);
        }
        ticket
    }

    fn wait(&mut self, whose: Whose) {
        self.tenants.wait(whose.0);
        if let Some(tenant) = self.tenants.own(whose.0) {
            tenant.exports.wait(whose.1);
            tenant.length.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unwait(&mut self, whose: Whose) {
        self.tenants.unwait(whose.0);
        if let Some(tenant) = self.tenants.own(whose.0) {
            tenant.exports.unwait(whose.1);
            tenant.length.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives places that are free to those who wait.
    fn hand_out(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.taken < self.places
            && let Some((whose, waker)) = self.pop()
        {
            self.take_place(whose);
            woken.push(waker);
        }
        woken
    }

    /// Whose turn it is; they wait no longer.
    fn pop(&mut self) -> Option<(Whose, Waker)> {
        let tenant = self.tenants.first()?;
        let whose = Whose(tenant, self.tenants.own(tenant)?.exports.first()?);
        let (_, waker) = self.export(whose)?.queue.pop_front()?;
        self.unwait(whose);
        Some((whose, waker))
    }

    /// Whether a ticket still waits; then its task is the one to be woken.
    fn is_queued(&mut self, whose: Whose, ticket: u64, waker: &Waker) -> bool {
        let queue = self.export(whose).map(|export| &mut export.queue);
        let mut waiting = queue.into_iter().flatten();
        let own = waiting.find(|(own, _)| *own == ticket);
        own.is_some_and(|(_, own)| {
            own.clone_from(waker);
            true
        })
    }

    /// Gives up a ticket, or the place that it got.
    fn give_up(&mut self, whose: Whose, ticket: u64) {
        let Some(export) = self.export(whose) else {
            return;
        };
        let before = export.queue.len();
        export.queue.retain(|(own, _)| *own != ticket);
        if export.queue.len() < before {
            self.unwait(whose);
        } else {
            self.leave(whose, Duration::ZERO);
        }
    }
}

impl CpuQuota {
    /// A tenant's share, of this weight.
    #[must_use]
    pub fn new(cores: &Arc<Cores>, weight: u64) -> Arc<Self> {
        let length = Arc::new(AtomicUsize::new(0));
        let tenant = Tenant {
            exports: Fair::default(),
            length: Arc::clone(&length),
        };
        let number = cores.state().tenants.join(weight, tenant);
        Arc::new(Self {
            cores: Arc::clone(cores),
            number,
            length,
        })
    }

    pub(super) fn set(&self, weight: u64) {
        self.cores.state().tenants.set_weight(self.number, weight);
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // It has no exports: each holds it.
        self.cores.state().tenants.part(self.number);
    }
}

impl CpuShare {
    /// An export's share of its tenant's, of this weight among its like.
    #[must_use]
    pub fn new(tenant: &Arc<CpuQuota>, weight: u64) -> Arc<Self> {
        let mut state = tenant.cores.state();
        let own = state.tenants.own(tenant.number);
        let number = own.map_or(0, |own| own.exports.join(weight, Export::default()));
        drop(state);
        Arc::new(Self {
            tenant: Arc::clone(tenant),
            number,
        })
    }

    fn whose(&self) -> Whose {
        Whose(self.tenant.number, self.number)
    }

    fn cores(&self) -> &Cores {
        &self.tenant.cores
    }

    /// Charges a slice that ran without a place: the first of a call.
    pub fn charge(&self, cost: Duration) {
        let whose = self.whose();
        self.cores()
            .change(|state| state.charge(whose, cost, Duration::ZERO));
    }

    /// Whether guests of the tenant wait: then others of its own queue up before they begin.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.tenant.length.load(Ordering::Relaxed) > 0
    }

    /// Waits for a place.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Entering {
        Entering {
            share: Arc::clone(self),
            ticket: None,
        }
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // Nobody waits: who does holds a part of this.
        let mut state = self.cores().state();
        if let Some(tenant) = state.tenants.own(self.tenant.number) {
            tenant.exports.part(self.number);
        }
    }
}

impl Future for Entering {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        let share = Arc::clone(&self.share);
        let whose = share.whose();
        let mut state = share.cores().state();
        let entered = match self.ticket {
            Some(ticket) => !state.is_queued(whose, ticket, cx.waker()),
            None => state.try_enter(whose),
        };
        if !entered {
            if self.ticket.is_none() {
                self.ticket = Some(state.queue_up(whose, cx.waker()));
            }
            return Poll::Pending;
        }
        drop(state);
        self.ticket = None;
        Poll::Ready(Place {
            share,
            cost: EXPECTED,
        })
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let whose = self.share.whose();
            let cores = self.share.cores();
            cores.change(|state| state.give_up(whose, ticket));
        }
    }
}

impl Place {
    /// The slice is over, and has cost so much.
    pub fn finish(mut self, cost: Duration) {
        self.cost = cost;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (whose, cost) = (self.share.whose(), self.cost);
        self.share.cores().change(|state| state.leave(whose, cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = EXPECTED;

    fn poll(entering: &mut Entering) -> Option<Place> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(entering).poll(&mut cx) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    /// Exports with so many guests each that compute without end: how many of `slices` each gets.
    fn run(exports: &[(&Arc<CpuShare>, usize)], slices: usize) -> Vec<usize> {
        let mut waiting: Vec<(usize, Entering)> = Vec::new();
        for (export, (share, guests)) in exports.iter().enumerate() {
            waiting.extend((0..*guests).map(|_| (export, share.enter())));
        }
        let mut got = vec![0; exports.len()];
        while got.iter().sum::<usize>() < slices {
            let mut running = Vec::new();
            waiting.retain_mut(|(export, entering)| match poll(entering) {
                Some(place) => {
                    running.push((*export, place));
                    false
                }
                None => true,
            });
            assert!(!running.is_empty(), "a place is never left empty");
            for (export, place) in running {
                got[export] += 1;
                place.finish(SLICE);
                waiting.push((export, exports[export].0.enter()));
            }
        }
        got
    }

    /// Tenants of these weights, each with an export.
    fn tenants(cores: usize, weights: &[u64]) -> Vec<Arc<CpuShare>> {
        let cores = Cores::new(cores);
        let share = |weight: &u64| CpuShare::new(&CpuQuota::new(&cores, *weight), 100);
        weights.iter().map(share).collect()
    }

    #[test]
    fn cores_are_shared_by_tenants_not_by_guests() {
        let two = tenants(2, &[100, 100]);
        let got = run(&[(&two[0], 50), (&two[1], 2)], 1000);
        assert!(got[0].abs_diff(got[1]) <= 4, "{got:?}");
    }

    #[test]
    fn weights_are_shares() {
        let two = tenants(1, &[100, 300]);
        let got = run(&[(&two[0], 8), (&two[1], 8)], 1000);
        assert!(got[0].abs_diff(250) <= 3, "{got:?}");
    }

    #[test]
    fn a_tenants_exports_share_what_is_its_own_by_their_weights() {
        let cores = Cores::new(1);
        let (one, two) = (CpuQuota::new(&cores, 100), CpuQuota::new(&cores, 100));
        let (light, heavy) = (CpuShare::new(&one, 100), CpuShare::new(&one, 300));
        let other = CpuShare::new(&two, 1);
        let got = run(&[(&light, 8), (&heavy, 4), (&other, 1)], 1000);
        assert!(got[0].abs_diff(125) <= 4, "{got:?}");
        assert!(got[1].abs_diff(375) <= 4, "{got:?}");
    }

    #[test]
    fn alone_a_tenant_gets_all() {
        let two = tenants(4, &[1, 10_000]);
        assert_eq!(run(&[(&two[0], 4), (&two[1], 0)], 400), [400, 0]);
    }

    #[test]
    fn what_ran_without_a_place_counts() {
        let two = tenants(1, &[100, 100]);
        let held = poll(&mut two[0].enter()).unwrap();
        two[0].charge(SLICE * 10);
        let (mut first, mut second) = (two[0].enter(), two[1].enter());
        assert!(poll(&mut first).is_none());
        assert!(poll(&mut second).is_none());
        held.finish(SLICE);
        assert!(poll(&mut first).is_none(), "it had ten slices more");
        assert!(poll(&mut second).is_some());
    }

    #[test]
    fn a_place_that_nobody_takes_goes_to_the_next() {
        let share = tenants(1, &[100]).remove(0);
        let held = poll(&mut share.enter()).unwrap();
        let (mut first, mut second, mut third) = (share.enter(), share.enter(), share.enter());
        assert!(poll(&mut first).is_none());
        assert!(poll(&mut second).is_none());
        assert!(poll(&mut third).is_none());
        assert!(share.is_crowded());
        drop(second);
        drop(held);
        // The place is the first's now, who gives up.
        drop(first);
        let place = poll(&mut third).unwrap();
        assert!(!share.is_crowded());
        assert!(poll(&mut share.enter()).is_none());
        drop(place);
        assert!(poll(&mut share.enter()).is_some());
    }

    #[test]
    fn an_export_that_goes_leaves_nothing_behind() {
        let cores = Cores::new(1);
        let tenant = CpuQuota::new(&cores, 100);
        let (one, two) = (CpuShare::new(&tenant, 100), CpuShare::new(&tenant, 100));
        let held = poll(&mut two.enter()).unwrap();
        let mut waits = one.enter();
        assert!(poll(&mut waits).is_none());
        drop(waits);
        drop(one);
        assert!(!two.is_crowded());
        held.finish(SLICE);
        assert!(poll(&mut two.enter()).is_some());
    }
}
