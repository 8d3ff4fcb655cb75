//! The plugins that are loaded, each once however many exports are made of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use anyhow::ensure;
use device::TenantQuota;
use device::metrics::CompileMetrics;
use nbdbox_config::limits::Limits;
use runtime::cache::Digest;
use runtime::{Engine, Plugin};
use tokio::sync::{Mutex, Semaphore};

use crate::machine;

/// Loaded plugins, by digest.
#[derive(Debug)]
pub(crate) struct Library {
    engine: Engine,
    shelf: Mutex<HashMap<Digest, Arc<Mutex<Weak<Plugin>>>>>,
    /// Restrains many plugins that are asked for at once from starting as many compilers. Two at least: a
    /// tenant has one at a time.
    loading: Semaphore,
}

impl Library {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            shelf: Mutex::default(),
            loading: Semaphore::new(machine::cores().max(2)),
        }
    }

    /// The counters of the compiler.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Arc<CompileMetrics> {
        self.engine.metrics()
    }

    /// The plugin with this digest, from its file unless it's there. Loading needs its tenant's `permit`, so that a
    /// tenant who has many plugins that take long holds up nobody else, and is at the expense of its `quota`.
    ///
    /// # Errors
    /// It can't be loaded; the file isn't what it was when the configuration was read.
    pub(crate) async fn plugin(
        &self,
        path: &Path,
        digest: &Digest,
        limits: &Limits,
        quota: &Arc<TenantQuota>,
        permit: &Semaphore,
    ) -> anyhow::Result<Arc<Plugin>> {
        let place = {
            let mut shelf = self.shelf.lock().await;
            shelf.retain(|_, place| Arc::strong_count(place) > 1 || is_used(place));
            Arc::clone(shelf.entry(digest.clone()).or_default())
        };
        if let Some(plugin) = place.try_lock().ok().and_then(|place| place.upgrade()) {
            return Ok(plugin);
        }
        // Before the shelf's place: a tenant that waits for its permit mustn't keep others from the same plugin.
        let _permit = permit.acquire().await?;
        // Who wants the same one waits for it.
        let mut place = place.lock().await;
        if let Some(plugin) = place.upgrade() {
            return Ok(plugin);
        }
        let _loading = self.loading.acquire().await?;
        let plugin = Plugin::load(&self.engine, path, limits, quota).await?;
        ensure!(
            plugin.digest() == digest,
            "{} was changed since the configuration was read: its digest is {} now; reload",
            path.display(),
            plugin.digest()
        );
        *place = Arc::downgrade(&plugin);
        Ok(plugin)
    }
}

fn is_used(place: &Mutex<Weak<Plugin>>) -> bool {
    place
        .try_lock()
        .map_or(true, |plugin| plugin.strong_count() > 0)
}
