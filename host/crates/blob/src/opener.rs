//! The export that opens a file.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An export in one of its generations, as far as locks distinguish it.
///
/// If one export may write a file, other exports are denied it. The generations of one export share it: the code that
/// opens another generation makes sure that they don't both write.
#[derive(Clone, Debug)]
pub struct Opener {
    export: Arc<Export>,
    generation: u64,
}

#[derive(Debug)]
struct Export {
    /// The export's description for people.
    words: String,
    generations: AtomicU64,
}

impl Opener {
    /// A new export in its first generation. `words` describe it to people.
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

    /// A new generation of the same export.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        Self {
            export: Arc::clone(&self.export),
            generation: self.export.generations.fetch_add(1, Relaxed),
        }
    }

    /// Whether both are generations of the same export, but not the same generation.
    pub(crate) fn is_other_generation(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.export, &other.export) && self.generation != other.generation
    }
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.export.words)
    }
}
