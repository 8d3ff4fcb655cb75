//! What a connection holds of an export while it lasts.

use std::sync::Arc;

use super::generation::{Generation, Presence};
use super::slot::{ConnectionPermits, Opened, Slot};

/// A connection's permits, and its presence. When the last connection of a generation has left, the generation returns
/// everything except what it needs to keep its data.
#[derive(Debug)]
pub(super) struct Hold {
    /// Returned after the presence: the generation knows by then that the client has left.
    _permits: ConnectionPermits,
    presence: Option<Presence<Opened>>,
    generation: Arc<Generation<Opened>>,
    /// A slot that is no longer configured stays while a client is connected to it.
    _slot: Arc<Slot>,
}

impl Hold {
    pub(super) fn new(
        permits: ConnectionPermits,
        slot: Arc<Slot>,
        presence: Presence<Opened>,
    ) -> Self {
        Self {
            _permits: permits,
            generation: Arc::clone(presence.generation()),
            presence: Some(presence),
            _slot: slot,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.presence = None;
        if !self.generation.has_clients() {
            self.generation.opened().export().release_idle();
        }
    }
}
