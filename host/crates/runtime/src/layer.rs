//! The layer below a filter: a device behind a pointer, and what a filter may ask of it.
//!
//! The host stands at the hop between two layers. What goes down was checked against what the layer
//! below promised; a failure that comes up was counted as the layer's, and says so. Nothing here knows
//! what a layer is made of.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use device::fault::{Failure, Whose};
use device::metrics::{Metrics, Operation, Outcome};
use device::reply::ReadReply;
use device::{Device, ExtentsOnError, WriteMode};
use extent_map::{ExtentMap, Wanted};
use nbd_proto::{Errno, Export, ExportFlags};
use thiserror::Error;

/// Bytes of zeroes that are written at once to a layer that can't zero by itself.
const ZEROES: u32 = 1 << 20;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A [`Device`] of any kind.
trait Layer: Send + Sync {
    fn export(&self) -> &Export;
    fn metrics(&self) -> &Metrics;
    fn extents_on_error(&self) -> ExtentsOnError;
    fn read(&self, offset: u64, length: u32, reply: Box<ReadReply>) -> Answer<'_, Box<ReadReply>>;
    fn write(&self, offset: u64, payload: Bytes, fua: bool) -> Answer<'_, ()>;
    fn flush(&self) -> Answer<'_, ()>;
    fn trim(&self, offset: u64, length: u64, fua: bool) -> Answer<'_, ()>;
    fn zero(&self, offset: u64, length: u64, mode: WriteMode) -> Answer<'_, ()>;
    fn cache(&self, offset: u64, length: u64) -> Answer<'_, ()>;
    fn extents(&self, map: Box<ExtentMap>, one: bool) -> Answer<'_, Box<ExtentMap>>;
}

impl<D: Device> Layer for D {
    fn export(&self) -> &Export {
        Device::export(self)
    }

    fn metrics(&self) -> &Metrics {
        Device::metrics(self)
    }

    fn extents_on_error(&self) -> ExtentsOnError {
        Device::extents_on_error(self)
    }

    fn read(&self, offset: u64, length: u32, reply: Box<ReadReply>) -> Answer<'_, Box<ReadReply>> {
        Box::pin(Device::read(self, offset, length, reply))
    }

    fn write(&self, offset: u64, payload: Bytes, fua: bool) -> Answer<'_, ()> {
        Box::pin(Device::write(self, offset, payload, fua))
    }

    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(Device::flush(self))
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> Answer<'_, ()> {
        Box::pin(Device::trim(self, offset, length, fua))
    }

    fn zero(&self, offset: u64, length: u64, mode: WriteMode) -> Answer<'_, ()> {
        Box::pin(Device::zero(self, offset, length, mode))
    }

    fn cache(&self, offset: u64, length: u64) -> Answer<'_, ()> {
        Box::pin(Device::cache(self, offset, length))
    }

    fn extents(&self, map: Box<ExtentMap>, one: bool) -> Answer<'_, Box<ExtentMap>> {
        Box::pin(Device::extents(self, map, one))
    }
}

/// How a filter asked for what the layer below doesn't offer. The filter's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Misuse {
    /// Not inside the layer.
    #[error("outside the layer below")]
    Range,
    /// Not on its blocks.
    #[error("off the blocks of the layer below")]
    Blocks,
    /// More bytes at once than it takes.
    #[error("more at once than the layer below takes")]
    Length,
    /// A change, and it's read-only.
    #[error("through a layer that is read-only")]
    ReadOnly,
    /// Passed on as it is, by a filter that says that it changes bytes.
    #[error("by reference, in a filter that changes bytes")]
    Changed,
}

/// The layer below a filter.
pub(crate) struct Below {
    layer: Arc<dyn Layer>,
    immutable: bool,
    /// Something was changed since the layer's last flush began.
    unflushed: AtomicBool,
    /// Flushes that were begun.
    flushes: AtomicU64,
}

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Below")
            .field("export", self.export())
            .finish_non_exhaustive()
    }
}

impl Below {
    /// Puts a device below a filter. `immutable`: its contents never change.
    #[must_use]
    pub(crate) fn new<D: Device>(device: Arc<D>, immutable: bool) -> Self {
        Self {
            layer: device,
            immutable,
            unflushed: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
        }
    }

    /// What it promised: size, flags, block sizes.
    #[must_use]
    pub(crate) fn export(&self) -> &Export {
        self.layer.export()
    }

    /// Whether its contents never change.
    #[must_use]
    pub(crate) fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// Whether all of `flags` are offered.
    #[must_use]
    pub(crate) fn has(&self, flags: ExportFlags) -> bool {
        self.export().flags.contains(flags)
    }

    /// How many flushes were begun so far.
    #[must_use]
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Whether something was changed since its last flush began.
    #[must_use]
    pub(crate) fn is_unflushed(&self) -> bool {
        self.unflushed.load(Ordering::SeqCst)
    }

    /// Whether it's still to be flushed: none was begun since there had been `flushes`, or something
    /// was changed since.
    #[must_use]
    pub(crate) fn is_unflushed_since(&self, flushes: u64) -> bool {
        self.flushes() == flushes || self.is_unflushed()
    }

    /// Checks a range: not past the end, and on whole blocks.
    ///
    /// # Errors
    /// How it isn't.
    pub(crate) fn check(&self, offset: u64, length: u64) -> Result<(), Misuse> {
        let export = self.export();
        let block = u64::from(export.block.minimum());
        match offset.checked_add(length) {
            Some(end) if end <= export.size => {}
            _ => return Err(Misuse::Range),
        }
        if offset.is_multiple_of(block) && length.is_multiple_of(block) {
            Ok(())
        } else {
            Err(Misuse::Blocks)
        }
    }

    /// Checks the range of bytes that are moved in one request.
    ///
    /// # Errors
    /// As [`check`](Self::check); more than the largest request.
    pub(crate) fn check_transfer(&self, offset: u64, length: u64) -> Result<(), Misuse> {
        self.check(offset, length)?;
        if length > u64::from(self.export().block.maximum()) {
            return Err(Misuse::Length);
        }
        Ok(())
    }

    /// Checks that it may be changed.
    ///
    /// # Errors
    /// It's read-only.
    pub(crate) fn check_writable(&self) -> Result<(), Misuse> {
        if self.has(ExportFlags::READ_ONLY) {
            return Err(Misuse::ReadOnly);
        }
        Ok(())
    }

    /// Counts a request, and what became of it, as the layer's own.
    async fn ask<T>(&self, operation: Operation, answer: Answer<'_, T>) -> Result<T, Failure> {
        let start = Instant::now();
        let answered = answer.await;
        let metrics = self.layer.metrics();
        let outcome = answered
            .as_ref()
            .map_or_else(Outcome::from, |_| Outcome::Ok);
        metrics.operations.note(operation, outcome, start.elapsed());
        answered.map_err(|mut failure| {
            metrics.blame(&failure);
            if failure.whose != Whose::Shutdown {
                failure.whose = Whose::Below;
            }
            failure
        })
    }

    /// Reads into `reply`, which is reset. The range was checked, as for all that follow.
    ///
    /// # Errors
    /// What the layer answered, or how it failed; it was counted.
    pub(crate) async fn read(
        &self,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        reply.reset(length);
        let done = self
            .ask(Operation::Read, self.layer.read(offset, length, reply))
            .await;
        if done.is_ok() {
            self.layer.metrics().read_bytes.add(length.into());
        }
        done
    }

    /// Writes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn write(
        &self,
        offset: u64,
        payload: Bytes,
        fua: bool,
    ) -> Result<(), Failure> {
        let bytes = payload.len() as u64;
        let done = self
            .ask(Operation::Write, self.layer.write(offset, payload, fua))
            .await;
        if done.is_ok() {
            self.layer.metrics().written_bytes.add(bytes);
        }
        // After it's done: a flush that began before may not have met it.
        self.unflushed.store(true, Ordering::SeqCst);
        done
    }

    /// Flushes, unless it can't be changed.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        if self.has(ExportFlags::READ_ONLY) {
            return Ok(());
        }
        // Before, so that what is changed meanwhile counts as unflushed.
        self.unflushed.store(false, Ordering::SeqCst);
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.ask(Operation::Flush, self.layer.flush()).await
    }

    /// Trims, where the layer does that.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        if length == 0 || !self.has(ExportFlags::SEND_TRIM) {
            return Ok(());
        }
        let done = self
            .ask(Operation::Trim, self.layer.trim(offset, length, fua))
            .await;
        self.unflushed.store(true, Ordering::SeqCst);
        done
    }

    /// Zeroes; by writing, where the layer can't do it by itself.
    ///
    /// # Errors
    /// As [`read`](Self::read); ENOTSUP for a fast zero that wouldn't be.
    pub(crate) async fn zero(
        &self,
        offset: u64,
        length: u64,
        mode: WriteMode,
    ) -> Result<(), Failure> {
        if length == 0 {
            return Ok(());
        }
        if mode.fast_zero && !self.has(ExportFlags::SEND_FAST_ZERO) {
            return Err(Failure::answer(Errno::Enotsup, None));
        }
        if !self.has(ExportFlags::SEND_WRITE_ZEROES) {
            return self.write_zeroes(offset, length, mode.fua).await;
        }
        let done = self
            .ask(Operation::Zero, self.layer.zero(offset, length, mode))
            .await;
        self.unflushed.store(true, Ordering::SeqCst);
        done
    }

    async fn write_zeroes(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        let block = self.export().block;
        let most = ZEROES.min(block.maximum());
        // A multiple of the minimum, since both are.
        let zeroes = Bytes::from(vec![0; most as usize]);
        let mut done = 0;
        while done < length {
            let piece = u64::from(most).min(length - done);
            let bytes = zeroes.slice(..usize::try_from(piece).unwrap_or(zeroes.len()));
            self.write(offset + done, bytes, fua).await?;
            done += piece;
        }
        Ok(())
    }

    /// Reads ahead, where the layer does that.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        if length == 0 || !self.has(ExportFlags::SEND_CACHE) {
            return Ok(());
        }
        self.ask(Operation::Cache, self.layer.cache(offset, length))
            .await
    }

    /// What the layer knows of a range, which isn't empty and lies inside it: a map of at most `most`
    /// extents that covers the range, or more where it isn't on whole blocks. A layer that fails is
    /// covered for with data, unless its operator wants the error.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn extents(
        &self,
        range: Range<u64>,
        wanted: Wanted,
        most: usize,
    ) -> Result<Box<ExtentMap>, Failure> {
        let export = self.export();
        let block = u64::from(export.block.minimum());
        // The layer's size is a multiple of its blocks.
        let whole = range.start - range.start % block..range.end.next_multiple_of(block);
        let fresh = || {
            ExtentMap::new(whole.clone(), wanted, most)
                .map(Box::new)
                .map_err(|_| Failure::host(Errno::Eio, "the host could not describe the range"))
        };
        if !export.allocation {
            return fresh();
        }
        let asked = self.layer.extents(fresh()?, wanted == Wanted::One);
        match self.ask(Operation::BlockStatus, asked).await {
            Ok(map) => Ok(map),
            Err(failure) if failure.whose == Whose::Shutdown => Err(failure),
            Err(failure) => match self.layer.extents_on_error() {
                ExtentsOnError::Error => Err(failure),
                ExtentsOnError::Data => {
                    self.layer.metrics().extents_fallbacks.one();
                    fresh()
                }
            },
        }
    }
}
