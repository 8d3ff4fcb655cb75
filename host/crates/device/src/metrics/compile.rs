//! What the compiler did, counted by the digest of the plugin.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many digests have counters of their own. Later ones are counted together, under an empty digest. Restrains an
/// operator's script that brings another plugin with each reload: without this, the map would grow for ever.
const DIGESTS: usize = 4096;

/// The counters of a compile cache. A lock is cheap enough here: a plugin is loaded once, not with each request.
#[derive(Debug, Default)]
pub struct CompileMetrics(Mutex<BTreeMap<String, Compiling>>);

/// What was counted for one plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiling {
    /// Compilations.
    pub compiled: u64,
    /// The time that these took together.
    pub took: Duration,
    /// Loads for which the cache had the code.
    pub hits: u64,
    /// Compilations that failed.
    pub failures: u64,
}

impl CompileMetrics {
    /// Counts a compilation that took `took`.
    pub fn compiled(&self, digest: String, took: Duration) {
        self.note(digest, |compiling| {
            compiling.compiled += 1;
            compiling.took += took;
        });
    }

    /// Counts a load for which the cache had the code.
    pub fn hit(&self, digest: String) {
        self.note(digest, |compiling| compiling.hits += 1);
    }

    /// Counts a compilation that failed.
    pub fn failed(&self, digest: String) {
        self.note(digest, |compiling| compiling.failures += 1);
    }

    /// The counts of all plugins, by digest.
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
        // No code panics half-way through a change while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_digest_has_its_own_counters_up_to_a_bound() {
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
