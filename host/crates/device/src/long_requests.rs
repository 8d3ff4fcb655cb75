//! Requests longer than the device's largest one, in pieces: clients that didn't request block sizes may send them.

use bytes::Bytes;
use nbd_proto::WriteFlags;

use crate::fault::Failure;
use crate::pieces::{Payer, Pieces};
use crate::reply::ReadReply;
use crate::{Deadline, Device, Served};

impl<D: Device> Served<D> {
    /// The most bytes of one read or write of the device.
    fn longest(&self) -> u32 {
        self.terms().export.enforced().maximum()
    }

    /// The pieces of a request that the rates have counted as a whole.
    fn pieces<'a>(&'a self, deadline: &'a Deadline, length: u64) -> Pieces<'a> {
        let payer = Payer {
            deadline,
            metrics: self.metrics(),
            rates: None,
        };
        Pieces::new(payer, length, self.longest().into())
    }

    /// As [`Device::read`], of any length. One reply takes the bytes of all reads.
    pub(crate) async fn read_whole(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        if length <= self.longest() {
            return self.device().read(deadline, offset, length, reply).await;
        }
        // Boxed, as below, so that a request of the usual length doesn't carry this future's state.
        Box::pin(self.read_in_pieces(deadline, offset, length, reply)).await
    }

    async fn read_in_pieces(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let mut part = Box::<ReadReply>::default();
        let mut pieces = self.pieces(deadline, length.into());
        while let Some(piece) = pieces.next().await? {
            // A piece is never longer than the device's largest read.
            let count = u32::try_from(piece.end - piece.start).unwrap_or(length);
            part.reset(count);
            let at = offset + piece.start;
            part = self.device().read(deadline, at, count, part).await?;
            reply.append(&part);
        }
        Ok(reply)
    }

    /// As [`Device::write`], of any length. With FUA the device makes each piece durable by itself.
    pub(crate) async fn write_whole(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        if payload.len() <= self.longest() as usize {
            return self.device().write(deadline, offset, payload, flags).await;
        }
        Box::pin(self.write_in_pieces(deadline, offset, payload, flags)).await
    }

    async fn write_in_pieces(
        &self,
        deadline: &Deadline,
        offset: u64,
        mut payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let mut pieces = self.pieces(deadline, payload.len() as u64);
        while let Some(piece) = pieces.next().await? {
            let count = usize::try_from(piece.end - piece.start).unwrap_or(payload.len());
            let part = payload.split_to(count);
            let at = offset + piece.start;
            self.device().write(deadline, at, part, flags).await?;
        }
        Ok(())
    }
}
