//! The export's disk: bytes in memory, with waits, failures and losses that the seed decides.

mod course;
mod door;

use std::sync::{Arc, Mutex, MutexGuard};

use device::Losses;
use fastrand::Rng;
use tokio::time::sleep;

pub(crate) use door::Door;

use crate::history::Content;
use crate::ledger::{Entry, Ledger, Pages};
use crate::schedule::{DiskPlan, Schedule, chance, time};
use course::Course;

pub(crate) struct Disk {
    plan: DiskPlan,
    /// Bytes of the longest read or write.
    longest: u64,
    quotas: Quotas,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    losses: Arc<Losses>,
}

/// The most requests and bytes that may be under way at once.
struct Quotas {
    connection: (usize, u64),
    /// Those of the export, and those of its tenant.
    all: [(usize, u64); 2],
}

struct State {
    random: Rng,
    bytes: Vec<u8>,
}

impl Disk {
    pub(crate) fn new(schedule: &Schedule, ledger: &Arc<Ledger>) -> Arc<Self> {
        let Schedule {
            disk: plan,
            export,
            limits,
            tenant,
            ..
        } = schedule;
        let total = limits
            .total_requests
            .map(|most| usize::try_from(most).unwrap());
        let export_quota = (
            total.unwrap_or(usize::MAX),
            limits.total_inflight.unwrap_or(u64::MAX),
        );
        Arc::new(Self {
            plan: plan.clone(),
            longest: export.enforced().maximum().into(),
            quotas: Quotas {
                connection: (limits.requests, limits.inflight),
                all: [export_quota, (tenant.requests, tenant.inflight)],
            },
            ledger: Arc::clone(ledger),
            state: Mutex::new(State {
                random: Rng::with_seed(plan.seed),
                bytes: Content::Initial.bytes(0..export.size),
            }),
            losses: Arc::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits as long as an open, an enter or a leave takes. Returns whether it succeeds.
    pub(crate) async fn around(&self) -> bool {
        let (wait, refuses) = {
            let random = &mut self.state().random;
            (
                time(random, self.plan.around),
                chance(random, self.plan.refuses),
            )
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        !refuses
    }

    /// Whether the disk has a guest of a client whose connection the world didn't drop.
    pub(crate) fn keeps(&self, client: usize) -> bool {
        let book = &self.ledger.open().books[client];
        book.guests > 0 && !book.cut
    }

    fn course(&self) -> Course {
        Course::draw(&self.plan, &mut self.state().random)
    }

    /// Checks that no quota is exceeded. A single request may always be under way.
    fn check_quotas(&self, pages: &Pages, client: usize) {
        let under_way = |entries: &mut dyn Iterator<Item = &Entry>| {
            let weights = entries
                .filter(|entry| entry.is_under_way())
                .map(Entry::weight);
            weights.fold((0, 0), |(count, sum), weight| (count + 1, sum + weight))
        };
        let own = under_way(&mut pages.books[client].entries.iter());
        let all = under_way(&mut pages.books.iter().flat_map(|book| &book.entries));
        let Quotas {
            connection,
            all: [export, tenant],
        } = self.quotas;
        for ((count, bytes), (most, most_bytes)) in
            [(own, connection), (all, export), (all, tenant)]
        {
            let fits = count <= most && bytes <= most_bytes;
            assert!(
                fits || count == 1,
                "{count} requests and {bytes} bytes are under way"
            );
        }
    }

    /// Loses a change that it has answered.
    fn lose(&self) {
        let mut pages = self.ledger.open();
        let tick = pages.note("disk", format_args!("loses"));
        pages.losses.push(tick);
        self.losses.note();
    }
}
