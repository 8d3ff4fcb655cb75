//! Requests that are longer than the device takes: a client that didn't ask for block sizes may send them.

use bytes::Bytes;
use nbd_proto::WriteFlags;

use crate::fault::Failure;
use crate::pieces::{Payer, Pieces};
use crate::reply::ReadReply;
use crate::{Deadline, Device, Served};

impl<D: Device> Served<D> {
    /// Bytes that the device takes in one read or write.
    fn longest(&self) -> u32 {
        self.terms().export.enforced().maximum()
    }

    /// The pieces of a request that was paid for as a whole.
    fn pieces<'a>(&'a self, deadline: &'a Deadline, length: u64) -> Pieces<'a> {
        let payer = Payer {
            deadline,
            metrics: self.metrics(),
            rates: None,
        };
        Pieces::new(payer, length, self.longest().into())
    }

    /// As [`Device::read`], of any length: the reply is one, however many reads it takes.
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
        // Boxed, as below, so that the usual request doesn't carry it along.
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
            // No longer than the device takes.
            let count = u32::try_from(piece.end - piece.start).unwrap_or(length);
            part.reset(count);
            let at = offset + piece.start;
            part = self.device().read(deadline, at, count, part).await?;
            reply.append(&part);
        }
        Ok(reply)
    }

    /// As [`Device::write`], of any length. With FUA each piece is durable by itself.
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
