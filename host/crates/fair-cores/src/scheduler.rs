//! Which shares have a slot on the cores, and which wait for one. It knows tasks only by their wakers, and no clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::SLICE;
use crate::fair::Fair;

/// All slots.
#[derive(Debug)]
pub(super) struct Scheduler {
    count: usize,
    taken: usize,
    /// The number of the next who waits.
    next: u64,
    tenants: Fair<Tenant>,
    /// Tickets with a slot that nobody has come for yet, and since when it's theirs. As many as there are
    /// slots at most.
    given: Vec<(u64, Instant)>,
}

#[derive(Debug)]
struct Tenant {
    exports: Fair<Export>,
    /// How many wait, for those who look without the lock.
    length: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Export {
    queue: VecDeque<(u64, Waker)>,
}

/// The numbers of a tenant and of an export of it: one share of the cores.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShareId(pub(super) u64, pub(super) u64);

impl Scheduler {
    /// So many, all free.
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            taken: 0,
            next: 0,
            tenants: Fair::default(),
            given: Vec::new(),
        }
    }

    /// One more tenant, who is told how many of its guests wait. Returns its number.
    pub(super) fn join(&mut self, weight: u64, length: &Arc<AtomicUsize>) -> u64 {
        let tenant = Tenant {
            exports: Fair::default(),
            length: Arc::clone(length),
        };
        self.tenants.join(weight, tenant)
    }

    /// One more export of a tenant. Returns its number there.
    pub(super) fn join_export(&mut self, tenant: u64, weight: u64) -> u64 {
        let tenant = self.tenants.own(tenant);
        tenant.map_or(0, |own| own.exports.join(weight, Export::default()))
    }

    /// A tenant without exports goes.
    pub(super) fn part(&mut self, tenant: u64) {
        self.tenants.part(tenant);
    }

    /// An export of which nobody waits, and nobody has a slot, goes.
    pub(super) fn part_export(&mut self, tenant: u64, export: u64) {
        if let Some(tenant) = self.tenants.own(tenant) {
            tenant.exports.part(export);
        }
    }

    /// Sets a tenant's weight for what is to come.
    pub(super) fn set_weight(&mut self, tenant: u64, weight: u64) {
        self.tenants.set_weight(tenant, weight);
    }

    /// Charges for what ran without a slot.
    pub(super) fn charge(&mut self, share: ShareId, cost: Duration) {
        self.settle(share, cost, Duration::ZERO);
    }

    /// Charges for what was had, beyond what was paid for it.
    fn settle(&mut self, share: ShareId, cost: Duration, paid: Duration) {
        self.tenants.charge(share.0, cost, paid);
        if let Some(tenant) = self.tenants.own(share.0) {
            tenant.exports.charge(share.1, cost, paid);
        }
    }

    /// Takes a slot if there is one: then nobody waits for it, since they're handed out at once. Returns
    /// since when it's taken.
    pub(super) fn take(&mut self, share: ShareId, now: Instant) -> Option<Instant> {
        let free = self.taken < self.count;
        free.then(|| {
            self.begin(share);
            now
        })
    }

    fn begin(&mut self, share: ShareId) {
        self.taken += 1;
        self.tenants.begin(share.0);
        if let Some(tenant) = self.tenants.own(share.0) {
            tenant.exports.begin(share.1);
        }
        self.settle(share, SLICE, Duration::ZERO);
    }

    /// Gives back a slot that was held for so long.
    pub(super) fn give_back(&mut self, share: ShareId, held: Duration) {
        self.taken -= 1;
        self.settle(share, held, SLICE);
    }

    /// Waits in line. Returns a ticket.
    pub(super) fn queue_up(&mut self, share: ShareId, waker: &Waker) -> u64 {
        let ticket = self.next;
        self.next += 1;
        if let Some(export) = self.export(share) {
            export.queue.push_back((ticket, waker.clone()));
            self.wait(share);
        }
        ticket
    }

    /// The slot that a ticket has got, and since when; else it still waits, and its task is the one to be
    /// woken.
    pub(super) fn collect(
        &mut self,
        share: ShareId,
        ticket: u64,
        waker: &Waker,
    ) -> Option<Instant> {
        let since = self.take_given(ticket);
        if since.is_none() {
            let queue = self.export(share).map(|export| &mut export.queue);
            let mut waiting = queue.into_iter().flatten();
            if let Some((_, own)) = waiting.find(|(own, _)| *own == ticket) {
                own.clone_from(waker);
            }
        }
        since
    }

    fn take_given(&mut self, ticket: u64) -> Option<Instant> {
        let index = self.given.iter().position(|(own, _)| *own == ticket)?;
        Some(self.given.swap_remove(index).1)
    }

    /// Gives up a ticket, or the slot that it got.
    pub(super) fn give_up(&mut self, share: ShareId, ticket: u64, now: Instant) {
        if let Some(since) = self.take_given(ticket) {
            return self.give_back(share, now.saturating_duration_since(since));
        }
        let Some(export) = self.export(share) else {
            return;
        };
        let before = export.queue.len();
        export.queue.retain(|(own, _)| *own != ticket);
        if export.queue.len() < before {
            self.unwait(share);
        }
    }

    /// Gives slots that are free to those who wait. To be called after each change by which a slot may
    /// have come free; who is returned is to be woken.
    pub(super) fn hand_out(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.taken < self.count
            && let Some((share, (ticket, waker))) = self.pop()
        {
            self.begin(share);
            self.given.push((ticket, now));
            woken.push(waker);
        }
        woken
    }

    /// The share whose turn it is, and the ticket that was its first: it waits no longer.
    fn pop(&mut self) -> Option<(ShareId, (u64, Waker))> {
        let tenant = self.tenants.first()?;
        let share = ShareId(tenant, self.tenants.own(tenant)?.exports.first()?);
        let first = self.export(share)?.queue.pop_front()?;
        self.unwait(share);
        Some((share, first))
    }

    fn export(&mut self, share: ShareId) -> Option<&mut Export> {
        self.tenants.own(share.0)?.exports.own(share.1)
    }

    fn wait(&mut self, share: ShareId) {
        self.tenants.wait(share.0);
        if let Some(tenant) = self.tenants.own(share.0) {
            tenant.exports.wait(share.1);
            tenant.length.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unwait(&mut self, share: ShareId) {
        self.tenants.unwait(share.0);
        if let Some(tenant) = self.tenants.own(share.0) {
            tenant.exports.unwait(share.1);
            tenant.length.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exports whose guests all compute without end, as many as there are threads at once.
    struct Scene {
        slots: Scheduler,
        now: Instant,
    }

    /// A task: it runs its guests' slices one after the other.
    struct Task {
        share: ShareId,
        /// Guests that wait.
        tickets: Vec<u64>,
        /// Since when those that may run have their slots.
        running: Vec<Instant>,
    }

    impl Scene {
        fn new(cores: usize) -> Self {
            Self {
                slots: Scheduler::new(cores),
                now: Instant::now(),
            }
        }

        fn tenant(&mut self, weight: u64) -> u64 {
            self.slots.join(weight, &Arc::default())
        }

        /// An export of the tenant's.
        fn export(&mut self, tenant: u64, weight: u64) -> ShareId {
            ShareId(tenant, self.slots.join_export(tenant, weight))
        }

        /// A tenant with one export.
        fn sole(&mut self, weight: u64) -> ShareId {
            let tenant = self.tenant(weight);
            self.export(tenant, 100)
        }

        fn hand_out(&mut self, tasks: &mut [Task]) {
            let _ = self.slots.hand_out(self.now);
            for task in tasks {
                let Task { share, tickets, .. } = task;
                tickets.retain(|ticket| {
                    let since = self.slots.collect(*share, *ticket, Waker::noop());
                    task.running.extend(since);
                    since.is_none()
                });
            }
        }

        /// So many slices' time, with tasks of so many guests each. Returns how many slices each had.
        fn run(&mut self, tasks: &[(ShareId, usize)], slices: usize) -> Vec<usize> {
            let mut queue_up = |(share, guests): &(ShareId, usize)| Task {
                share: *share,
                tickets: (0..*guests)
                    .map(|_| self.slots.queue_up(*share, Waker::noop()))
                    .collect(),
                running: Vec::new(),
            };
            let mut tasks: Vec<Task> = tasks.iter().map(&mut queue_up).collect();
            let mut got = vec![0; tasks.len()];
            for _ in 0..slices {
                self.hand_out(&mut tasks);
                self.now += SLICE;
                for (task, got) in tasks.iter_mut().zip(&mut got) {
                    if task.running.is_empty() {
                        continue;
                    }
                    let since = task.running.remove(0);
                    *got += 1;
                    self.slots.give_back(task.share, self.now - since);
                    task.tickets
                        .push(self.slots.queue_up(task.share, Waker::noop()));
                }
            }
            got
        }
    }

    /// So many tasks of one guest each.
    fn tasks(share: ShareId, count: usize) -> Vec<(ShareId, usize)> {
        vec![(share, 1); count]
    }

    fn sum(slices: &[usize]) -> usize {
        slices.iter().sum()
    }

    #[test]
    fn cores_are_shared_by_tenants_not_by_guests() {
        let mut scene = Scene::new(2);
        let (one, two) = (scene.sole(100), scene.sole(100));
        let got = scene.run(&[tasks(one, 50), tasks(two, 2)].concat(), 500);
        let (one, two) = (sum(&got[..50]), sum(&got[50..]));
        assert!(one.abs_diff(two) <= 4, "{one} {two}");
    }

    #[test]
    fn weights_are_shares() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.sole(100), scene.sole(300));
        let got = scene.run(&[tasks(one, 8), tasks(two, 8)].concat(), 1000);
        assert!(sum(&got[..8]).abs_diff(250) <= 3, "{got:?}");
    }

    #[test]
    fn a_tenants_exports_share_what_is_its_own_by_their_weights() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.tenant(100), scene.tenant(100));
        let (light, heavy) = (scene.export(one, 100), scene.export(one, 300));
        let other = scene.export(two, 1);
        let all = [tasks(light, 8), tasks(heavy, 4), tasks(other, 1)];
        let got = scene.run(&all.concat(), 1000);
        assert!(sum(&got[..8]).abs_diff(125) <= 4, "{got:?}");
        assert!(sum(&got[8..12]).abs_diff(375) <= 4, "{got:?}");
    }

    #[test]
    fn alone_a_tenant_gets_all() {
        let mut scene = Scene::new(4);
        let (one, _two) = (scene.sole(1), scene.sole(10_000));
        assert_eq!(scene.run(&tasks(one, 4), 100), [100; 4]);
    }

    #[test]
    fn who_holds_places_without_a_thread_pays_for_them() {
        let mut scene = Scene::new(2);
        let (hoards, fair) = (scene.sole(100), scene.sole(100));
        // All guests of the first are in one task: of two slots it can use one.
        let all = [vec![(hoards, 64)], tasks(fair, 2)];
        let got = scene.run(&all.concat(), 1000);
        let fair = sum(&got[1..]);
        assert!(fair >= 990, "one of two cores is its share: {got:?}");
    }

    #[test]
    fn a_place_is_paid_for_from_when_it_was_given() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.sole(100), scene.sole(100));
        let held = scene.slots.take(one, scene.now).unwrap();
        let late = scene.slots.queue_up(two, Waker::noop());
        scene.now += SLICE;
        scene.slots.give_back(one, scene.now - held);
        assert_eq!(scene.slots.hand_out(scene.now).len(), 1);
        let given = scene.now;
        scene.now += 10 * SLICE;
        // It comes for its slot when others would have had ten turns.
        let since = scene.slots.collect(two, late, Waker::noop());
        assert_eq!(since, Some(given));
        scene.slots.give_back(two, scene.now - given);
        let got = scene.run(&[tasks(one, 1), tasks(two, 1)].concat(), 8);
        assert_eq!(got, [8, 0]);
    }

    #[test]
    fn what_ran_without_a_place_counts() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.sole(100), scene.sole(100));
        scene.slots.charge(one, SLICE * 10);
        let got = scene.run(&[tasks(one, 1), tasks(two, 1)].concat(), 10);
        assert!(got[1] >= 9, "{got:?}");
    }
}
