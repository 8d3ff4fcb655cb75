//! What the current request lends to its guest, and what the guest makes of it.

use bytes::Bytes;
use device::reply::ReadReply;
use extent_map::ExtentMap;
use nbdbox_config::limits::PIECES;

use crate::mapping::Draft;

/// What the current call lends to its guest: kept in the store, so that host functions find it.
#[derive(Debug)]
pub(crate) enum RequestState {
    Nothing(()),
    Read(Box<ReadReply>),
    Write(WritePlan),
    Extents(Box<ExtentMap>),
    Mapping(Draft),
}

impl Default for RequestState {
    fn default() -> Self {
        Self::Nothing(())
    }
}

/// What a call can lend. Each type has its own kind of [`RequestState`], so a call gets back the type that it lent.
pub(crate) trait Lend: Sized + Into<RequestState> {
    /// Takes it out of the state; `None` where something else was lent.
    fn take_from(state: RequestState) -> Option<Self>;

    /// Shows it in the state; `None` where something else was lent.
    fn find_in(state: &mut RequestState) -> Option<&mut Self>;
}

macro_rules! lend {
    ($($kind:ident: $lent:ty),+) => {$(
        impl From<$lent> for RequestState {
            fn from(lent: $lent) -> Self {
                Self::$kind(lent)
            }
        }

        impl Lend for $lent {
            fn take_from(state: RequestState) -> Option<Self> {
                match state {
                    RequestState::$kind(lent) => Some(lent),
                    _ => None,
                }
            }

            fn find_in(state: &mut RequestState) -> Option<&mut Self> {
                match state {
                    RequestState::$kind(lent) => Some(lent),
                    _ => None,
                }
            }
        }
    )+};
}

lend!(
    Nothing: (),
    Read: Box<ReadReply>,
    Write: WritePlan,
    Extents: Box<ExtentMap>,
    Mapping: Draft
);

/// A write: its bytes, and where the guest wants them.
#[derive(Debug, Default)]
pub(crate) struct WritePlan {
    pub(crate) payload: Bytes,
    pub(crate) stores: Vec<StorePiece>,
}

/// Bytes of the payload that go somewhere. The ranges were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorePiece {
    pub(crate) target: Target,
    pub(crate) offset: u64,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// Where bytes of a payload go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Into a blob, by its index among those granted.
    Blob(u32),
    /// Into the layer below.
    Below,
}

impl WritePlan {
    /// Adds a piece; `false` when there are too many.
    pub(crate) fn store(&mut self, piece: StorePiece) -> bool {
        let room = self.stores.len() < PIECES;
        if room {
            self.stores.push(piece);
        }
        room
    }
}
