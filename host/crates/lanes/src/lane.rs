//! A lane: its threads, and access to them.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fair_cores::CpuShare;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::clock::{Computed, thread_time};
use crate::queue::Queue;

/// The most threads of a lane. Restrains a tenant. With fewer, a disk that can do several things at once would do one.
const THREADS: usize = 8;

/// How long a thread without a job lives on.
const REST: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one owner, for work that blocks. They begin when there is work for them, eight at most, and end after
/// ten seconds without work. Clones are the same lane.
#[derive(Clone)]
pub struct Lane(Arc<Shared>);

struct Shared {
    owner: String,
    queue: Mutex<Queue<Job>>,
    come: Condvar,
    /// The CPU time of its threads.
    computed: Computed,
}

/// The host's own lane.
static HOST: LazyLock<Work> = LazyLock::new(|| Lane::new("host").charging(None));

/// Why a job has no result. The host is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LaneError {
    /// The kernel can't create a thread.
    #[error(
        "the kernel can't create another thread for the server; raise its limit of processes or tasks"
    )]
    NoThread,
    /// The work panicked.
    #[error("the work panicked: this is a bug of nbdbox")]
    Panicked,
}

/// An export's access to its tenant's lane, which charges the work to the export.
#[derive(Clone, Debug)]
pub struct Work {
    lane: Lane,
    share: Option<Arc<CpuShare>>,
    /// A counter for its CPU time, in addition to the lane's own.
    counted: Option<Arc<Computed>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("owner", &self.0.owner)
            .finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane without threads, so far. The names of its threads contain `owner`.
    #[must_use]
    pub fn new(owner: &str) -> Self {
        Self(Arc::new(Shared {
            owner: owner.to_owned(),
            queue: Mutex::new(Queue::new(THREADS)),
            come: Condvar::new(),
            computed: Computed::default(),
        }))
    }

    /// The lane for work on behalf of the operator: certificates, configuration, the compile cache, the pages of the
    /// admin listener. Each of these has a bound of its own.
    #[must_use]
    pub fn of_the_host() -> &'static Self {
        &HOST.lane
    }

    /// Access for work that is charged to `share`; `None` if nobody shares the cores.
    #[must_use]
    pub fn charging(&self, share: Option<Arc<CpuShare>>) -> Work {
        Work {
            lane: self.clone(),
            share,
            counted: None,
        }
    }

    /// The number of its threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.queue().threads()
    }

    /// The number of jobs that wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue().waiting()
    }

    /// The CPU time of its threads.
    #[must_use]
    pub fn computed(&self) -> &Computed {
        &self.0.computed
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Job>> {
        // No code panics while it holds the lock.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, job: Job) -> Result<(), LaneError> {
        let mut queue = self.queue();
        // The thread begins, or fails to, before another caller sees the queue. So each job that stays there has a thread.
        let begun = match queue.push(job) {
            true => self.begin_thread(),
            false => Ok(()),
        };
        let given_up = begun.is_err().then(|| queue.cannot_begin()).flatten();
        drop(queue);
        self.0.come.notify_one();
        if let Err(error) = begun {
            let owner = &self.0.owner;
            tracing::error!(target: "nbdbox::lanes", owner, "can't start a thread: {error}");
        }
        // Without it, the other threads will take the job.
        match given_up {
            Some(_) => Err(LaneError::NoThread),
            None => Ok(()),
        }
    }

    fn begin_thread(&self) -> io::Result<()> {
        // The kernel truncates the name to 15 bytes.
        let name = format!("lane-{}", self.0.owner);
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name(name);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where threads for others' work begin: the lane's owner, eight at most"
        )]
        thread.spawn(move || shared.work()).map(drop)
    }
}

std::thread_local! {
    /// Whether this thread belongs to a lane.
    static IS_LANES: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    /// Runs jobs until there are none for a while.
    fn work(&self) {
        IS_LANES.set(true);
        let lock = || self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = lock();
        loop {
            if let Some(job) = queue.pop() {
                drop(queue);
                job();
                queue = lock();
                continue;
            }
            queue.rest();
            let waited = self.come.wait_timeout(queue, REST);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.wake();
            if timeout.timed_out() && queue.waiting() == 0 {
                queue.end();
                return;
            }
        }
    }
}

impl Work {
    /// Access for the host's own work, which is charged to no export.
    #[must_use]
    pub fn of_the_host() -> &'static Self {
        &HOST
    }

    /// The same access for a layer of the export: `computed` counts its CPU time too.
    #[must_use]
    pub fn counting(&self, computed: &Arc<Computed>) -> Self {
        Self {
            counted: Some(Arc::clone(computed)),
            ..self.clone()
        }
    }

    /// Whether this thread belongs to a lane. Such a thread must not wait for work that is queued for a lane.
    #[must_use]
    pub fn is_here() -> bool {
        IS_LANES.get()
    }

    /// Queues `work` for one of the lane's threads, without waiting for it or for the export's [`turn`](Self::turn).
    /// The work is charged like other work. The caller bounds the amount of it. On a lane's own thread, `work` runs at
    /// once.
    ///
    /// # Errors
    /// The lane has no thread, and can't get one: `work` was dropped.
    pub fn begin(&self, work: impl FnOnce() + Send + 'static) -> Result<(), LaneError> {
        if IS_LANES.get() {
            // If it panicked, its own state shows what is left undone.
            let _ = catch_unwind(AssertUnwindSafe(work));
            return Ok(());
        }
        self.submit(work, drop)
    }

    /// Runs `work` on one of the lane's threads, when the export has its turn. If the future is dropped, the work may
    /// still run; then its result is lost.
    ///
    /// On a lane's own thread, `work` runs at once, since that thread must not wait for another one.
    ///
    /// The queue has no bound of its own: its jobs belong to requests, which are bounded by their tenant's quotas.
    ///
    /// # Errors
    /// The lane has no thread, and can't get one; or `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LaneError> {
        if IS_LANES.get() {
            return catch_unwind(AssertUnwindSafe(work)).map_err(|_| LaneError::Panicked);
        }
        self.turn().await;
        let (sender, done) = oneshot::channel();
        self.submit(work, move |result| {
            // The future may have been dropped.
            let _ = sender.send(result);
        })?;
        match done.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(LaneError::Panicked),
            Err(_) => Err(LaneError::NoThread),
        }
    }

    /// Waits for the export's turn if it has had more than its share. Dropping the future is safe.
    pub async fn turn(&self) {
        if let Some(share) = &self.share
            && share.must_queue()
        {
            // The slot is returned at once: a thread that waits for a disk needs no core.
            drop(share.enter().await);
        }
    }

    /// Queues `work`, charges its CPU time, and passes its result to `told`.
    fn submit<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        told: impl FnOnce(thread::Result<T>) + Send + 'static,
    ) -> Result<(), LaneError> {
        let Self {
            lane,
            share,
            counted,
        } = self.clone();
        let job = move || {
            let begun = thread_time();
            let result = catch_unwind(AssertUnwindSafe(work));
            let computed = thread_time().saturating_sub(begun);
            if let Some(share) = share {
                share.owe(computed);
            }
            if let Some(counted) = counted {
                counted.add(computed);
            }
            lane.computed().add(computed);
            told(result);
        };
        self.lane.submit(Box::new(job))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test's own tasks")]
mod tests {
    use std::sync::mpsc;

    use fair_cores::{Cores, CpuQuota};

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_the_owners_thread() {
        let work = Lane::new("alice").charging(None);
        let name = work
            .run(|| thread::current().name().map(str::to_owned))
            .await;
        assert_eq!(name.unwrap().unwrap(), "lane-alice");
        assert_eq!(work.lane.threads(), 1);
    }

    #[tokio::test]
    async fn work_that_was_begun_is_done_and_charged() {
        let work = Lane::new("alice").charging(None);
        let (sender, told) = oneshot::channel();
        let counted = Arc::default();
        let begun = work.counting(&counted).begin(move || {
            let begun = thread_time();
            while thread_time() == begun {}
            sender.send(Work::is_here()).unwrap();
        });
        begun.unwrap();
        assert!(told.await.unwrap());
        assert!(!Work::is_here());
        // The time is counted after the message was sent.
        while counted.nanoseconds() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_on_work_needs_no_second_thread() {
        let lane = Lane::new("alice");
        let (work, inner) = (lane.charging(None), lane.charging(None));
        let runtime = tokio::runtime::Handle::current();
        let done = work.run(move || runtime.block_on(inner.run(|| 7))).await;
        assert_eq!(done, Ok(Ok(7)));
        assert_eq!(lane.threads(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_lives_on() {
        let work = Lane::new("alice").charging(None);
        // If a panic ended its thread, the lane would have no thread left after these.
        for _ in 0..THREADS {
            let failed = work
                .run(|| std::panic::resume_unwind(Box::new("told to")))
                .await;
            assert_eq!(failed, Err::<(), _>(LaneError::Panicked));
        }
        assert_eq!(work.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_blocked_lane_delays_no_other_lane() {
        let (alice, bob) = (Lane::new("alice"), Lane::new("bob"));
        let (stop, mut blocked) = (Arc::new(std::sync::Barrier::new(THREADS + 1)), Vec::new());
        for _ in 0..THREADS {
            let (work, stop) = (alice.charging(None), Arc::clone(&stop));
            blocked.push(tokio::spawn(async move {
                work.run(move || stop.wait().is_leader()).await
            }));
        }
        let (sent, work) = (Arc::new(Mutex::new(false)), alice.charging(None));
        let late = {
            let sent = Arc::clone(&sent);
            tokio::spawn(async move { work.run(move || *sent.lock().unwrap() = true).await })
        };
        while alice.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bob.charging(None).run(|| 7).await, Ok(7));
        assert_eq!((alice.threads(), *sent.lock().unwrap()), (THREADS, false));
        tokio::task::spawn_blocking(move || stop.wait())
            .await
            .unwrap();
        for done in blocked {
            done.await.unwrap().unwrap();
        }
        late.await.unwrap().unwrap();
        assert!(*sent.lock().unwrap());
    }

    #[tokio::test]
    async fn cpu_time_is_charged_before_the_next_job() {
        let cores = Cores::new(1);
        let share = CpuShare::new(&CpuQuota::new(&cores, 100), 100);
        let other = CpuShare::new(&CpuQuota::new(&cores, 100), 100);
        let lane = Lane::new("alice");
        let work = lane.charging(Some(Arc::clone(&share)));
        work.run(|| {
            let begun = thread_time();
            while thread_time() - begun < fair_cores::SLICE {
                std::hint::spin_loop();
            }
        })
        .await
        .unwrap();
        assert!(Duration::from_nanos(lane.computed().nanoseconds()) >= fair_cores::SLICE);
        assert!(share.must_queue());
        let held = other.enter().await;
        let (told, heard) = mpsc::channel();
        let next = tokio::spawn(async move { work.run(move || told.send(()).unwrap()).await });
        tokio::task::yield_now().await;
        assert!(heard.try_recv().is_err(), "the other has the core");
        drop(held);
        next.await.unwrap().unwrap();
        heard.recv().unwrap();
        assert!(!share.must_queue(), "it has paid");
    }
}
