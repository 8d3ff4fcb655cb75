//! Whether a connection may begin another request, and when its go is over so that others get their turn.
//!
//! A *go* is one poll of the connection's task. It consists of *rounds*, in each of which requests begin, replies are
//! sent and more requests are read. These are all the rules by which connections are kept fair to each other and to
//! their server:
//!
//! | rule | whom it restrains | too small | too large |
//! |---|---|---|---|
//! | [`ROUNDS`] in a go | a client that always has another request ready | the task is queued and woken for little work | the other connections of this thread wait for `ROUNDS` × `BATCH` requests |
//! | [`BATCH`] requests in a round | a client that sends many requests at once | a system call for each few replies | the client idles while replies are made, and these have left the processor's cache when they're sent |
//! | [`BACKLOG`] of unsent replies | a client that doesn't read its replies | large reads are sent one at a time, while nothing else begins | replies leave the processor's cache, and wait in memory for a client that may never read them |
//! | [`WAIT_BUDGET`] in a go | a connection whose requests each compute for a tick before they yield | few requests that wait for a disk are under way together | the other connections of this thread wait for a tick per request |
//! | time slice: [`SLICE`](fair_cores::SLICE), if tenants share the cores | a tenant whose connections ask without end | the lock of the cores is taken too often | the other tenants wait for that long |
//! | admission: `requests` and `inflight` of the connection, the export and the tenant, with [`OVERHEAD`] | who has much under way: it's held in memory | the device isn't kept busy | the server's memory is exhausted |
//!
//! How they combine:
//!
//! - A request begins if all rules let it, and they are asked in this order: wait budget and batch, backlog, time
//!   slice, admission. So no connection has a place on the cores or a permit of the admission for a request that
//!   another rule holds up.
//! - A go is over if the rounds, the wait budget or the time slice are used up. The task then wakes itself, and stands
//!   behind the others of its thread. Without progress it ends earlier, and is woken by what it waits for.
//! - For a time slice and for admission connections queue with others. A connection whose client doesn't read, or that
//!   begins nothing more, [leaves these queues](Gate::step_back): nobody waits behind it.
//! - What was begun is never held up: replies are collected and sent whatever the rules say.
//! - When the server stops, neither backlog nor time slice holds up what has been read: whoever is to stop isn't kept
//!   waiting.

mod admission;
mod time_slice;
mod wait_budget;

use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use device::metrics::Metrics;
use fair_cores::CpuShare;
use nbdbox_config::limits::Limits;
use quota::FlowQuota;

pub(super) use admission::Permit;

use admission::Admission;
use time_slice::TimeSlice;
use wait_budget::WaitBudget;

/// Rounds in one go.
const ROUNDS: u32 = 16;

/// Requests that begin in one round.
const BATCH: u32 = 32;

/// Bytes of unsent replies beyond which no request begins.
const BACKLOG: usize = 256 << 10;

/// Time from the first request of a go that waits to the last. A guest that computes runs for a tick (1 ms) before it
/// yields; a request that waits for a disk takes a few microseconds to get there.
const WAIT_BUDGET: Duration = Duration::from_micros(500);

/// Bytes that each request counts for beside its data: its own bookkeeping.
const OVERHEAD: u64 = 256;

/// The rules for one connection, and what it has used up of each.
#[derive(Debug)]
pub(super) struct Gate {
    admission: Admission,
    slice: TimeSlice,
    waits: WaitBudget,
    /// Rounds of this go, the one under way included.
    rounds: u32,
    /// Requests that began in this round.
    begun: u32,
    /// Since when a request has waited for admission.
    held_up: Option<Instant>,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// A gate for a connection with nothing under way. What it lets in counts for `flows` too, and takes its time from
    /// `cpu` where the cores are shared. Waits are noted in `metrics`.
    pub(super) fn new(
        limits: &Limits,
        flows: [Option<&Arc<FlowQuota>>; 2],
        cpu: Option<&Arc<CpuShare>>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            admission: Admission::new(limits, flows),
            slice: TimeSlice::new(cpu, metrics),
            waits: WaitBudget::default(),
            rounds: 0,
            begun: 0,
            held_up: None,
            metrics: Arc::clone(metrics),
        }
    }

    /// A go begins.
    pub(super) fn begin_go(&mut self) {
        self.slice.begin();
        self.waits = WaitBudget::default();
        self.rounds = 0;
    }

    /// A round begins.
    pub(super) fn begin_round(&mut self) {
        self.rounds += 1;
        self.begun = 0;
    }

    /// Whether the round has room for another request.
    pub(super) fn has_room(&self) -> bool {
        self.begun < BATCH && !self.waits.is_over()
    }

    /// Whether so many bytes of unsent replies hold up the next request.
    pub(super) fn is_backed_up(unsent: usize) -> bool {
        unsent > BACKLOG
    }

    /// Whether there's time for the next request, which has come: else the task is woken when there is.
    pub(super) fn has_time(&mut self, cx: &mut Context<'_>) -> bool {
        self.slice.may_work(cx)
    }

    /// Admits a request that will hold so many bytes. `None` if it has to wait: until one of this connection leaves,
    /// or until the task is woken because it's this connection's turn. Then the gate is to be asked for the same
    /// request again.
    pub(super) fn enter(&mut self, bytes: u64, cx: &Context<'_>) -> Option<Permit> {
        let permit = self.admission.enter(bytes, cx);
        if permit.is_none() {
            self.held_up.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.held_up.take() {
            self.metrics.admission_waits.note(since.elapsed());
        }
        permit
    }

    /// A request has begun.
    pub(super) fn note_begun(&mut self) {
        self.begun += 1;
    }

    /// A request that has begun has to wait.
    pub(super) fn note_wait(&mut self, now: Instant) {
        self.waits.note(now, WAIT_BUDGET);
    }

    /// A request's reply was sent, or is lost with its client.
    pub(super) fn leave(&mut self, permit: Permit) {
        self.admission.leave(permit);
    }

    /// Waits for no core any longer, and gives back the one that it got for what hasn't begun.
    pub(super) fn give_up_core(&mut self) {
        self.slice.give_up();
    }

    /// Leaves all queues. If the connection asks again, it does so at their ends.
    pub(super) fn step_back(&mut self) {
        self.admission.step_back();
        self.slice.give_up();
    }

    /// Whether a request is under way, or waits to begin.
    pub(super) fn is_busy(&self) -> bool {
        self.admission.requests() > 0 || self.admission.is_queued() || self.slice.is_waiting()
    }

    /// Whether what is under way could be what other connections wait for.
    pub(super) fn shares(&self) -> bool {
        self.admission.shares()
    }

    /// Whether other connections wait for requests or bytes that this one has; else the task is woken when they do.
    pub(super) fn is_wanted(&mut self, cx: &Context<'_>) -> bool {
        self.admission.is_wanted(cx)
    }

    /// Whether it's the turn of other connections.
    pub(super) fn is_go_over(&self) -> bool {
        self.rounds >= ROUNDS || self.waits.is_over() || self.slice.is_over()
    }

    /// A go ends: its time is charged.
    pub(super) fn end_go(&mut self) {
        self.slice.end();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use fair_cores::{Cores, CpuQuota};

    use super::*;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn gate() -> Gate {
        gate_of(None, None)
    }

    fn gate_of(tenant: Option<&Arc<FlowQuota>>, cpu: Option<&Arc<CpuShare>>) -> Gate {
        let mut gate = Gate::new(&Limits::default(), [None, tenant], cpu, &Arc::default());
        gate.begin_go();
        gate.begin_round();
        gate
    }

    #[test]
    fn a_round_has_room_for_a_batch() {
        let mut gate = gate();
        for _ in 0..BATCH {
            assert!(gate.has_room());
            gate.note_begun();
        }
        assert!(!gate.has_room());
        assert!(!gate.is_go_over());
        gate.begin_round();
        assert!(gate.has_room());
    }

    #[test]
    fn a_go_is_over_after_its_rounds() {
        let mut gate = gate();
        for _ in 1..ROUNDS {
            assert!(!gate.is_go_over());
            gate.begin_round();
        }
        assert!(gate.is_go_over());
        gate.begin_go();
        gate.begin_round();
        assert!(!gate.is_go_over());
    }

    #[test]
    fn a_go_is_over_when_its_waits_took_too_long() {
        let mut gate = gate();
        let start = Instant::now();
        gate.note_wait(start);
        gate.note_wait(start + WAIT_BUDGET / 2);
        assert!(gate.has_room() && !gate.is_go_over());
        gate.note_wait(start + WAIT_BUDGET);
        assert!(!gate.has_room() && gate.is_go_over());
        gate.begin_round();
        assert!(!gate.has_room(), "another round is of the same go");
        gate.begin_go();
        assert!(gate.has_room());
    }

    #[test]
    fn a_gate_is_busy_until_the_last_reply_was_sent() {
        let mut gate = gate();
        assert!(!gate.is_busy());
        let permit = gate.enter(512, &cx()).unwrap();
        assert!(gate.is_busy());
        gate.leave(permit);
        assert!(!gate.is_busy());
    }

    #[test]
    fn a_wait_for_admission_is_noted_once() {
        let flow = FlowQuota::new(1, 1 << 20);
        let (mut one, mut two) = (gate_of(Some(&flow), None), gate_of(Some(&flow), None));
        let first = one.enter(0, &cx()).unwrap();
        assert!(two.enter(0, &cx()).is_none());
        assert!(two.enter(0, &cx()).is_none());
        assert!(two.is_busy());
        one.leave(first);
        let second = two.enter(0, &cx()).unwrap();
        two.leave(second);
        assert_eq!(one.metrics.admission_waits.count(), 0);
        assert_eq!(two.metrics.admission_waits.count(), 1);
    }

    #[test]
    fn whoever_steps_back_is_in_nobodys_way() {
        let flow = FlowQuota::new(1, 1 << 20);
        let share = CpuShare::new(&CpuQuota::new(&Cores::new(1), 100), 100);
        let mut first = gate_of(Some(&flow), None);
        let under_way = first.enter(0, &cx()).unwrap();
        let mut waits = gate_of(Some(&flow), Some(&share));
        assert!(waits.enter(0, &cx()).is_none());
        share.owe(fair_cores::SLICE);
        assert!(!waits.has_time(&mut cx()), "others go first");
        assert!(waits.is_busy());
        waits.step_back();
        assert!(!waits.is_busy());
        first.leave(under_way);
        let mut next = gate_of(Some(&flow), Some(&share));
        assert!(next.enter(0, &cx()).is_some());
    }

    #[test]
    fn no_request_begins_without_the_core_that_its_export_needs() {
        let share = CpuShare::new(&CpuQuota::new(&Cores::new(1), 100), 100);
        let mut gate = gate_of(None, Some(&share));
        assert!(gate.has_time(&mut cx()), "on credit");
        gate.end_go();
        share.owe(fair_cores::SLICE);
        gate.begin_go();
        assert!(!gate.has_time(&mut cx()), "others go first");
        gate.end_go();
        gate.begin_go();
        assert!(gate.has_time(&mut cx()));
        gate.give_up_core();
        assert!(gate.has_time(&mut cx()), "what works goes on");
    }
}
