//! Lanes: each job is done once or its caller gets an error, and idle threads end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use ::lanes::{Lane, LaneError, Work};
use fair_cores::{Cores, CpuQuota, CpuShare, SLICE};
use interleavings::{check, join};
use shuttle::future::block_on;
use shuttle::thread;
use stand_in_std::thread::may_refuse;
use stand_in_std::time::{Duration, advance};

/// Longer than a thread waits for a job.
const LONG: Duration = Duration::from_secs(60);

/// Counts finished jobs. The atomics are real ones, so that counting adds no step to the model.
#[derive(Clone, Default)]
struct Tally(Arc<Counts>);

#[derive(Default)]
struct Counts {
    done: AtomicUsize,
    /// Jobs that were dropped before they were done.
    given_up: AtomicUsize,
}

/// A job that counts its end.
struct Job {
    tally: Tally,
    done: bool,
}

impl Tally {
    fn job(&self) -> impl FnOnce() + Send + 'static {
        let mut job = Job {
            tally: self.clone(),
            done: false,
        };
        move || job.finish()
    }

    fn counts(&self) -> (usize, usize) {
        (self.0.done.load(SeqCst), self.0.given_up.load(SeqCst))
    }
}

impl Job {
    fn finish(&mut self) {
        assert!(Work::is_here(), "not on a thread of the lane");
        self.done = true;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let count = match self.done {
            true => &self.tally.0.done,
            false => &self.tally.0.given_up,
        };
        count.fetch_add(1, SeqCst);
    }
}

/// Advances the clock until all threads of the lane have ended.
fn let_all_end(lane: &Lane) {
    while lane.threads() > 0 {
        advance(LONG);
        thread::yield_now();
    }
    assert_eq!(lane.waiting(), 0, "a job was left behind");
}

/// A caller that begins jobs and waits for none.
fn begins(lane: &Lane, tally: &Tally, jobs: usize) -> thread::JoinHandle<()> {
    let (work, tally) = (lane.charging(None), tally.clone());
    thread::spawn(move || {
        for _ in 0..jobs {
            work.begin(tally.job()).unwrap();
        }
    })
}

/// A caller that waits for each job.
fn runs(work: Work, tally: &Tally, jobs: usize) -> thread::JoinHandle<()> {
    let tally = tally.clone();
    thread::spawn(move || {
        for _ in 0..jobs {
            assert_eq!(block_on(work.run(tally.job())), Ok(()));
        }
    })
}

/// Lets idle threads time out at any moment.
fn time_passes() -> thread::JoinHandle<()> {
    thread::spawn(|| {
        for _ in 0..3 {
            advance(LONG);
        }
    })
}

#[test]
fn each_job_is_done_though_idle_threads_end() {
    check(|| {
        let (lane, tally) = (Lane::new("alice"), Tally::default());
        join([
            begins(&lane, &tally, 2),
            begins(&lane, &tally, 1),
            runs(lane.charging(None), &tally, 2),
            time_passes(),
        ]);
        let_all_end(&lane);
        assert_eq!(tally.counts(), (5, 0));
    });
}

#[test]
fn a_job_without_a_thread_is_an_error_for_its_caller() {
    check(|| {
        may_refuse(true);
        let lane = Lane::new("alice");
        let queues = |waits: bool| {
            let (work, tally) = (lane.charging(None), Tally::default());
            let job = tally.job();
            let queues = move || match waits {
                true => block_on(work.run(job)),
                false => work.begin(job),
            };
            (thread::spawn(queues), tally)
        };
        let all = [queues(true), queues(false), queues(false)];
        let all = all.map(|(thread, tally)| (thread.join().unwrap(), tally));
        may_refuse(false);
        let_all_end(&lane);
        for (result, tally) in all {
            match result {
                Ok(()) => assert_eq!(tally.counts(), (1, 0), "its caller expects it to be done"),
                Err(LaneError::NoThread) => assert_eq!(tally.counts(), (0, 1)),
                Err(LaneError::Panicked) => panic!("nothing panicked"),
            }
        }
    });
}

#[test]
fn a_job_that_panics_or_runs_another_one_keeps_no_thread() {
    check(|| {
        let (lane, tally) = (Lane::new("alice"), Tally::default());
        let panics = {
            let work = lane.charging(None);
            thread::spawn(move || {
                let failed = work.run(|| std::panic::resume_unwind(Box::new("on purpose")));
                assert_eq!(block_on(failed), Err::<(), _>(LaneError::Panicked));
            })
        };
        let nests = {
            let (work, inner) = (lane.charging(None), lane.charging(None));
            let job = tally.job();
            thread::spawn(move || {
                let outer = work.run(move || block_on(inner.run(job)));
                assert_eq!(block_on(outer), Ok(Ok(())));
            })
        };
        join([panics, nests, begins(&lane, &tally, 1)]);
        let_all_end(&lane);
        assert_eq!(tally.counts(), (2, 0));
    });
}

#[test]
fn a_caller_that_gives_up_delays_no_other() {
    check(|| {
        let (lane, tally) = (Lane::new("alice"), Tally::default());
        let gives_up = {
            let (work, job) = (lane.charging(None), tally.job());
            thread::spawn(move || {
                let waits = std::pin::pin!(work.run(job));
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                let _ = waits.poll(&mut cx);
            })
        };
        join([gives_up, runs(lane.charging(None), &tally, 1)]);
        let_all_end(&lane);
        assert_eq!(tally.counts(), (2, 0));
    });
}

/// Two exports on one core, each with more than a slice to pay for.
#[test]
fn exports_that_owe_time_take_turns() {
    check(|| {
        let (cores, lane, tally) = (Cores::new(1), Lane::new("alice"), Tally::default());
        let tenant = CpuQuota::new(&cores, 100);
        let export = || {
            let share = CpuShare::new(&tenant, 100);
            share.owe(SLICE * 2);
            runs(lane.charging(Some(share)), &tally, 2)
        };
        join([export(), export()]);
        let_all_end(&lane);
        assert_eq!(tally.counts(), (4, 0));
    });
}
