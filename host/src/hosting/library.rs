//! Loaded plugins, each once, however many exports use it.

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
    /// Restrains clients that request many plugins at once: without it, as many compilers would start. At least two,
    /// because a tenant takes one place at a time.
    loading: Semaphore,
}

impl Library {
    /// A library without plugins.
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

    /// The plugin with this digest; loads it from its file unless it's loaded already. Loading takes its tenant's
    /// `permit`, so that a tenant with many slow plugins holds up no other, and counts towards its `quota`.
    ///
    /// # Errors
    /// The plugin can't be loaded; its file has changed since the configuration was read.
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
        // Taken before the lock on the shelf's place: a tenant that waits for its permit mustn't keep others from the
        // same plugin.
        let _permit = permit.acquire().await?;
        // Others that need the same plugin wait here.
        let mut place = place.lock().await;
        if let Some(plugin) = place.upgrade() {
            return Ok(plugin);
        }
        let _loading = self.loading.acquire().await?;
        let plugin = Plugin::load(&self.engine, path, limits, quota).await?;
        ensure!(
            plugin.digest() == digest,
            "{} has changed since the configuration was read: its digest is now {}; reload the configuration",
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
