//! The compile cache of a configuration.

use nbdbox_config::config;
use runtime::cache::{Cache, SIZE};

/// The cache that a configuration names.
///
/// # Errors
/// The folder can't be made, or others can write to it.
pub(crate) fn open_cache(wanted: &config::Cache) -> anyhow::Result<Cache> {
    let cache = match &wanted.path {
        Some(path) => Cache::folder(path)?,
        None => Cache::default_folder()?,
    };
    Ok(cache.keeping(wanted.size.unwrap_or(SIZE)))
}
