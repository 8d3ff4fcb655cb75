//! An export that notes each of its calls in the journal.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::Operation;
use device::reply::ReadReply;
use device::{Deadline, Device, Guest, Losses, Served, WriteFlags};
use extent_map::ExtentMap;
use runtime::PluginExport;

use super::journal::{Call, Journal};

/// An export of the plugin, and the journal of its calls.
pub(super) struct Timed {
    export: Arc<PluginExport>,
    journal: Arc<Journal>,
}

impl Timed {
    /// Wraps an export, so that the journal gets its calls.
    pub(super) fn serve(export: &Served<PluginExport>, journal: Arc<Journal>) -> Served<Self> {
        let timed = Self {
            export: Arc::clone(export.device()),
            journal,
        };
        let (terms, metrics) = (Arc::clone(export.terms()), Arc::clone(export.metrics()));
        Served::new(Arc::new(timed), terms, metrics)
    }

    /// Runs a call, and notes the time from the request to its answer.
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
        let (peaks, terms) = (self.export.peaks(), self.export.terms());
        self.journal.note(&call, peaks, &terms.limits);
        done
    }
}

impl Device for Timed {
    async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let call = self.export.read(deadline, offset, length, reply);
        self.note(Operation::Read, offset, length.into(), call)
            .await
    }

    async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let length = payload.len() as u64;
        let call = self.export.write(deadline, offset, payload, flags);
        self.note(Operation::Write, offset, length, call).await
    }

    async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        self.note(Operation::Flush, 0, 0, self.export.flush(deadline))
            .await
    }

    async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = self.export.trim(deadline, offset, length, flags);
        self.note(Operation::Trim, offset, length, call).await
    }

    async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = self.export.zero(deadline, offset, length, flags);
        self.note(Operation::Zero, offset, length, call).await
    }

    async fn cache(&self, deadline: &Deadline, offset: u64, length: u64) -> Result<(), Failure> {
        let call = self.export.cache(deadline, offset, length);
        self.note(Operation::Cache, offset, length, call).await
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        self.export.losses()
    }

    async fn enter(&self) -> Result<Guest, Failure> {
        self.export.enter().await
    }

    async fn leave(&self) {
        self.export.leave().await;
    }

    async fn extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        let range = map.range().clone();
        let call = self.export.extents(deadline, map);
        let length = range.end - range.start;
        self.note(Operation::BlockStatus, range.start, length, call)
            .await
    }
}
