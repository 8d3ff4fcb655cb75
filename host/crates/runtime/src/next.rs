//! The layer below a filter (`next` in the WIT): a served device behind a pointer, and the checks of a filter's
//! requests to it.
//!
//! The host stands between two layers. It has checked each request that goes down against what the layer below
//! advertises. A failure that comes up was counted as the layer's own, and is marked so. This file doesn't know what a
//! layer is made of.

use std::ops::Range;
use std::sync::Arc;

use blob::{Mark, Unflushed};
use bytes::Bytes;
use device::fault::Failure;
use device::reply::ReadReply;
use device::{Deadline, DynServed, Payer, Terms, WriteFlags, Zeroes};
use extent_map::{ExtentMap, Wanted};
use nbd_proto::{Errno, Export, ExportFlags};
use thiserror::Error;

/// How a filter's request exceeds what the layer below offers. It's the filter's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Misuse {
    /// The range isn't inside the layer.
    #[error("outside the layer below")]
    Range,
    /// The range isn't on the layer's blocks.
    #[error("off the blocks of the layer below")]
    Blocks,
    /// The range is longer than the layer's largest request.
    #[error("more at once than the layer below takes")]
    Length,
    /// The request changes a read-only layer.
    #[error("the layer below is read-only")]
    ReadOnly,
    /// The request passes bytes on by reference, and the filter declares that it changes bytes.
    #[error("by reference, though the filter changes bytes")]
    Changed,
}

/// The layer below a filter.
pub(crate) struct Next {
    layer: Arc<dyn DynServed>,
    immutable: bool,
    unflushed: Unflushed,
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next")
            .field("export", self.export())
            .finish_non_exhaustive()
    }
}

/// Notes a change when it's dropped: the layer may have made a part of it even if its future was dropped, because the
/// client hung up.
struct Noted<'a>(&'a Unflushed);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.0.note_change();
    }
}

impl Next {
    /// Makes a served device the layer below a filter. `immutable` tells whether its contents never change.
    #[must_use]
    pub(crate) fn new(layer: Arc<dyn DynServed>, immutable: bool) -> Self {
        Self {
            layer,
            immutable,
            unflushed: Unflushed::new(),
        }
    }

    /// What the layer advertises: size, flags and block sizes.
    #[must_use]
    pub(crate) fn export(&self) -> &Export {
        let Terms { export, .. } = self.layer.terms();
        export
    }

    /// Whether the layer's contents never change.
    #[must_use]
    pub(crate) fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// Whether the layer advertises all of `flags`.
    #[must_use]
    pub(crate) fn has(&self, flags: ExportFlags) -> bool {
        self.export().flags.contains(flags)
    }

    /// Whether the layer distinguishes holes from data.
    #[must_use]
    pub(crate) fn is_sparse(&self) -> bool {
        self.layer.terms().sparse
    }

    /// A mark of the present, for [`is_unflushed_since`](Self::is_unflushed_since).
    #[must_use]
    pub(crate) fn mark(&self) -> Mark {
        self.unflushed.mark()
    }

    /// Whether the filter made changes that no flush has covered.
    #[must_use]
    pub(crate) fn is_unflushed(&self) -> bool {
        self.unflushed.is_pending()
    }

    /// Whether the layer still needs a flush: no flush that began after `mark` has succeeded, or the filter has made
    /// changes since.
    #[must_use]
    pub(crate) fn is_unflushed_since(&self, mark: Mark) -> bool {
        !self.unflushed.has_flushed_since(mark) || self.is_unflushed()
    }

    /// Checks that a range lies inside the layer and on whole blocks.
    ///
    /// # Errors
    /// The range doesn't.
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

    /// Checks the range of a request that moves bytes.
    ///
    /// # Errors
    /// As for [`check`](Self::check); or the range is longer than the layer's largest request.
    pub(crate) fn check_transfer(&self, offset: u64, length: u64) -> Result<(), Misuse> {
        self.check(offset, length)?;
        if length > u64::from(self.export().block.maximum()) {
            return Err(Misuse::Length);
        }
        Ok(())
    }

    /// Checks that the layer isn't read-only.
    ///
    /// # Errors
    /// The layer is read-only.
    pub(crate) fn check_writable(&self) -> Result<(), Misuse> {
        if self.has(ExportFlags::READ_ONLY) {
            return Err(Misuse::ReadOnly);
        }
        Ok(())
    }

    /// Reads into `reply`, after resetting it. The caller must have checked the range; that holds for all methods
    /// below.
    ///
    /// # Errors
    /// The layer's failure. The layer counted it as its own, and it's marked as a failure of the layer below.
    pub(crate) async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        reply.reset(length);
        let done = self.layer.read(deadline, offset, length, reply).await;
        done.map_err(Failure::told_below)
    }

    /// Writes `payload`. Of the flags, only FUA counts.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        // The other flags are for zeroing.
        let flags = flags & WriteFlags::FUA;
        let _noted = Noted(&self.unflushed);
        let done = self.layer.write(deadline, offset, payload, flags).await;
        done.map_err(Failure::told_below)
    }

    /// Flushes the layer, unless it's read-only.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        if self.has(ExportFlags::READ_ONLY) {
            return Ok(());
        }
        let epoch = self.unflushed.begin_flush();
        self.layer
            .flush(deadline)
            .await
            .map_err(Failure::told_below)?;
        self.unflushed.finish_flush(epoch);
        Ok(())
    }

    /// Trims a range. Does nothing if the layer doesn't advertise trims.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        if length == 0 || !self.has(ExportFlags::SEND_TRIM) {
            return Ok(());
        }
        // The other flags are for zeroing.
        let flags = flags & WriteFlags::FUA;
        let _noted = Noted(&self.unflushed);
        let done = self.layer.trim(deadline, offset, length, flags).await;
        done.map_err(Failure::told_below)
    }

    /// Zeroes a range. If the layer doesn't advertise zeroing, it writes zeroes.
    ///
    /// # Errors
    /// As for [`read`](Self::read); ENOTSUP for a fast zero that the layer doesn't advertise.
    pub(crate) async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        if length == 0 {
            return Ok(());
        }
        if flags.contains(WriteFlags::FAST_ZERO) && !self.has(ExportFlags::SEND_FAST_ZERO) {
            return Err(Failure::answer(Errno::Enotsup, None));
        }
        if !self.has(ExportFlags::SEND_WRITE_ZEROES) {
            return self.write_zeroes(deadline, offset, length, flags).await;
        }
        let _noted = Noted(&self.unflushed);
        let done = self.layer.zero(deadline, offset, length, flags).await;
        done.map_err(Failure::told_below)
    }

    /// Writes zeroes in pieces of at most the layer's largest request.
    async fn write_zeroes(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let payer = Payer {
            deadline,
            metrics: self.layer.metrics(),
            rates: self.layer.terms().rates(),
        };
        // Each piece is a multiple of the smallest block, because the largest request, the length and 1 MiB are.
        let mut zeroes = Zeroes::new(payer, length, self.export().block.maximum());
        while let Some((done, bytes)) = zeroes.next().await? {
            self.write(deadline, offset + done, bytes, flags).await?;
        }
        Ok(())
    }

    /// Reads a range ahead. Does nothing if the layer doesn't advertise that.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn cache(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
    ) -> Result<(), Failure> {
        if length == 0 || !self.has(ExportFlags::SEND_CACHE) {
            return Ok(());
        }
        self.layer
            .cache(deadline, offset, length)
            .await
            .map_err(Failure::told_below)
    }

    /// Returns the layer's extents of a range, which must be inside the layer and not empty. The map has at most `most`
    /// extents, and covers the range and the rest of its first and last block.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn extents(
        &self,
        deadline: &Deadline,
        range: Range<u64>,
        wanted: Wanted,
        most: usize,
    ) -> Result<Box<ExtentMap>, Failure> {
        let block = u64::from(self.export().block.minimum());
        // The layer's size is a multiple of its smallest block.
        let whole = range.start - range.start % block..range.end.next_multiple_of(block);
        let map = ExtentMap::new(whole, wanted, most)
            .map(Box::new)
            .map_err(|_| Failure::host(Errno::Eio, "the host could not describe the range"))?;
        let done = self.layer.extents(deadline, map).await;
        done.map_err(Failure::told_below)
    }
}
