//! What a connection holds of an export for as long as it lasts.

use std::sync::Arc;

use runtime::PluginExport;

use super::slot::{ConnectionPermits, Slot};

/// A connection's permits. When the export's last connection gives them back, the export gives back what it doesn't
/// need for its data to stay.
#[derive(Debug)]
pub(super) struct Hold {
    /// Says how many are connected; dropped before `slot` is asked.
    permits: Option<ConnectionPermits>,
    slot: Arc<Slot>,
    export: Arc<PluginExport>,
}

impl Hold {
    pub(super) fn new(
        permits: ConnectionPermits,
        slot: Arc<Slot>,
        export: Arc<PluginExport>,
    ) -> Self {
        Self {
            permits: Some(permits),
            slot,
            export,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.permits = None;
        if self.slot.connections() == 0 {
            self.export.release_idle();
        }
    }
}
