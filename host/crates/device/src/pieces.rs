//! Requests that are longer than the device takes: a client that didn't ask for block sizes may send them.

use bytes::Bytes;
use nbd_proto::WriteFlags;
use tokio::task::yield_now;

use crate::fault::Failure;
use crate::reply::ReadReply;
use crate::{Deadline, Device, Served};

impl<D: Device> Served<D> {
    /// Bytes that the device takes in one read or write.
    fn longest(&self) -> u32 {
        self.terms().export.enforced().maximum()
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
        let (mut piece, mut done) = (Box::<ReadReply>::default(), 0);
        while done < length {
            next_piece(deadline, done > 0).await?;
            let count = self.longest().min(length - done);
            piece.reset(count);
            let at = offset + u64::from(done);
            piece = self.device().read(deadline, at, count, piece).await?;
            reply.append(&piece);
            done += count;
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
        let mut at = offset;
        while !payload.is_empty() {
            next_piece(deadline, at > offset).await?;
            let piece = payload.split_to(payload.len().min(self.longest() as usize));
            let length = piece.len() as u64;
            self.device().write(deadline, at, piece, flags).await?;
            at += length;
        }
        Ok(())
    }
}

/// Others have their turn before each piece except the first, and there is no further one once the request has ended.
async fn next_piece(deadline: &Deadline, is_further: bool) -> Result<(), Failure> {
    if is_further {
        yield_now().await;
        deadline.check()?;
        deadline.next_piece();
    }
    Ok(())
}
