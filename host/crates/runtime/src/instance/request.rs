//! What the current request lends to its guest, and what the guest makes of it.

use bytes::Bytes;
use device::reply::ReadReply;
use extent_map::ExtentMap;
use nbdbox_config::limits::PIECES;

use crate::mapping::Draft;

/// What the current call lends to the guest.
#[derive(Debug, Default)]
pub(crate) enum Lent {
    #[default]
    Nothing,
    Read(Box<ReadReply>),
    Write(WritePlan),
    Extents(Box<ExtentMap>),
    Mapping(Draft),
}

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
