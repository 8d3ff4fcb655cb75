//! A device as clients and filters reach it: each call is timed, counted and attributed here, once.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use extent_map::ExtentMap;
use nbd_proto::WriteFlags;
use nbdbox_config::policy::ExtentsOnError;

use crate::deadline::Deadline;
use crate::fault::{Failure, Fault};
use crate::metrics::{Metrics, Operation, Outcome};
use crate::reply::ReadReply;
use crate::{Device, KeptMemory, Terms, Witness};

/// A device, the terms on which it's served, and its counters.
///
/// Each operation calls the device's operation of the same name. `since` is when the request began; its time counts
/// from then.
pub struct Served<D> {
    device: Arc<D>,
    terms: Arc<Terms>,
    metrics: Arc<Metrics>,
    /// The connection or filter that must learn of losses, if this serves one.
    witness: Option<Arc<Witness>>,
}

impl<D> Clone for Served<D> {
    fn clone(&self) -> Self {
        Self {
            device: Arc::clone(&self.device),
            terms: Arc::clone(&self.terms),
            metrics: Arc::clone(&self.metrics),
            witness: self.witness.clone(),
        }
    }
}

impl<D> fmt::Debug for Served<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("export", &self.terms.export)
            .finish_non_exhaustive()
    }
}

impl<D> Served<D> {
    /// Serves `device` on `terms` and counts into `metrics`.
    #[must_use]
    pub fn new(device: Arc<D>, terms: Arc<Terms>, metrics: Arc<Metrics>) -> Self {
        Self {
            device,
            terms,
            metrics,
            witness: None,
        }
    }

    /// Serves the same device on other terms.
    #[must_use]
    pub fn on(self, terms: Arc<Terms>) -> Self {
        Self { terms, ..self }
    }

    /// The device itself. Calls to it directly aren't counted.
    #[must_use]
    pub fn device(&self) -> &Arc<D> {
        &self.device
    }

    /// The terms on which the device is served.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The account for memory that a connection keeps between requests. `None` for an export without quotas: there
    /// nobody pays.
    #[must_use]
    pub fn kept(&self) -> Option<KeptMemory> {
        let quota = self.terms.quota.as_ref();
        quota.map(|quota| KeptMemory::new(&quota.memory, &self.metrics))
    }

    /// The counters of this export or layer.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Counts a request that has ended: its outcome, its time since `since`, and its cause if the plugin was at fault.
    pub fn ended<T>(&self, operation: Operation, since: Instant, done: &Result<T, Failure>) {
        let outcome = done.as_ref().map_or_else(Outcome::from, |_| Outcome::Ok);
        self.metrics
            .operations
            .note(operation, outcome, since.elapsed());
        if let Err(failure) = done {
            self.metrics.blame(failure);
        }
    }
}

impl<D: Device> Served<D> {
    /// Serves the same device to one connection, which begins now. It learns of each loss once: the next
    /// request that would promise durability (a flush, or one with FUA) fails with [`Failure::lost`] instead.
    #[must_use]
    pub fn for_client(self) -> Self {
        let witness = Witness::client(self.device.losses());
        self.witnessed_by(witness)
    }

    /// As [`for_client`](Self::for_client), for a filter over the device.
    #[must_use]
    pub fn for_filter(self) -> Self {
        let witness = Witness::filter(self.device.losses());
        self.witnessed_by(witness)
    }

    fn witnessed_by(self, witness: Witness) -> Self {
        Self {
            witness: Some(Arc::new(witness)),
            ..self
        }
    }

    /// Fails if a loss hasn't been reported yet: a request that succeeded must not promise durability then.
    fn promise(&self) -> Result<(), Failure> {
        match &self.witness {
            Some(witness) if witness.hears_of_a_loss() => Err(Failure::lost()),
            _ => Ok(()),
        }
    }

    /// A change has succeeded; with FUA it promises durability.
    fn promise_if_wanted(&self, flags: WriteFlags) -> Result<(), Failure> {
        if flags.contains(WriteFlags::FUA) {
            self.promise()
        } else {
            Ok(())
        }
    }

    /// A flush has ended. A flush that failed on its own has reported all losses by that; one that was given up has
    /// not.
    fn flushed(&self, done: Result<(), Failure>) -> Result<(), Failure> {
        let promised = match &done {
            Err(failure) if failure.was_given_up() => Ok(()),
            _ => self.promise(),
        };
        done.and(promised)
    }

    /// As [`Device::read`], of any length: the host splits a read that is longer than the device's largest request.
    ///
    /// # Errors
    /// The device's failure, or the end of the request between two pieces. It was counted. The same holds for the
    /// operations that follow.
    pub async fn read(
        &self,
        since: Instant,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let done = self.read_whole(deadline, offset, length, reply).await;
        self.ended(Operation::Read, since, &done);
        if done.is_ok() {
            self.metrics.read_bytes.add(length.into());
        }
        done
    }

    /// As [`Device::write`], of any length: the host splits a write that is longer than the device's largest request.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(
        &self,
        since: Instant,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let bytes = payload.len() as u64;
        let done = self.write_whole(deadline, offset, payload, flags).await;
        let done = done.and_then(|()| self.promise_if_wanted(flags));
        self.ended(Operation::Write, since, &done);
        if done.is_ok() {
            self.metrics.written_bytes.add(bytes);
        }
        done
    }

    /// As [`Device::flush`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn flush(&self, since: Instant, deadline: &Deadline) -> Result<(), Failure> {
        let done = self.flushed(self.device.flush(deadline).await);
        self.ended(Operation::Flush, since, &done);
        done
    }

    /// As [`Device::trim`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn trim(
        &self,
        since: Instant,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let done = self.device.trim(deadline, offset, length, flags).await;
        let done = done.and_then(|()| self.promise_if_wanted(flags));
        self.ended(Operation::Trim, since, &done);
        done
    }

    /// As [`Device::zero`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn zero(
        &self,
        since: Instant,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let done = self.device.zero(deadline, offset, length, flags).await;
        let done = done.and_then(|()| self.promise_if_wanted(flags));
        self.ended(Operation::Zero, since, &done);
        done
    }

    /// As [`Device::cache`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn cache(
        &self,
        since: Instant,
        deadline: &Deadline,
        offset: u64,
        length: u64,
    ) -> Result<(), Failure> {
        let done = self.device.cache(deadline, offset, length).await;
        self.ended(Operation::Cache, since, &done);
        done
    }

    /// As [`Device::extents`]. If the device fails, the answer is data (E11), unless the operator wants the error, the
    /// client has hung up or the server is going down. The failure is counted in any case.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn extents(
        &self,
        since: Instant,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        let data = map.fresh();
        let done = self.device.extents(deadline, map).await;
        self.ended(Operation::BlockStatus, since, &done);
        match done {
            Err(failure) if self.is_covered_for(&failure) => {
                self.metrics.extents_fallbacks.one();
                Ok(Box::new(data))
            }
            done => done,
        }
    }

    fn is_covered_for(&self, failure: &Failure) -> bool {
        let nobodys = matches!(failure.fault, Fault::Shutdown | Fault::HungUp);
        self.terms.extents_on_error == ExtentsOnError::Data && !nobodys
    }
}

/// The boxed future of an operation.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// [`Served`], whatever its device is made of: the layer below a filter. The time of each operation counts from its
/// call.
pub trait DynServed: Send + Sync {
    /// As [`Served::terms`].
    fn terms(&self) -> &Terms;
    /// As [`Served::metrics`].
    fn metrics(&self) -> &Metrics;
    /// As [`Served::read`].
    fn read<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Answer<'a, Box<ReadReply>>;
    /// As [`Served::write`].
    fn write<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Answer<'a, ()>;
    /// As [`Served::flush`].
    fn flush<'a>(&'a self, deadline: &'a Deadline) -> Answer<'a, ()>;
    /// As [`Served::trim`].
    fn trim<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Answer<'a, ()>;
    /// As [`Served::zero`].
    fn zero<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Answer<'a, ()>;
    /// As [`Served::cache`].
    fn cache<'a>(&'a self, deadline: &'a Deadline, offset: u64, length: u64) -> Answer<'a, ()>;
    /// As [`Served::extents`].
    fn extents<'a>(
        &'a self,
        deadline: &'a Deadline,
        map: Box<ExtentMap>,
    ) -> Answer<'a, Box<ExtentMap>>;
}

impl<D: Device> DynServed for Served<D> {
    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn read<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Answer<'a, Box<ReadReply>> {
        Box::pin(self.read(Instant::now(), deadline, offset, length, reply))
    }

    fn write<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Answer<'a, ()> {
        Box::pin(self.write(Instant::now(), deadline, offset, payload, flags))
    }

    fn flush<'a>(&'a self, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(self.flush(Instant::now(), deadline))
    }

    fn trim<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Answer<'a, ()> {
        Box::pin(self.trim(Instant::now(), deadline, offset, length, flags))
    }

    fn zero<'a>(
        &'a self,
        deadline: &'a Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Answer<'a, ()> {
        Box::pin(self.zero(Instant::now(), deadline, offset, length, flags))
    }

    fn cache<'a>(&'a self, deadline: &'a Deadline, offset: u64, length: u64) -> Answer<'a, ()> {
        Box::pin(self.cache(Instant::now(), deadline, offset, length))
    }

    fn extents<'a>(
        &'a self,
        deadline: &'a Deadline,
        map: Box<ExtentMap>,
    ) -> Answer<'a, Box<ExtentMap>> {
        Box::pin(self.extents(Instant::now(), deadline, map))
    }
}
