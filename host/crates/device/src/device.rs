//! What an export does: the operations that the data path calls.

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

/// What the layers of a device keep for one connection, dropped when the connection has ended. Empty by default.
#[derive(Default)]
pub struct Guest(Vec<Box<dyn Send + Sync>>);

impl Guest {
    /// Keeps `held` until the connection has ended.
    pub fn keep(&mut self, held: Box<dyn Send + Sync>) {
        self.0.push(held);
    }

    /// Takes over what another layer keeps.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&self.0.len()).finish()
    }
}

/// An open export: seven operations, and hooks for the start and the end of a connection.
///
/// Calls may overlap; a device that can't serve two calls at once queues them. The caller has checked each request
/// against the export's [`Terms`](crate::Terms): the export advertises the operation and its flags, the range lies
/// inside the export, is aligned to its minimum block and not empty, and no read or write is longer than its largest
/// request. Offsets and lengths are in bytes. With FUA among its flags, a change is durable when the call returns.
///
/// A call may wait, for an instance, a disk or a layer below, but it doesn't block its thread for long. `deadline`
/// belongs to the request and is shared by all layers: a device that works in pieces, or queues, stops when the
/// deadline has [ended](Deadline::check).
///
/// A caller may drop the future of a call at any time, whether or not the operation has taken effect. Afterwards the
/// device either serves further calls or fails them; it never hangs.
///
/// # Errors
/// Each call returns a [`Failure`]: the errno for the client, and whose fault it was.
pub trait Device: Send + Sync + 'static {
    /// Fills `reply` with the `length` bytes at `offset` and returns it. The caller has reset `reply` to `length`; the
    /// device returns it only if [`ReadReply::finish`] succeeds.
    fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> impl Future<Output = Result<Box<ReadReply>, Failure>> + Send;

    /// Stores `payload` at `offset`. Of the flags, only FUA occurs.
    fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes durable every change that was confirmed before this call. If the flush fails, or finds changes lost, the
    /// device notes that in its [`losses`](Self::losses); [`Served`](crate::Served) then reports the loss to each
    /// client that was connected.
    fn flush(&self, deadline: &Deadline) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives up the range: a hint. Afterwards the range may read as anything. It may be as long as the export. Of the
    /// flags, only FUA occurs.
    fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes the range, which may be as long as the export, read as zeroes. With FAST_ZERO the device fails with
    /// ENOTSUP, quickly and without a change, if this wouldn't be faster than a write. With NO_HOLE the range stays
    /// allocated.
    fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads the range ahead: a hint that changes no data and returns none.
    fn cache(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Adds the extents of the map's range: all of them, or at least the first one if the request
    /// [wants](ExtentMap::wanted) no more. The caller treats what the device doesn't describe as data.
    fn extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> impl Future<Output = Result<Box<ExtentMap>, Failure>> + Send;

    /// The losses of each layer of the device, counted so far and from now on. Doesn't wait.
    fn losses(&self) -> Vec<Arc<Losses>>;

    /// Called when a client has chosen the export, before its connection's first request. The connection drops the
    /// returned value when it ends, after [`leave`](Self::leave). May wait; if the caller drops the future, the client
    /// isn't admitted.
    ///
    /// # Errors
    /// The device doesn't admit the client.
    fn enter(&self) -> impl Future<Output = Result<Guest, Failure>> + Send {
        async { Ok(Guest::default()) }
    }

    /// Called when a connection has ended. Makes durable the changes that no flush has made durable yet, so that the
    /// server can exit later without losing a confirmed change. If that fails, the device logs it and notes a loss.
    fn leave(&self) -> impl Future<Output = ()> + Send;
}
