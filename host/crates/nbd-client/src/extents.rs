//! Requests block status: where an export has data and holes.

use extent_map::{Extent, Kind};
use nbd_proto::client::Request;
use nbd_proto::{Descriptor, Framing};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Client, ClientError, printable};

/// Minimum block size that the client assumes, as nbdinfo does, if the server sends none. In bytes.
const MINIMUM_BLOCK: u32 = 512;

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Calls `each` with the export's extents, in ascending order and without gaps, as the server sends
    /// them. Neighbours may be of the same kind. Each extent has at least one byte, and the last ends at
    /// the export's end.
    ///
    /// Waits for the server without a time limit. If the future is dropped, drop the client too: it would
    /// take the reply to the abandoned request for a mistake of the server.
    ///
    /// # Errors
    /// The server doesn't support block status, answers with an error, breaks the protocol or hangs up;
    /// or `each` fails.
    pub async fn extents<E: From<ClientError>>(
        &mut self,
        mut each: impl FnMut(Extent) -> Result<(), E>,
    ) -> Result<(), E> {
        //= proto.md#metadata-querying
        //# A client MUST NOT use `NBD_CMD_BLOCK_STATUS` unless it selected a nonzero number of metadata
        //# contexts during negotiation
        //= proto.md#request-types
        //# A client MUST NOT send `NBD_CMD_BLOCK_STATUS` unless within the negotiation phase it sent
        //# `NBD_OPT_SET_META_CONTEXT` at least once
        if self.agreed.allocation.is_none() {
            return Err(ClientError::NoAllocation.into());
        }
        let size = self.agreed.size;
        let mut offset = 0;
        //= proto.md#size-constraints
        //# For those requests, the client MUST NOT use a *length* which, when added to *offset*, would exceed
        //# the export size.
        //= proto.md#request-types
        //# The client SHOULD NOT request a status length of 0
        while offset < size {
            //= proto.md#size-constraints
            //# the client MUST ensure that *offset* and *length* are integer multiples of any advertised
            //# minimum block size
            let length = self.longest().min(size - offset);
            for descriptor in self.block_status(offset, length).await? {
                // The last one may reach past the end of the request, and of the export.
                let length = descriptor.length.min(size - offset);
                if length == 0 {
                    break;
                }
                let kind = Kind::from_flags(descriptor.flags.bits());
                //= proto.md#request-types
                //# the client SHOULD be prepared to handle consecutive descriptors with the same *status*
                //# value.
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

    /// Longest block status request in bytes: without limit, or the largest multiple of a block in 32 bits.
    fn longest(&self) -> u64 {
        if self.agreed.framing == Framing::Extended {
            return u64::MAX;
        }
        //= proto.md#size-constraints
        //# SHOULD constrain its requests to a minimum block size of 2^9 (512)
        let block = self
            .agreed
            .block
            .map_or(MINIMUM_BLOCK, |block| block.minimum().max(1));
        //= proto.md#size-constraints
        //# if a client issues an `NBD_OPT_GO` including an `NBD_INFO_BLOCK_SIZE` information request, it MUST
        //# abide by the size constraints it receives.
        u64::from(u32::MAX - u32::MAX % block)
    }

    /// Sends one block status request. Its answer may cover only a part of the range, but never nothing.
    async fn block_status(
        &mut self,
        offset: u64,
        length: u64,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let request = Request::block_status(self.next_cookie(), offset, length);
        match self.ask(request, &[]).await? {
            Ok(answer) => Ok(answer.descriptors),
            Err(refused) => Err(ClientError::Failed {
                errno: refused.errno,
                offset,
                text: printable(&refused.text),
            }),
        }
    }
}
