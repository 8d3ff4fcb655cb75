//! Who opens files.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An export that opens files, in one of its generations.
///
/// A file that one export may write is refused to others. The generations of an export share it: whoever opens another
/// one sees to it that they don't both write.
#[derive(Clone, Debug)]
pub struct Opener {
    export: Arc<Export>,
    generation: u64,
}

#[derive(Debug)]
struct Export {
    /// For people.
    words: String,
    generations: AtomicU64,
}

impl Opener {
    /// An export that is no other, in its first generation. `words` name it for people.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Self {
        Self {
            export: Arc::new(Export {
                words: words.into(),
                generations: AtomicU64::new(1),
            }),
            generation: 0,
        }
    }

    /// The same export in a generation that is no other.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        Self {
            export: Arc::clone(&self.export),
            generation: self.export.generations.fetch_add(1, Relaxed),
        }
    }

    /// Whether it's another generation of the same export.
    pub(crate) fn is_other_generation(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.export, &other.export) && self.generation != other.generation
    }
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.export.words)
    }
}
