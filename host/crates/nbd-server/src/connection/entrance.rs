//! The entrance of a listener: its clients take a place here, and give it back once they have chosen an export.

use std::sync::Arc;

use fair_cores::CpuShare;
use nbd_proto::Offers;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::polling::Pollers;
use super::strangers::{Place, STRANGERS, Strangers};
use super::turns::Turns;

/// A listener's entrance. Clones share its places.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    strangers: Arc<Strangers>,
    /// One permit for each connection that may choose an export, of all listeners.
    rooms: Arc<Semaphore>,
    /// The listener's share of the cores, if tenants share them.
    cpu: Option<Arc<CpuShare>>,
    offers: Offers,
    pollers: Pollers,
}

/// A client that has a place, and hasn't chosen an export yet.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(super) place: Place,
    pub(super) turns: Turns,
    pub(super) offers: Offers,
    pub(super) pollers: Pollers,
    rooms: Arc<Semaphore>,
}

/// The permit of a connection that has chosen an export.
pub(super) type Room = OwnedSemaphorePermit;

impl Entrance {
    /// The entrance of `listener` to a server that has `rooms`. What handshakes compute is charged to `cpu`, if given.
    pub(crate) fn new(listener: &str, rooms: Arc<Semaphore>, cpu: Option<Arc<CpuShare>>) -> Self {
        Self {
            strangers: Strangers::new(listener, STRANGERS),
            rooms,
            cpu,
            offers: Offers::default(),
            pollers: Pollers::default(),
        }
    }

    /// The same entrance, which offers only these parts of the protocol.
    pub(crate) fn offering(mut self, offers: Offers) -> Self {
        self.offers = offers;
        self
    }

    /// The same entrance, whose clients' connections may poll.
    pub(crate) fn polling(mut self, pollers: Pollers) -> Self {
        self.pollers = pollers;
        self
    }

    /// Waits until a room is free and there is a place for the client. It takes the place, but not the room. Dropping
    /// the future takes nothing.
    pub(crate) async fn enter(&self) -> Visitor {
        // This fails only if the semaphore is closed, which no code does.
        drop(self.rooms.acquire().await);
        Visitor {
            place: self.strangers.enter().await,
            turns: Turns::new(self.cpu.clone()),
            offers: self.offers,
            pollers: self.pollers.clone(),
            rooms: Arc::clone(&self.rooms),
        }
    }
}

impl Visitor {
    /// Waits for a room; `None` only if the semaphore is closed, which no code does. Dropping the future takes none.
    pub(super) async fn room(&self) -> Option<Room> {
        Arc::clone(&self.rooms).acquire_owned().await.ok()
    }
}
