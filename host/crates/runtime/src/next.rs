//! What a filter stands on, `next` in the WIT: a served device behind a pointer, and what the filter may ask of it.
//!
//! The host stands at the hop between two layers. What goes down was checked against what the layer
//! below promised; a failure that comes up was counted as the layer's, and says so. Nothing here knows
//! what a layer is made of.

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

impl Next {
    /// Puts a layer below a filter. `immutable`: its contents never change.
    #[must_use]
    pub(crate) fn new(layer: Arc<dyn DynServed>, immutable: bool) -> Self {
        Self {
            layer,
            immutable,
            unflushed: Unflushed::new(),
        }
    }

    /// What it promised: size, flags, block sizes.
    #[must_use]
    pub(crate) fn export(&self) -> &Export {
        let Terms { export, .. } = self.layer.terms();
        export
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

    /// Whether it tells holes from data.
    #[must_use]
    pub(crate) fn is_sparse(&self) -> bool {
        self.layer.terms().sparse
    }

    /// Now, for [`is_unflushed_since`](Self::is_unflushed_since).
    #[must_use]
    pub(crate) fn mark(&self) -> Mark {
        self.unflushed.mark()
    }

    /// Whether something was changed that no flush has covered.
    #[must_use]
    pub(crate) fn is_unflushed(&self) -> bool {
        self.unflushed.is_pending()
    }

    /// Whether it's still to be flushed: no flush that began after `mark` has succeeded, or something was changed
    /// since.
    #[must_use]
    pub(crate) fn is_unflushed_since(&self, mark: Mark) -> bool {
        !self.unflushed.has_flushed_since(mark) || self.is_unflushed()
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

    /// Reads into `reply`, which is reset. The range was checked, as for all that follow.
    ///
    /// # Errors
    /// What the layer answered, or how it failed: that was counted as its own, and whoever is told of it above hears
    /// that it was the layer below.
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

    /// Writes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        // The other flags are about zeroing.
        let flags = flags & WriteFlags::FUA;
        let done = self.layer.write(deadline, offset, payload, flags).await;
        self.unflushed.note_change();
        done.map_err(Failure::told_below)
    }

    /// Flushes, unless it can't be changed.
    ///
    /// # Errors
    /// As [`read`](Self::read).
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

    /// Trims, where the layer does that.
    ///
    /// # Errors
    /// As [`read`](Self::read).
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
        // The other flags are about zeroing.
        let flags = flags & WriteFlags::FUA;
        let done = self.layer.trim(deadline, offset, length, flags).await;
        self.unflushed.note_change();
        done.map_err(Failure::told_below)
    }

    /// Zeroes; by writing, where the layer can't do it by itself.
    ///
    /// # Errors
    /// As [`read`](Self::read); ENOTSUP for a fast zero that wouldn't be.
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
        let done = self.layer.zero(deadline, offset, length, flags).await;
        self.unflushed.note_change();
        done.map_err(Failure::told_below)
    }

    /// Writes zeroes piece by piece.
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
        // Pieces are multiples of the smallest block, since the largest is and so are their own bytes.
        let mut zeroes = Zeroes::new(payer, length, self.export().block.maximum());
        while let Some((done, bytes)) = zeroes.next().await? {
            self.write(deadline, offset + done, bytes, flags).await?;
        }
        Ok(())
    }

    /// Reads ahead, where the layer does that.
    ///
    /// # Errors
    /// As [`read`](Self::read).
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

    /// What the layer knows of a range, which isn't empty and lies inside it: a map of at most `most`
    /// extents that covers the range, or more where it isn't on whole blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn extents(
        &self,
        deadline: &Deadline,
        range: Range<u64>,
        wanted: Wanted,
        most: usize,
    ) -> Result<Box<ExtentMap>, Failure> {
        let block = u64::from(self.export().block.minimum());
        // The layer's size is a multiple of its blocks.
        let whole = range.start - range.start % block..range.end.next_multiple_of(block);
        let map = ExtentMap::new(whole, wanted, most)
            .map(Box::new)
            .map_err(|_| Failure::host(Errno::Eio, "the host could not describe the range"))?;
        let done = self.layer.extents(deadline, map).await;
        done.map_err(Failure::told_below)
    }
}
