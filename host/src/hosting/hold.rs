//! What a connection holds of an export for as long as it lasts.

use std::sync::Arc;

use super::generation::{Generation, Presence};
use super::slot::{ConnectionPermits, Opened, Slot};

/// A connection's permits, and its presence. When the last connection of what is open has left, that gives back what it
/// doesn't need for its data to stay.
#[derive(Debug)]
pub(super) struct Hold {
    /// Given back when the generation knows that the client has left.
    _permits: ConnectionPermits,
    presence: Option<Presence<Opened>>,
    generation: Arc<Generation<Opened>>,
    /// A slot that isn't configured any more is there for as long as somebody is connected to it.
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
