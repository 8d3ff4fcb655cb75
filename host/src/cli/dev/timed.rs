//! An export whose calls are noted.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::{Metrics, Operation};
use device::reply::ReadReply;
use device::{Device, ExtentsOnError, WriteMode};
use extent_map::ExtentMap;
use nbd_proto::Export;
use nbdbox_config::limits::Limits;
use quota::{FlowQuota, Rates};
use runtime::PluginExport;

use super::journal::{Call, Journal};

/// An export of the plugin, and where its calls are noted.
pub(super) struct Timed {
    export: Arc<PluginExport>,
    journal: Arc<Journal>,
}

impl Timed {
    pub(super) fn new(export: Arc<PluginExport>, journal: Arc<Journal>) -> Self {
        Self { export, journal }
    }

    /// Does a call, and notes how long it took from the request to its answer.
    async fn note<T>(
        &self,
        operation: Operation,
        offset: u64,
        length: u64,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let done = call.await;
        let call = Call {
            operation,
            offset,
            length,
            took: start.elapsed(),
            error: done.as_ref().err().map(|failure| failure.errno),
        };
        let (peaks, limits) = (self.export.peaks(), self.export.limits());
        self.journal.note(&call, peaks, limits);
        done
    }
}

impl Device for Timed {
    fn export(&self) -> &Export {
        self.export.export()
    }

    fn limits(&self) -> &Limits {
        self.export.limits()
    }

    fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        self.export.flows()
    }

    fn rates(&self) -> Option<[&Rates; 2]> {
        self.export.rates()
    }

    fn metrics(&self) -> &Arc<Metrics> {
        self.export.metrics()
    }

    fn extents_on_error(&self) -> ExtentsOnError {
        self.export.extents_on_error()
    }

    async fn read(
        &self,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let call = self.export.read(offset, length, reply);
        self.note(Operation::Read, offset, length.into(), call)
            .await
    }

    async fn write(&self, offset: u64, payload: Bytes, fua: bool) -> Result<(), Failure> {
        let length = payload.len() as u64;
        let call = self.export.write(offset, payload, fua);
        self.note(Operation::Write, offset, length, call).await
    }

    async fn flush(&self) -> Result<(), Failure> {
        self.note(Operation::Flush, 0, 0, self.export.flush()).await
    }

    async fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        let call = self.export.trim(offset, length, fua);
        self.note(Operation::Trim, offset, length, call).await
    }

    async fn zero(&self, offset: u64, length: u64, mode: WriteMode) -> Result<(), Failure> {
        let call = self.export.zero(offset, length, mode);
        self.note(Operation::Zero, offset, length, call).await
    }

    async fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        let call = self.export.cache(offset, length);
        self.note(Operation::Cache, offset, length, call).await
    }

    async fn leave(&self) {
        self.export.leave().await;
    }

    async fn extents(&self, map: Box<ExtentMap>, one: bool) -> Result<Box<ExtentMap>, Failure> {
        let range = map.range().clone();
        let call = self.export.extents(map, one);
        let length = range.end - range.start;
        self.note(Operation::BlockStatus, range.start, length, call)
            .await
    }
}
