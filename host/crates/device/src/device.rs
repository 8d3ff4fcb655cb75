//! The contract between the data path and whatever stands behind an export.
//!
//! The data path calls, a device answers. Neither side knows the other: `dispatch` is generic over
//! [`Device`], `plugin` implements it, and the tests have a device in memory that injects faults.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use extent_map::ExtentMap;
use fair_cores::CpuShare;
use nbd_proto::Export;
use nbdbox_config::limits::Limits;
use nbdbox_config::policy::ExtentsOnError;
use quota::{FlowQuota, Rates};

use crate::fault::Failure;
use crate::metrics::Metrics;
use crate::reply::ReadReply;

/// How a change is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteMode {
    /// Durable before the call returns.
    pub fua: bool,
    /// Zeroing only: keep it allocated.
    pub no_hole: bool,
    /// Zeroing only: ENOTSUP, quickly and without a change, rather than slow.
    pub fast_zero: bool,
}

/// One export, open.
///
/// Calls may overlap; the device queues what can't. Ranges were checked against [`export`]
/// (inside the export, aligned, not empty, not beyond the largest request), and nothing that the
/// export's flags don't offer is called. Dropping a future gives the request up: the device must
/// stay usable, or say on the next call that it isn't.
///
/// [`export`]: Device::export
pub trait Device: Send + Sync + 'static {
    /// What clients get to see. Doesn't change.
    fn export(&self) -> &Export;

    /// The limits for this export's connections.
    fn limits(&self) -> &Limits;

    /// What all its connections may have under way together, and all its tenant's.
    fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        [None; 2]
    }

    /// Its share of the cores, where they're shared.
    fn cpu(&self) -> Option<&Arc<CpuShare>> {
        None
    }

    /// Requests and bytes a second: its own, and its tenant's.
    fn rates(&self) -> Option<[&Rates; 2]> {
        None
    }

    /// Its counters.
    fn metrics(&self) -> &Arc<Metrics>;

    /// What to do when [`extents`](Self::extents) fails.
    fn extents_on_error(&self) -> ExtentsOnError;

    /// Fills `reply`, which was reset to the length wanted, with the bytes at `offset`, exactly.
    /// Returns it when it succeeds; [`ReadReply::finish`] has been asked.
    fn read(
        &self,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> impl Future<Output = Result<Box<ReadReply>, Failure>> + Send;

    /// Stores `payload` at `offset`.
    fn write(
        &self,
        offset: u64,
        payload: Bytes,
        fua: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes durable every change that was answered before.
    fn flush(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The bytes aren't needed any more.
    fn trim(
        &self,
        offset: u64,
        length: u64,
        fua: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes the bytes read as zeroes.
    fn zero(
        &self,
        offset: u64,
        length: u64,
        mode: WriteMode,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads ahead.
    fn cache(&self, offset: u64, length: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A connection has ended: makes durable what was changed and not flushed, so that the server's end loses
    /// nothing that was answered. If it fails the operator is told.
    fn leave(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Adds what is known to `map`, whose range is the request's. `one`: only the first extent is
    /// wanted.
    fn extents(
        &self,
        map: Box<ExtentMap>,
        one: bool,
    ) -> impl Future<Output = Result<Box<ExtentMap>, Failure>> + Send;
}
