//! The record of changes: a change that is confirmed and not pending is durable, and each client learns of each loss.

use std::sync::Arc;

use device::{Losses, Witness};
use durability::Unflushed;
use interleavings::{check, check_all, join};
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::thread;

/// A file whose changes are bits.
#[derive(Default)]
struct Disk {
    /// Changes in the page cache.
    made: AtomicUsize,
    /// Changes on the disk.
    durable: AtomicUsize,
    /// Changes that were confirmed to the client.
    confirmed: AtomicUsize,
    unflushed: Unflushed,
}

impl Disk {
    fn write(&self, change: usize) {
        self.made.fetch_or(change, SeqCst);
        self.unflushed.note_change();
        self.confirmed.fetch_or(change, SeqCst);
    }

    fn flush(&self, fails: bool) {
        let epoch = self.unflushed.begin_flush();
        if fails {
            return;
        }
        // It covers at least the changes that were made before.
        let made = self.made.load(SeqCst);
        self.durable.fetch_or(made, SeqCst);
        self.unflushed.finish_flush(epoch);
    }

    /// As a client that leaves: it needs no flush if no change is pending.
    fn ask(&self) {
        let before = self.confirmed.load(SeqCst);
        if !self.unflushed.is_pending() {
            self.assert_durable(before);
        }
    }

    /// As a flush that waits for another one: it needn't run if that one covers its changes.
    fn share_a_flush(&self) {
        let before = self.confirmed.load(SeqCst);
        let mark = self.unflushed.mark();
        thread::yield_now();
        if self.unflushed.has_flushed_since(mark) {
            self.assert_durable(before);
            assert!(
                self.unflushed.has_flushed_since(mark),
                "a flush was forgotten"
            );
        }
    }

    fn assert_durable(&self, changes: usize) {
        let durable = self.durable.load(SeqCst);
        assert_eq!(changes & !durable, 0, "a confirmed change was forgotten");
    }
}

type Deed = fn(&Disk);

const CHANGE: Deed = |disk| disk.write(1);
const FLUSH: Deed = |disk| disk.flush(false);

/// Every schedule of two threads.
#[test]
fn no_schedule_forgets_a_change() {
    let pairs: [(&[Deed], &[Deed]); 3] = [
        (&[CHANGE], &[FLUSH, Disk::ask]),
        (&[CHANGE, FLUSH], &[Disk::ask]),
        (&[CHANGE, Disk::share_a_flush], &[FLUSH]),
    ];
    for (one, two) in pairs {
        let schedules = check_all(move || {
            let disk = Arc::new(Disk::default());
            let other = thread::spawn({
                let disk = Arc::clone(&disk);
                move || two.iter().for_each(|deed| deed(&disk))
            });
            one.iter().for_each(|deed| deed(&disk));
            join([other]);
        });
        assert!(schedules > 100, "{schedules} schedules");
    }
}

#[test]
fn a_change_that_is_confirmed_and_not_pending_is_durable() {
    check(|| {
        let disk = Arc::new(Disk::default());
        let deeds: [Deed; 8] = [
            CHANGE,
            |disk| disk.write(2),
            |disk| disk.write(4),
            FLUSH,
            FLUSH,
            |disk| disk.flush(true),
            Disk::ask,
            Disk::share_a_flush,
        ];
        join(deeds.map(|deed| {
            let disk = Arc::clone(&disk);
            thread::spawn(move || deed(&disk))
        }));
        disk.ask();
        disk.flush(false);
        assert!(!disk.unflushed.is_pending(), "a change stays pending");
        disk.ask();
    });
}

#[test]
fn each_client_learns_of_each_loss_once() {
    check(|| {
        let losses = Arc::new(Losses::new());
        let client = || Witness::client(vec![Arc::clone(&losses)]);
        let (one, two) = (client(), client());
        let loses = {
            let losses = Arc::clone(&losses);
            thread::spawn(move || losses.note())
        };
        let listens = |client: Witness| {
            let hears = move || {
                let heard = client.hears_of_a_loss();
                (client, heard)
            };
            thread::spawn(hears)
        };
        let (one, two) = (listens(one), listens(two));
        join([loses]);
        for listens in [one, two] {
            let (client, heard) = listens.join().unwrap();
            assert_ne!(heard, client.hears_of_a_loss(), "once");
        }
        assert!(!losses.is_untold());
        assert!(
            !client().hears_of_a_loss(),
            "other clients have learnt of it"
        );
    });
}
