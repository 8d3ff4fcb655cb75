//! The compile cache of a configuration.

use nbdbox_config::config;
use runtime::cache::{Cache, SIZE};

/// Opens the cache of a configuration. If it can't be used, logs a warning and opens one for this process alone.
#[must_use]
pub(crate) fn open_cache(wanted: &config::Cache) -> Cache {
    let cache = match &wanted.path {
        Some(path) => Cache::folder(path),
        None => Cache::default_folder(),
    };
    cache.keeping(wanted.size.unwrap_or(SIZE))
}
