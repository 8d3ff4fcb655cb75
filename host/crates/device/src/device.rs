//! What an export does: the operations that the data path asks for.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use extent_map::ExtentMap;
use nbd_proto::WriteFlags;

use crate::Losses;
use crate::deadline::Deadline;
use crate::fault::Failure;
use crate::reply::ReadReply;

/// What a device keeps for a client for as long as that is connected. By default it's nothing.
#[derive(Default)]
pub struct Guest(Vec<Box<dyn Send + Sync>>);

impl Guest {
    /// Keeps something more for the client.
    pub fn keep(&mut self, held: Box<dyn Send + Sync>) {
        self.0.push(held);
    }

    /// Keeps what another layer does.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&self.0.len()).finish()
    }
}

/// One export, open: seven operations, and what is to be done when a connection begins and ends.
///
/// Calls may overlap; the device queues what can't. Whoever calls has checked the request against the export's
/// [`Terms`](crate::Terms): ranges lie inside the export, are aligned and not empty, no transfer is longer than the
/// largest request, and nothing that the export's flags don't offer is called. Offsets and lengths are in bytes.
///
/// `deadline` is the request's, for all layers: whoever works piece by piece, or queues, stops when it has
/// [ended](Deadline::check).
///
/// Every call may wait: for an instance, a disk, a layer below. Dropping its future gives the request up, done or
/// not: the device must stay usable, or say on the next call that it isn't. None blocks its thread for long.
///
/// # Errors
/// A [`Failure`] has the errno for the client and says whose fault it was.
pub trait Device: Send + Sync + 'static {
    /// Fills `reply`, which was reset to `length`, with the bytes at `offset`, exactly. Returns it when it succeeds;
    /// [`ReadReply::finish`] has been asked.
    fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> impl Future<Output = Result<Box<ReadReply>, Failure>> + Send;

    /// Stores `payload` at `offset`. Of the flags only FUA comes.
    fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes durable every change that was answered before this was called. One that fails, or finds that something was
    /// lost, notes that among its [`losses`](Self::losses), and whoever was there hears of it: [`Served`](crate::Served)
    /// sees to that.
    fn flush(&self, deadline: &Deadline) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives a range up: its bytes aren't needed any more, and may read as anything. Of the flags only FUA comes.
    fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes a range read as zeroes. With FAST_ZERO the answer is ENOTSUP, quickly and without a change, where this
    /// would take as long as writing.
    fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads a range ahead: a hint, of which nobody sees a result.
    fn cache(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Adds what is known of the map's range to it: all of it, or the first extent where that's what is
    /// [wanted](ExtentMap::wanted).
    fn extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> impl Future<Output = Result<Box<ExtentMap>, Failure>> + Send;

    /// What was lost of what it had answered, in each of its layers. At once.
    fn losses(&self) -> Vec<Arc<Losses>>;

    /// A client has chosen the export, and its connection is about to begin: what is returned is dropped when it has
    /// ended, after [`leave`](Self::leave). May take a while; dropping the future lets nobody in.
    ///
    /// # Errors
    /// The client isn't let in.
    fn enter(&self) -> impl Future<Output = Result<Guest, Failure>> + Send {
        async { Ok(Guest::default()) }
    }

    /// A connection has ended: makes durable what was changed and not flushed, so that the server's own end loses
    /// nothing that was answered. If that fails, the operator is told, and it's noted as a loss.
    fn leave(&self) -> impl Future<Output = ()> + Send;
}
