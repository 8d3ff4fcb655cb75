//! What is counted of compiling, by the digest of what is compiled.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Digests that are told apart; those that come later are counted together, under an empty one. Restrains
/// an operator's script that brings another plugin with each reload.
const DIGESTS: usize = 4096;

/// The counters of a compile cache. A plugin is asked for once, not with each request: here a lock is cheap
/// enough.
#[derive(Debug, Default)]
pub struct CompileMetrics(Mutex<BTreeMap<String, Compiling>>);

/// What became of one plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiling {
    /// Times that it was compiled.
    pub compiled: u64,
    /// How long that took in all.
    pub took: Duration,
    /// Times that its code was there.
    pub hits: u64,
    /// Times that it could not be compiled.
    pub failures: u64,
}

impl CompileMetrics {
    /// It was compiled.
    pub fn compiled(&self, digest: String, took: Duration) {
        self.note(digest, |compiling| {
            compiling.compiled += 1;
            compiling.took += took;
        });
    }

    /// Its code was there.
    pub fn hit(&self, digest: String) {
        self.note(digest, |compiling| compiling.hits += 1);
    }

    /// It could not be compiled.
    pub fn failed(&self, digest: String) {
        self.note(digest, |compiling| compiling.failures += 1);
    }

    /// All plugins, by digest.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, Compiling> {
        self.all().clone()
    }

    fn note(&self, digest: String, note: impl FnOnce(&mut Compiling)) {
        let mut all = self.all();
        let told_apart = all.len() < DIGESTS || all.contains_key(&digest);
        let digest = if told_apart { digest } else { String::new() };
        note(all.entry(digest).or_default());
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Compiling>> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_digest_has_its_own_and_there_are_only_so_many() {
        let metrics = CompileMetrics::default();
        metrics.compiled("a".to_owned(), Duration::from_secs(2));
        metrics.hit("a".to_owned());
        for number in 0..2 * DIGESTS {
            metrics.failed(number.to_string());
        }
        metrics.hit("a".to_owned());
        let all = metrics.snapshot();
        let a = Compiling {
            compiled: 1,
            took: Duration::from_secs(2),
            hits: 2,
            failures: 0,
        };
        assert_eq!(all["a"], a);
        assert_eq!(all.len(), DIGESTS + 1);
        assert_eq!(all[""].failures, DIGESTS as u64 + 1);
    }
}
