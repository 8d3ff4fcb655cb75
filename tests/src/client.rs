//! A client that sends one request at a time and trusts nothing: what the server must not do fails the test.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub use nbd_client::Refused;
use nbd_client::{Answer, Client as Connected};
use nbd_proto::client::{Connection, Request};
use nbd_proto::{CommandFlags, Cookie, Descriptor, Framing, StateFlags};

/// A connection past the handshake.
#[derive(Debug)]
pub struct Client(Connected<UnixStream>);

/// One extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Start in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// The status flags.
    pub flags: StateFlags,
}

type Outcome<T> = Result<T, Refused>;

impl Client {
    /// Connects to the default export, with `base:allocation` if the framing has contexts.
    ///
    /// # Panics
    /// The server refuses, or doesn't support the framing.
    #[must_use]
    pub fn connect(socket: &Path, framing: Framing) -> Self {
        Self::connect_to(socket, "", framing)
    }

    /// Connects to an export.
    ///
    /// # Panics
    /// As for [`connect`](Self::connect).
    #[must_use]
    pub fn connect_to(socket: &Path, export: &str, framing: Framing) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        // A test fails, rather than hangs, if it waits for something that never comes.
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let client = Connected::blocking_negotiate(stream, export, framing).unwrap();
        assert_eq!(client.agreed().framing, framing);
        Self(client)
    }

    /// What the handshake agreed on.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.0.agreed()
    }

    /// The export's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Sends READ, and returns the bytes.
    ///
    /// # Errors
    /// The server's error.
    pub fn read(&mut self, offset: u64, length: u32) -> Outcome<Vec<u8>> {
        Ok(self.content(offset, length, CommandFlags::empty())?.bytes)
    }

    /// Sends READ, and returns the bytes with the number of chunks.
    ///
    /// # Errors
    /// The server's error.
    ///
    /// # Panics
    /// The chunks overlap, or don't cover the request.
    pub fn content(&mut self, offset: u64, length: u32, flags: CommandFlags) -> Outcome<Answer> {
        let cookie = self.next_cookie();
        self.ask(Request::read(cookie, offset, length).with(flags), &[])
    }

    /// Sends WRITE.
    ///
    /// # Errors
    /// The server's error.
    pub fn write(&mut self, offset: u64, bytes: &[u8], flags: CommandFlags) -> Outcome<()> {
        let length = u32::try_from(bytes.len()).unwrap();
        let (framing, cookie) = (self.0.agreed().framing, self.next_cookie());
        self.tell(
            Request::write(framing, cookie, offset, length).with(flags),
            bytes,
        )
    }

    /// Sends TRIM.
    ///
    /// # Errors
    /// The server's error.
    pub fn trim(&mut self, offset: u64, length: u64, flags: CommandFlags) -> Outcome<()> {
        let cookie = self.next_cookie();
        self.tell(Request::trim(cookie, offset, length).with(flags), &[])
    }

    /// Sends WRITE_ZEROES.
    ///
    /// # Errors
    /// The server's error.
    pub fn zero(&mut self, offset: u64, length: u64, flags: CommandFlags) -> Outcome<()> {
        let cookie = self.next_cookie();
        self.tell(
            Request::write_zeroes(cookie, offset, length).with(flags),
            &[],
        )
    }

    /// Sends FLUSH.
    ///
    /// # Errors
    /// The server's error.
    pub fn flush(&mut self) -> Outcome<()> {
        let cookie = self.next_cookie();
        self.tell(Request::flush(cookie), &[])
    }

    /// Sends BLOCK_STATUS, and returns the descriptors as they came.
    ///
    /// # Errors
    /// The server's error.
    ///
    /// # Panics
    /// The reply doesn't have exactly one list of descriptors.
    pub fn status(
        &mut self,
        offset: u64,
        length: u64,
        flags: CommandFlags,
    ) -> Outcome<Vec<Descriptor>> {
        let cookie = self.next_cookie();
        let request = Request::block_status(cookie, offset, length).with(flags);
        Ok(self.ask(request, &[])?.descriptors)
    }

    /// The map of a range, coalesced and cut to the range. Each request is for `step` bytes.
    ///
    /// # Panics
    /// The server returns an error, or no progress.
    #[must_use]
    pub fn map(&mut self, offset: u64, length: u64, step: u64) -> Vec<Extent> {
        self.walk(offset, length, step, CommandFlags::empty())
    }

    /// The same map, from requests for one extent each, as `qemu-img map` makes them.
    ///
    /// # Panics
    /// The server returns an error, or another number of extents.
    #[must_use]
    pub fn map_one_by_one(&mut self, offset: u64, length: u64) -> Vec<Extent> {
        self.walk(offset, length, length, CommandFlags::REQ_ONE)
    }

    fn walk(&mut self, offset: u64, length: u64, step: u64, flags: CommandFlags) -> Vec<Extent> {
        let end = offset + length;
        let mut map = Vec::new();
        let mut at = offset;
        while at < end {
            let descriptors = self.status(at, step.min(end - at), flags).unwrap();
            if flags.contains(CommandFlags::REQ_ONE) {
                assert_eq!(descriptors.len(), 1, "{descriptors:?}");
            }
            for descriptor in descriptors {
                let extent = Extent {
                    offset: at,
                    length: descriptor.length.min(end - at),
                    flags: descriptor.flags,
                };
                at += extent.length;
                extent.add_to(&mut map);
            }
        }
        map
    }

    fn next_cookie(&mut self) -> Cookie {
        self.0.next_cookie()
    }

    /// Sends a request, and returns the reply.
    fn ask(&mut self, request: Request, payload: &[u8]) -> Outcome<Answer> {
        self.0.blocking_ask(request, payload).unwrap()
    }

    /// Sends a request whose reply has no content.
    fn tell(&mut self, request: Request, payload: &[u8]) -> Outcome<()> {
        self.ask(request, payload).map(drop)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut bytes = Vec::new();
        let request = Request::disconnect(self.next_cookie());
        let encoded = request.encode(self.connection().framing, &mut bytes);
        // The server may have ended already.
        let _ = encoded.map(|()| self.0.blocking_send(&bytes));
    }
}

impl Extent {
    /// Whether the extent reads as zeroes, by its flags.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.flags.contains(StateFlags::ZERO)
    }

    /// Whether the extent isn't allocated, by its flags.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.flags.contains(StateFlags::HOLE)
    }

    /// Adds the extent to a map that ends where it begins, and joins equal neighbours.
    pub fn add_to(self, map: &mut Vec<Self>) {
        match map.last_mut() {
            Some(last) if last.flags == self.flags => last.length += self.length,
            _ => map.push(self),
        }
    }
}
