//! Block status: where data and holes are.

use bytes::Buf as _;
use extent_map::{Extent, Kind};
use nbd_proto::client::{Body, Reply, Request, decode};
use nbd_proto::{ContextId, Descriptor, Framing};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Client, ClientError, printable, receive};

/// Minimum block size of a server that doesn't say one, as nbdinfo assumes it.
const MINIMUM_BLOCK: u32 = 512;

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Walks over the export: `each` gets its extents in ascending order, as the server sends them.
    /// Neighbours may be of the same kind. Each is at least one byte long, and they end where the
    /// export does.
    ///
    /// # Errors
    /// The server can't say or breaks the protocol, or `each` fails.
    pub async fn extents<E: From<ClientError>>(
        &mut self,
        mut each: impl FnMut(Extent) -> Result<(), E>,
    ) -> Result<(), E> {
        let context = self.agreed.allocation.ok_or(ClientError::NoAllocation)?;
        let size = self.agreed.size;
        let mut offset = 0;
        while offset < size {
            let length = self.longest().min(size - offset);
            for descriptor in self.block_status(context, offset, length).await? {
                // The last one may reach past what was asked; past the export there is nothing.
                let length = descriptor.length.min(size - offset);
                if length == 0 {
                    break;
                }
                let kind = Kind::from_flags(descriptor.flags.bits());
                each(Extent {
                    offset,
                    length,
                    kind,
                })?;
                offset += length;
            }
        }
        Ok(())
    }

    /// The longest request: all there is, or the largest multiple of a block in 32 bits.
    fn longest(&self) -> u64 {
        if self.agreed.framing == Framing::Extended {
            return u64::MAX;
        }
        let block = self
            .agreed
            .block
            .map_or(MINIMUM_BLOCK, |block| block.minimum().max(1));
        u64::from(u32::MAX - u32::MAX % block)
    }

    /// Asks once. The answer may be short, but says something.
    async fn block_status(
        &mut self,
        wanted: ContextId,
        offset: u64,
        length: u64,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let request = Request::block_status(self.next_cookie(), offset, length);
        self.send(request).await?;
        let mut answer: Option<Result<Vec<Descriptor>, ClientError>> = None;
        loop {
            let reply = self.reply(&request).await?;
            let said = match reply.body {
                Body::Nothing => None,
                Body::BlockStatus {
                    context,
                    descriptors,
                } if context == wanted => Some(Ok(descriptors)),
                Body::BlockStatus { .. } => {
                    return Err(broken("a context that wasn't chosen"));
                }
                Body::Error { errno, text, .. } => Some(Err(ClientError::Failed {
                    errno,
                    offset,
                    text: printable(&text),
                })),
                Body::Data { .. } | Body::Hole { .. } => {
                    return Err(broken("content for no read"));
                }
            };
            // One chunk for each context, or an error: what goes on and on is neither.
            if said.is_some() && answer.is_some() {
                return Err(broken("two answers to one block status"));
            }
            answer = answer.or(said);
            if reply.done {
                return answer.unwrap_or_else(|| Err(broken("block status without extents")));
            }
        }
    }

    /// The next reply, or chunk of one.
    async fn reply(&mut self, request: &Request) -> Result<Reply, ClientError> {
        loop {
            let asked = |cookie| (cookie == request.cookie).then_some(*request);
            if let Some(reply) = decode(self.agreed.framing, &self.input, asked)? {
                self.input.advance(reply.used);
                return Ok(reply);
            }
            receive(&mut self.stream, &mut self.input).await?;
        }
    }
}

fn broken(what: &'static str) -> ClientError {
    nbd_proto::client::ClientError::Protocol(what).into()
}
