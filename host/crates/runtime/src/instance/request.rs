//! What the current request lends to its guest, and what the guest makes of it.

use bytes::Bytes;
use device::reply::ReadReply;
use extent_map::ExtentMap;
use nbdbox_config::limits::PIECES;

use crate::mapping::Draft;

/// What the current call lends to its guest. The store holds it, so that host functions can reach it.
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

/// A type that a call can lend. Each has its own variant of [`RequestState`], so a call gets back the type that it
/// lent.
pub(crate) trait Lend: Sized + Into<RequestState> {
    /// Takes the value out of the state; `None` if something else was lent.
    fn take_from(state: RequestState) -> Option<Self>;

    /// Borrows the value in the state; `None` if something else was lent.
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

/// A write: its payload, and where the guest wants the host to store it.
#[derive(Debug, Default)]
pub(crate) struct WritePlan {
    pub(crate) payload: Bytes,
    pub(crate) stores: Vec<StorePiece>,
}

/// A part of the payload, and its target. The import that planned it has checked both ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorePiece {
    pub(crate) target: Target,
    /// Where the part goes in the target, in bytes.
    pub(crate) offset: u64,
    /// Where the part begins in the payload, in bytes.
    pub(crate) start: usize,
    /// In bytes.
    pub(crate) length: usize,
}

/// The target of a part of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The granted blob with this index.
    Blob(u32),
    /// The layer below.
    Below,
}

impl WritePlan {
    /// Adds a piece; returns `false` if there are [`PIECES`] already.
    pub(crate) fn store(&mut self, piece: StorePiece) -> bool {
        let room = self.stores.len() < PIECES;
        if room {
            self.stores.push(piece);
        }
        room
    }
}
