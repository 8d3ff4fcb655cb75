//! How a model runs, and what the models share.

use std::env;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};

/// How many schedules of each kind [`check`] tries if the variable SCHEDULES isn't set.
const SCHEDULES: usize = 5000;

/// How long the schedules of one kind may take if SCHEDULES isn't set: with all models, less than a minute on two cores.
const TIME: Duration = Duration::from_secs(2);

/// How often a schedule with priorities (PCT) lowers the priority of the running thread.
const CHANGES_OF_PRIORITY: usize = 3;

/// The stack of each thread of a model, in bytes. Shuttle's default is too small for a panic and its backtrace.
const STACK: usize = 256 << 10;

/// Runs a model in many schedules. In one half of them chance decides at each step which thread goes on; in the other
/// half threads have priorities that change a few times (PCT), which finds bugs that chance seldom meets. If the
/// variable SCHEDULE has a schedule that a failure printed, the model runs in that one only.
///
/// # Panics
/// The model panicked, or all of its threads wait.
pub fn check(model: impl Fn() + Clone + Send + Sync + 'static) {
    let model = with_reset(model);
    if let Ok(schedule) = env::var("SCHEDULE") {
        return shuttle::replay(model, &schedule);
    }
    let (count, time) = bounds();
    let mut config = config();
    config.max_time = time;
    Runner::new(RandomScheduler::new(count), config.clone()).run(model.clone());
    Runner::new(PctScheduler::new(CHANGES_OF_PRIORITY, count), config).run(model);
}

/// Runs a small model in every schedule that it has. Returns their number. The model must not use random numbers.
///
/// # Panics
/// The model panicked, or all of its threads wait.
pub fn check_all(model: impl Fn() + Clone + Send + Sync + 'static) -> usize {
    let every = DfsScheduler::new(None, false);
    Runner::new(every, config()).run(with_reset(model))
}

/// Waits until `ready` returns true. It's called again whenever its task is woken.
pub fn wait_until(mut ready: impl FnMut(&Context<'_>) -> bool) {
    shuttle::future::block_on(poll_fn(|cx| match ready(cx) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }));
}

/// Waits for the end of a model's threads.
pub fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a panic ends the execution");
    }
}

fn with_reset<F: Fn() + Clone>(model: F) -> impl Fn() + Clone {
    move || {
        stand_in_std::reset();
        model();
    }
}

/// How many schedules of each kind to try, and for how long.
fn bounds() -> (usize, Option<Duration>) {
    match env::var("SCHEDULES") {
        Ok(count) => {
            let count = count.parse().expect("SCHEDULES must be a number");
            (count, None)
        }
        Err(_) => (SCHEDULES, Some(TIME)),
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    // Shuttle would warn that it takes all orderings for SeqCst. README.md says so.
    config.silence_warnings = true;
    config
}
