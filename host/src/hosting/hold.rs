//! What a connection holds of an export for as long as it lasts.

use std::sync::Arc;

use runtime::PluginExport;

use super::slot::{Places, Slot};

/// A connection's permits. When the export's last connection gives them back, the export gives back what it doesn't
/// need for its data to stay.
#[derive(Debug)]
pub(super) struct Hold {
    /// Says how many are connected; dropped before `slot` is asked.
    places: Option<Places>,
    slot: Arc<Slot>,
    export: Arc<PluginExport>,
}

impl Hold {
    pub(super) fn new(places: Places, slot: Arc<Slot>, export: Arc<PluginExport>) -> Self {
        Self {
            places: Some(places),
            slot,
            export,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.places = None;
        if self.slot.connections() == 0 {
            self.export.release_idle();
        }
    }
}
