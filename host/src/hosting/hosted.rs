//! An export as one connection has it: with its places, which are given back at the end.

use std::sync::Arc;

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::Metrics;
use device::reply::ReadReply;
use device::{Device, ExtentsOnError, WriteMode};
use extent_map::ExtentMap;
use fair_cores::CpuShare;
use nbd_proto::Export;
use nbdbox_config::limits::Limits;
use quota::{FlowQuota, Rates};
use runtime::PluginExport;

use super::slot::{Places, Slot};

/// One connection's hold on an export.
#[derive(Debug)]
pub struct Hosted {
    /// Says how many are connected; dropped before `slot` is asked.
    places: Option<Places>,
    slot: Arc<Slot>,
    export: Arc<PluginExport>,
    /// As clients see it: with the operator's description.
    shown: Export,
}

impl Hosted {
    pub(super) fn new(slot: Arc<Slot>, export: Arc<PluginExport>, places: Places) -> Self {
        let mut shown = export.export().clone();
        if let Some(description) = &slot.planned().export.description {
            shown.description = Some(description.clone());
        }
        Self {
            places: Some(places),
            slot,
            export,
            shown,
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.places = None;
        if self.slot.connections() == 0 {
            self.export.rest();
        }
    }
}

impl Device for Hosted {
    fn export(&self) -> &Export {
        &self.shown
    }

    fn limits(&self) -> &Limits {
        self.export.limits()
    }

    fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        self.export.flows()
    }

    fn cpu(&self) -> Option<&Arc<CpuShare>> {
        self.export.cpu()
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
        self.export.read(offset, length, reply).await
    }

    async fn write(&self, offset: u64, payload: Bytes, fua: bool) -> Result<(), Failure> {
        self.export.write(offset, payload, fua).await
    }

    async fn flush(&self) -> Result<(), Failure> {
        self.export.flush().await
    }

    async fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        self.export.trim(offset, length, fua).await
    }

    async fn zero(&self, offset: u64, length: u64, mode: WriteMode) -> Result<(), Failure> {
        self.export.zero(offset, length, mode).await
    }

    async fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        self.export.cache(offset, length).await
    }

    async fn leave(&self) {
        self.export.leave().await;
    }

    async fn extents(&self, map: Box<ExtentMap>, one: bool) -> Result<Box<ExtentMap>, Failure> {
        self.export.extents(map, one).await
    }
}
