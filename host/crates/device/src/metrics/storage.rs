//! The operations of storage that take long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Operations of storage that go on, each with its kind, blob and start. Only those that take long are entered here.
#[derive(Debug, Default)]
pub struct StorageWaits(Mutex<Going>);

#[derive(Debug, Default)]
struct Going {
    next: u64,
    operations: BTreeMap<u64, Operation>,
}

#[derive(Debug)]
struct Operation {
    what: &'static str,
    blob: String,
    since: Instant,
    /// Bytes that are done, and bytes in all.
    progress: Option<(u64, u64)>,
}

/// An operation that goes on until this is dropped.
#[derive(Debug)]
pub struct StorageWait {
    waits: Arc<StorageWaits>,
    number: u64,
}

/// An operation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenWait {
    /// `read`, `write`, `flush`, `trim`, `zero` or `extents`.
    pub what: &'static str,
    /// The blob's name.
    pub blob: String,
    /// The time that it has taken so far.
    pub took: Duration,
    /// Bytes that are done, and bytes in all; `None` if nobody knows them.
    pub progress: Option<(u64, u64)>,
}

impl StorageWaits {
    /// Enters an operation on `blob` that began at `since`.
    #[must_use]
    pub fn begin(self: &Arc<Self>, what: &'static str, blob: &str, since: Instant) -> StorageWait {
        let mut going = self.going();
        let number = going.next;
        going.next += 1;
        let operation = Operation {
            what,
            blob: blob.to_owned(),
            since,
            progress: None,
        };
        going.operations.insert(number, operation);
        StorageWait {
            waits: Arc::clone(self),
            number,
        }
    }

    /// The operations that go on, the oldest first.
    #[must_use]
    pub fn seen(&self, now: Instant) -> Vec<SeenWait> {
        let seen = |operation: &Operation| SeenWait {
            what: operation.what,
            blob: operation.blob.clone(),
            took: now.saturating_duration_since(operation.since),
            progress: operation.progress,
        };
        self.going().operations.values().map(seen).collect()
    }

    fn going(&self) -> MutexGuard<'_, Going> {
        // No code panics half-way through a change while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageWait {
    /// Records that `done` of `all` bytes are done.
    pub fn note_progress(&self, done: u64, all: u64) {
        if let Some(operation) = self.waits.going().operations.get_mut(&self.number) {
            operation.progress = Some((done, all));
        }
    }
}

impl Drop for StorageWait {
    fn drop(&mut self) {
        self.waits.going().operations.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_listed_until_it_ends() {
        let (waits, now) = (Arc::<StorageWaits>::default(), Instant::now());
        let flush = waits.begin("flush", "disk", now);
        let zero = waits.begin("zero", "disk", now);
        zero.note_progress(1, 4);
        let later = now + Duration::from_secs(3);
        let seen = waits.seen(later);
        let expected = SeenWait {
            what: "flush",
            blob: "disk".to_owned(),
            took: Duration::from_secs(3),
            progress: None,
        };
        assert_eq!(seen[0], expected);
        assert_eq!((seen[1].what, seen[1].progress), ("zero", Some((1, 4))));
        drop(flush);
        assert_eq!(waits.seen(later).len(), 1);
        drop(zero);
        assert_eq!(waits.seen(later), []);
    }
}
