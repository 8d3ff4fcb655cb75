//! A client that sends one request at a time and trusts nothing: it checks everything of a reply that
//! `nbd_proto::client` doesn't.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nbd_proto::client::{Body, Connection, Goal, Negotiation, Progress, Reply, Request, decode};
use nbd_proto::{CommandFlags, Cookie, Descriptor, Errno, Framing, StateFlags};

/// The most bytes that one read of the socket takes.
const GULP: usize = 256 * 1024;

/// A connection past the handshake.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    connection: Connection,
    cookie: u64,
}

/// An error reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The errno.
    pub errno: Errno,
    /// The explanation; empty if replies are simple.
    pub text: String,
}

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

/// The bytes of a read, and the number of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes, with holes filled in.
    pub bytes: Vec<u8>,
    /// The number of chunks with bytes.
    pub data_chunks: usize,
    /// The number of chunks that are holes.
    pub hole_chunks: usize,
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
        let goal = Goal::Go {
            export: export.to_owned(),
            framing,
            allocation: framing != Framing::Simple,
        };
        let connection = Connection {
            framing,
            allocation: None,
            size: 0,
            flags: nbd_proto::ExportFlags::empty(),
            block: None,
            description: None,
        };
        let (input, cookie) = (Vec::new(), 0);
        let mut client = Self {
            stream,
            input,
            connection,
            cookie,
        };
        client.negotiate(goal);
        assert_eq!(client.connection.framing, framing);
        client
    }

    fn negotiate(&mut self, goal: Goal) {
        let mut negotiation = Negotiation::new(goal);
        loop {
            let (used, progress) = negotiation.advance(&self.input).unwrap();
            self.input.drain(..used);
            self.stream.write_all(&negotiation.take_output()).unwrap();
            match progress {
                Progress::NeedMore => self.fill(),
                Progress::Connected(connection) => return self.connection = connection,
                Progress::Listed(_) | Progress::StartTls => unreachable!("neither was asked for"),
            }
        }
    }

    /// What the handshake agreed on.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The export's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.connection.size
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
    pub fn content(&mut self, offset: u64, length: u32, flags: CommandFlags) -> Outcome<Content> {
        let cookie = self.next_cookie();
        let request = Request::read(cookie, offset, length).with(flags);
        self.send(&request, &[]);
        let mut bytes = vec![0; length as usize];
        let mut seen = vec![false; length as usize];
        let (mut data_chunks, mut hole_chunks) = (0, 0);
        let mut refused = None;
        loop {
            let reply = self.reply(&request);
            let done = reply.done;
            let place = |at: u64, length: u32| {
                let start = usize::try_from(at - offset).unwrap();
                start..start + length as usize
            };
            match reply.body {
                Body::Data { offset, length } => {
                    let place = place(offset, length);
                    mark(&mut seen[place.clone()]);
                    self.receive(&mut bytes[place]);
                    data_chunks += 1;
                }
                Body::Hole { offset, length } => {
                    mark(&mut seen[place(offset, length)]);
                    hole_chunks += 1;
                }
                Body::Error { errno, text, .. } => refused = Some(Refused { errno, text }),
                Body::Nothing => {}
                Body::BlockStatus { .. } => panic!("block status for a read"),
            }
            if done {
                break;
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        assert!(seen.iter().all(|seen| *seen), "a read with gaps");
        Ok(Content {
            bytes,
            data_chunks,
            hole_chunks,
        })
    }

    /// Sends WRITE.
    ///
    /// # Errors
    /// The server's error.
    pub fn write(&mut self, offset: u64, bytes: &[u8], flags: CommandFlags) -> Outcome<()> {
        let length = u32::try_from(bytes.len()).unwrap();
        let (framing, cookie) = (self.connection.framing, self.next_cookie());
        self.ask(
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
        self.ask(Request::trim(cookie, offset, length).with(flags), &[])
    }

    /// Sends WRITE_ZEROES.
    ///
    /// # Errors
    /// The server's error.
    pub fn zero(&mut self, offset: u64, length: u64, flags: CommandFlags) -> Outcome<()> {
        let cookie = self.next_cookie();
        self.ask(
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
        self.ask(Request::flush(cookie), &[])
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
        self.send(&request, &[]);
        let mut found = None;
        let mut refused = None;
        loop {
            let reply = self.reply(&request);
            match reply.body {
                Body::BlockStatus { descriptors, .. } => {
                    assert!(found.is_none(), "two lists for one context");
                    found = Some(descriptors);
                }
                Body::Error { errno, text, .. } => refused = Some(Refused { errno, text }),
                Body::Nothing => {}
                body => panic!("{body:?} for a block status"),
            }
            if reply.done {
                break;
            }
        }
        match refused {
            Some(refused) => Err(refused),
            None => Ok(found.expect("a list of descriptors")),
        }
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
        self.cookie += 1;
        Cookie(self.cookie)
    }

    /// Sends a request whose reply has no content.
    fn ask(&mut self, request: Request, payload: &[u8]) -> Outcome<()> {
        self.send(&request, payload);
        let mut outcome = Ok(());
        loop {
            let reply = self.reply(&request);
            match reply.body {
                Body::Nothing => {}
                Body::Error { errno, text, .. } => outcome = Err(Refused { errno, text }),
                body => panic!("{body:?} for {request:?}"),
            }
            if reply.done {
                return outcome;
            }
        }
    }

    fn send(&mut self, request: &Request, payload: &[u8]) {
        let mut bytes = Vec::new();
        request.encode(self.connection.framing, &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Receives the next reply or chunk, which must be for `request`.
    fn reply(&mut self, request: &Request) -> Reply {
        loop {
            let framing = self.connection.framing;
            let mine = |cookie| (cookie == request.cookie).then_some(*request);
            if let Some(reply) = decode(framing, &self.input, mine).unwrap() {
                self.input.drain(..reply.used);
                return reply;
            }
            self.fill();
        }
    }

    /// Receives bytes that follow a reply: first those that are in memory already, then the socket's.
    fn receive(&mut self, bytes: &mut [u8]) {
        let here = bytes.len().min(self.input.len());
        bytes[..here].copy_from_slice(&self.input[..here]);
        self.input.drain(..here);
        self.stream.read_exact(&mut bytes[here..]).unwrap();
    }

    fn fill(&mut self) {
        let had = self.input.len();
        self.input.resize(had + GULP, 0);
        let got = self.stream.read(&mut self.input[had..]).unwrap();
        assert!(got > 0, "the server hung up");
        self.input.truncate(had + got);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut bytes = Vec::new();
        let request = Request::disconnect(self.next_cookie());
        let encoded = request.encode(self.connection.framing, &mut bytes);
        // The server may have ended already.
        let _ = encoded.map(|()| self.stream.write_all(&bytes));
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.errno.name(), self.text)
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

fn mark(seen: &mut [bool]) {
    assert!(!seen.contains(&true), "chunks that overlap");
    seen.fill(true);
}
