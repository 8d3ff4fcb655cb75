//! The shares that have a slot on the cores, and those that wait for one. It knows tasks only by their wakers, and no
//! clock.

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
    /// The number of the next ticket.
    next: u64,
    tenants: Fair<Tenant>,
    /// Tickets that have a slot but haven't collected it, and since when they have it. At most as many as there are
    /// slots.
    given: Vec<(u64, Instant)>,
}

#[derive(Debug)]
struct Tenant {
    exports: Fair<Export>,
    /// How many tickets wait, readable without the lock.
    length: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Export {
    queue: VecDeque<(u64, Waker)>,
}

/// One share of the cores: the numbers of a tenant and of one of its exports.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShareId(pub(super) u64, pub(super) u64);

impl Scheduler {
    /// `count` slots, all free.
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            taken: 0,
            next: 0,
            tenants: Fair::default(),
            given: Vec::new(),
        }
    }

    /// Adds a tenant, and counts its waiting tickets in `length`. Returns its number.
    pub(super) fn join(&mut self, weight: u64, length: &Arc<AtomicUsize>) -> u64 {
        let tenant = Tenant {
            exports: Fair::default(),
            length: Arc::clone(length),
        };
        self.tenants.join(weight, tenant)
    }

    /// Adds an export of a tenant. Returns its number there.
    pub(super) fn join_export(&mut self, tenant: u64, weight: u64) -> u64 {
        let tenant = self.tenants.own(tenant);
        tenant.map_or(0, |own| own.exports.join(weight, Export::default()))
    }

    /// Removes a tenant without exports.
    pub(super) fn part(&mut self, tenant: u64) {
        self.tenants.part(tenant);
    }

    /// Removes an export that has no slot and no waiting ticket.
    pub(super) fn part_export(&mut self, tenant: u64, export: u64) {
        if let Some(tenant) = self.tenants.own(tenant) {
            tenant.exports.part(export);
        }
    }

    /// Replaces a tenant's weight, for later charges.
    pub(super) fn set_weight(&mut self, tenant: u64, weight: u64) {
        self.tenants.set_weight(tenant, weight);
    }

    /// Charges a share for time without a slot.
    pub(super) fn charge(&mut self, share: ShareId, cost: Duration) {
        self.settle(share, cost, Duration::ZERO);
    }

    /// Charges a share the cost beyond what it has paid, or returns what it has paid too much.
    fn settle(&mut self, share: ShareId, cost: Duration, paid: Duration) {
        self.tenants.charge(share.0, cost, paid);
        if let Some(tenant) = self.tenants.own(share.0) {
            tenant.exports.charge(share.1, cost, paid);
        }
    }

    /// Takes a free slot. If one is free, no ticket waits for it, since slots are handed out at once. Returns the start
    /// of the slot, `now`.
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

    /// Returns a slot that was held for `held`.
    pub(super) fn give_back(&mut self, share: ShareId, held: Duration) {
        self.taken -= 1;
        self.settle(share, held, SLICE);
    }

    /// Queues a share. Returns its ticket.
    pub(super) fn queue_up(&mut self, share: ShareId, waker: &Waker) -> u64 {
        let ticket = self.next;
        self.next += 1;
        if let Some(export) = self.export(share) {
            export.queue.push_back((ticket, waker.clone()));
            self.wait(share);
        }
        ticket
    }

    /// The start of the slot that the ticket has got. `None` if the ticket still waits; then `waker` replaces its task.
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

    /// Gives up a ticket, and the slot that it has got.
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

    /// Gives free slots to waiting tickets. To be called after each change that may free a slot. The caller must wake
    /// the returned tasks.
    pub(super) fn hand_out(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.taken < self.count
            && let Some((share, (ticket, waker))) = self.pop()
        {
            self.begin(share);
            self.given.push((ticket, now));
            woken.push(waker);
        }
        self.check();
        woken
    }

    /// Checks the invariants in debug builds: at the end of each transition, when free slots have been handed out. It
    /// goes through all exports of the process, which are few in a debug build.
    pub(super) fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        self.tenants.check(|tenant| {
            tenant
                .exports
                .check(|export| self.check_queue(&export.queue));
            let waits = tenant.exports.waits();
            assert_eq!(tenant.length.load(Ordering::Relaxed), waits);
            waits
        });
        assert!(self.given.len() <= self.taken && self.taken <= self.count);
        let waits = self.tenants.waits();
        assert!(
            waits == 0 || self.taken == self.count,
            "{waits} wait for free slots"
        );
    }

    /// Tickets are in order, and none of them has a slot. Returns their number.
    fn check_queue(&self, queue: &VecDeque<(u64, Waker)>) -> usize {
        assert!(queue.iter().is_sorted_by(|(one, _), (two, _)| one < two));
        let waits = |ticket| queue.binary_search_by_key(ticket, |(own, _)| *own).is_ok();
        assert!(
            !self.given.iter().any(|(ticket, _)| waits(ticket)),
            "it has a slot"
        );
        queue.len()
    }

    /// The share that has the next turn, and its first ticket, which leaves the queue.
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

    /// Exports whose guests compute without end, on as many threads as there are slots.
    struct Scene {
        slots: Scheduler,
        now: Instant,
    }

    /// A task, which runs the slices of its guests one after the other.
    struct Task {
        share: ShareId,
        /// The tickets of guests that wait.
        tickets: Vec<u64>,
        /// The start of each slot that the task has.
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

        /// Adds an export of the tenant.
        fn export(&mut self, tenant: u64, weight: u64) -> ShareId {
            ShareId(tenant, self.slots.join_export(tenant, weight))
        }

        /// Adds a tenant with one export.
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

        /// Runs for `slices` slices; each task has the given number of guests. Returns the number of slices of each
        /// task.
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

    /// `count` tasks of one guest each.
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
    fn a_tenants_exports_share_its_part_by_their_weights() {
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
    fn a_share_pays_for_slots_that_it_holds_without_a_thread() {
        let mut scene = Scene::new(2);
        let (hoards, fair) = (scene.sole(100), scene.sole(100));
        // The first share's guests are all in one task, which can use only one of two slots.
        let all = [vec![(hoards, 64)], tasks(fair, 2)];
        let got = scene.run(&all.concat(), 1000);
        let fair = sum(&got[1..]);
        assert!(fair >= 990, "one of two cores is its share: {got:?}");
    }

    #[test]
    fn a_slot_costs_from_the_moment_at_which_it_is_given() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.sole(100), scene.sole(100));
        let held = scene.slots.take(one, scene.now).unwrap();
        let late = scene.slots.queue_up(two, Waker::noop());
        scene.now += SLICE;
        scene.slots.give_back(one, scene.now - held);
        assert_eq!(scene.slots.hand_out(scene.now).len(), 1);
        let given = scene.now;
        scene.now += 10 * SLICE;
        // It collects its slot after others could have had ten turns.
        let since = scene.slots.collect(two, late, Waker::noop());
        assert_eq!(since, Some(given));
        scene.slots.give_back(two, scene.now - given);
        let got = scene.run(&[tasks(one, 1), tasks(two, 1)].concat(), 8);
        assert_eq!(got, [8, 0]);
    }

    #[test]
    fn time_without_a_slot_counts() {
        let mut scene = Scene::new(1);
        let (one, two) = (scene.sole(100), scene.sole(100));
        scene.slots.charge(one, SLICE * 10);
        let got = scene.run(&[tasks(one, 1), tasks(two, 1)].concat(), 10);
        assert!(got[1] >= 9, "{got:?}");
    }
}
