//! The compile cache of a configuration.

use nbdbox_config::config;
use runtime::cache::{Cache, SIZE};

/// The cache that a configuration names; one for this process alone, and a warning, where it can't be used.
#[must_use]
pub(crate) fn open_cache(wanted: &config::Cache) -> Cache {
    let cache = match &wanted.path {
        Some(path) => Cache::folder(path),
        None => Cache::default_folder(),
    };
    cache.keeping(wanted.size.unwrap_or(SIZE))
}
