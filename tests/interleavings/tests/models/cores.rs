//! Slots on the cores: each ticket gets one, and no more are held than there are cores.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use fair_cores::{CoreSlot, Cores, CpuQuota, CpuShare, SLICE};
use interleavings::{check, join};
use shuttle::future::block_on;
use shuttle::thread;
use stand_in_std::time::advance;

/// Counts the slots that are held. The atomic is a real one, so that counting adds no step to the model.
#[derive(Clone)]
struct Held {
    now: Arc<AtomicUsize>,
    most: usize,
}

impl Held {
    fn new(most: usize) -> Self {
        let now = Arc::default();
        Self { now, most }
    }

    /// Holds a slot for a slice, and returns it.
    fn hold(&self, slot: CoreSlot) {
        let others = self.now.fetch_add(1, SeqCst);
        assert!(others < self.most, "more slots than cores");
        advance(SLICE);
        self.now.fetch_sub(1, SeqCst);
        drop(slot);
    }
}

/// Polls once, for a task that can't be woken.
fn poll<F: Future>(entering: Pin<&mut F>) -> Option<F::Output> {
    match entering.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(slot) => Some(slot),
        Poll::Pending => None,
    }
}

/// A tenant with one export.
fn tenant(cores: &Arc<Cores>) -> Arc<CpuShare> {
    CpuShare::new(&CpuQuota::new(cores, 100), 100)
}

/// A guest that computes for this many slices.
fn guest(share: &Arc<CpuShare>, held: &Held, slices: usize) -> thread::JoinHandle<()> {
    let (share, held) = (Arc::clone(share), held.clone());
    thread::spawn(move || {
        for _ in 0..slices {
            held.hold(block_on(share.enter()));
        }
    })
}

/// All slots are free, and the share knows that no ticket waits.
fn assert_at_rest(share: &Arc<CpuShare>, cores: usize) {
    let all: Vec<_> = (0..cores).map(|_| poll(pin!(share.enter()))).collect();
    assert!(all.iter().all(Option::is_some), "a slot is missing");
    assert!(
        poll(pin!(share.enter())).is_none(),
        "there is a slot too many"
    );
    assert!(!share.must_queue(), "a ticket seems to wait");
}

#[test]
fn all_guests_get_their_slices() {
    for cores in [1, 2] {
        check(move || {
            let (process, held) = (Cores::new(cores), Held::new(cores));
            let (one, two) = (tenant(&process), tenant(&process));
            join([
                guest(&one, &held, 2),
                guest(&one, &held, 1),
                guest(&two, &held, 2),
                guest(&two, &held, 1),
            ]);
            assert_at_rest(&one, cores);
        });
    }
}

#[test]
fn a_slot_that_is_not_collected_goes_to_the_next_ticket() {
    check(|| {
        let (process, held) = (Cores::new(1), Held::new(1));
        let (one, two) = (tenant(&process), tenant(&process));
        let gives_up = {
            let share = Arc::clone(&one);
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut entering = share.enter();
                    let slot = poll(Pin::new(&mut entering));
                    thread::yield_now();
                    // The ticket still waits, or has a slot that it hasn't collected, or has collected it.
                    drop((entering, slot));
                }
            })
        };
        join([gives_up, guest(&one, &held, 1), guest(&two, &held, 2)]);
        assert_at_rest(&one, 1);
    });
}

#[test]
fn the_task_that_polled_last_is_woken() {
    check(|| {
        let process = Cores::new(1);
        let (one, two) = (tenant(&process), tenant(&process));
        let slot = poll(pin!(one.enter())).unwrap();
        let mut entering = two.enter();
        assert!(poll(Pin::new(&mut entering)).is_none());
        let waits = thread::spawn(move || drop(block_on(entering)));
        join([thread::spawn(move || drop(slot)), waits]);
        assert_at_rest(&one, 1);
    });
}

#[test]
fn tenants_and_exports_come_and_go_while_others_compute() {
    check(|| {
        let (process, held) = (Cores::new(1), Held::new(1));
        let stays = CpuQuota::new(&process, 100);
        let share = CpuShare::new(&stays, 100);
        let comes_and_goes = {
            let (process, held) = (Arc::clone(&process), held.clone());
            thread::spawn(move || {
                let share = tenant(&process);
                share.owe(SLICE * 3);
                held.hold(block_on(share.enter()));
                let mut entering = share.enter();
                let slot = poll(Pin::new(&mut entering));
                drop(share);
                drop((entering, slot));
            })
        };
        let weighs = {
            let stays = Arc::clone(&stays);
            thread::spawn(move || stays.set(1))
        };
        let second = CpuShare::new(&stays, 300);
        join([
            comes_and_goes,
            weighs,
            guest(&share, &held, 2),
            guest(&second, &held, 1),
        ]);
        drop(second);
        assert_at_rest(&share, 1);
    });
}
