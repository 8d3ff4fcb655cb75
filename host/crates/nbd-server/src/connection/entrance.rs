//! By which clients of one listener come in, and what each holds of it until it has chosen an export.

use std::sync::Arc;

use fair_cores::CpuShare;
use nbd_proto::Offers;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::strangers::{Place, STRANGERS, Strangers};
use super::turns::Turns;

/// A listener's entrance.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    strangers: Arc<Strangers>,
    /// Connections that have chosen an export, of all listeners.
    rooms: Arc<Semaphore>,
    /// The listener's share of the cores, where they're shared.
    cpu: Option<Arc<CpuShare>>,
    offers: Offers,
}

/// A client that has come in.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(super) place: Place,
    pub(super) turns: Turns,
    pub(super) offers: Offers,
    rooms: Arc<Semaphore>,
}

/// What a connection holds that has chosen an export.
pub(super) type Room = OwnedSemaphorePermit;

impl Entrance {
    /// An entrance by `listener` to a server that has `rooms`; strangers compute at the expense of `cpu`.
    pub(crate) fn new(listener: &str, rooms: Arc<Semaphore>, cpu: Option<Arc<CpuShare>>) -> Self {
        Self {
            strangers: Strangers::new(listener, STRANGERS),
            rooms,
            cpu,
            offers: Offers::default(),
        }
    }

    /// Offers no more than this of the protocol.
    pub(crate) fn offering(mut self, offers: Offers) -> Self {
        self.offers = offers;
        self
    }

    /// Lets a client in once there's a room left for it, and a place until it gets to one. Dropping it takes nothing.
    pub(crate) async fn enter(&self) -> Visitor {
        // A closed semaphore would let it in; nobody closes it.
        drop(self.rooms.acquire().await);
        Visitor {
            place: self.strangers.enter().await,
            turns: Turns::new(self.cpu.clone()),
            offers: self.offers,
            rooms: Arc::clone(&self.rooms),
        }
    }
}

impl Visitor {
    /// Waits for a room. Dropping it takes none.
    pub(super) async fn room(&self) -> Option<Room> {
        Arc::clone(&self.rooms).acquire_owned().await.ok()
    }
}
