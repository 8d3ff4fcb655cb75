//! A server that does a correct handshake, and then sends what a test wants.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use nbd_proto::wire::{self, chunk, info, option, option_reply};
use tempfile::TempDir;

/// The id of the context.
const CONTEXT: u32 = 7;

/// A server for one client, with structured replies and `base:allocation`.
pub(crate) struct Liar {
    folder: TempDir,
    thread: JoinHandle<io::Result<()>>,
}

/// A request for block status that waits for its answer.
pub(crate) struct Request<'a> {
    stream: &'a mut UnixStream,
    cookie: [u8; 8],
    /// The offset in bytes.
    pub(crate) offset: u64,
    /// The length in bytes.
    pub(crate) length: u32,
}

impl Liar {
    /// Serves an export of `size` bytes, and passes every request to `answer`.
    pub(crate) fn start(
        size: u64,
        mut answer: impl FnMut(&mut Request<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let folder = TempDir::with_prefix("nbdbox-liar-").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            handshake(&mut stream, size)?;
            while let Some(mut request) = next_request(&mut stream)? {
                answer(&mut request)?;
            }
            Ok(())
        });
        Self { folder, thread }
    }

    /// Refuses every export with this text.
    pub(crate) fn refusing(text: &'static str) -> Self {
        let folder = TempDir::with_prefix("nbdbox-liar-").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            hello(&mut stream)?;
            loop {
                let number = read_option(&mut stream)?;
                reply(
                    &mut stream,
                    number,
                    option_reply::ERR_UNKNOWN,
                    text.as_bytes(),
                )?;
            }
        });
        Self { folder, thread }
    }

    /// The URI of its export.
    pub(crate) fn uri(&self) -> String {
        let socket = self.folder.path().join("socket");
        format!("nbd+unix:///?socket={}", socket.display())
    }

    /// Waits for its end. A client may hang up on it: the tests want that.
    pub(crate) fn join(self) {
        let _ = self.thread.join().expect("the liar does what it should");
    }
}

impl Request<'_> {
    /// Sends one structured chunk.
    pub(crate) fn chunk(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        let mut bytes = wire::STRUCTURED_REPLY_MAGIC.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(self.cookie);
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        self.stream.write_all(&bytes)
    }

    /// Sends extents with these lengths and types.
    pub(crate) fn extents(&mut self, flags: u16, extents: &[(u32, u32)]) -> io::Result<()> {
        let numbers = extents.iter().flat_map(|(length, kind)| [*length, *kind]);
        let payload: Vec<u8> = [CONTEXT]
            .into_iter()
            .chain(numbers)
            .flat_map(u32::to_be_bytes)
            .collect();
        self.chunk(chunk::BLOCK_STATUS, flags, &payload)
    }

    /// Sends an error with this text.
    pub(crate) fn error(&mut self, errno: u32, text: &str) -> io::Result<()> {
        let mut payload = errno.to_be_bytes().to_vec();
        payload.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        payload.extend(text.as_bytes());
        self.chunk(chunk::ERROR, chunk::FLAG_DONE, &payload)
    }
}

fn handshake(stream: &mut UnixStream, size: u64) -> io::Result<()> {
    hello(stream)?;
    loop {
        let number = read_option(stream)?;
        match number {
            option::EXTENDED_HEADERS => {
                reply(stream, number, option_reply::ERR_UNSUP, &[])?;
                continue;
            }
            option::SET_META_CONTEXT => {
                let mut context = CONTEXT.to_be_bytes().to_vec();
                context.extend(wire::BASE_ALLOCATION.bytes());
                reply(stream, number, option_reply::META_CONTEXT, &context)?;
            }
            option::GO => {
                let mut export = info::EXPORT.to_be_bytes().to_vec();
                export.extend(size.to_be_bytes());
                export.extend(1u16.to_be_bytes());
                reply(stream, number, option_reply::INFO, &export)?;
            }
            _ => {}
        }
        reply(stream, number, option_reply::ACK, &[])?;
        if number == option::GO {
            return Ok(());
        }
    }
}

/// Sends the hello, and reads the client's flags.
fn hello(stream: &mut UnixStream) -> io::Result<()> {
    stream.write_all(&wire::NBD_MAGIC.to_be_bytes())?;
    stream.write_all(&wire::OPTION_MAGIC.to_be_bytes())?;
    stream.write_all(&3u16.to_be_bytes())?;
    stream.read_exact(&mut [0; 4])
}

/// Reads an option, and skips its data.
fn read_option(stream: &mut UnixStream) -> io::Result<u32> {
    let mut header = [0; 16];
    stream.read_exact(&mut header)?;
    let field = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    io::copy(&mut stream.take(field(12).into()), &mut io::sink())?;
    Ok(field(8))
}

fn reply(stream: &mut UnixStream, number: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut bytes = wire::OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    stream.write_all(&bytes)
}

/// The next request; `None` if the client has hung up.
fn next_request(stream: &mut UnixStream) -> io::Result<Option<Request<'_>>> {
    let mut header = [0; wire::REQUEST_LEN];
    stream.read_exact(&mut header)?;
    assert_eq!(header[..4], wire::REQUEST_MAGIC.to_be_bytes());
    let kind = u16::from_be_bytes(header[6..8].try_into().unwrap());
    if kind == wire::command::DISC {
        return Ok(None);
    }
    assert_eq!(kind, wire::command::BLOCK_STATUS);
    assert_eq!(header[4..6], [0, 0], "no REQ_ONE");
    Ok(Some(Request {
        stream,
        cookie: header[8..16].try_into().unwrap(),
        offset: u64::from_be_bytes(header[16..24].try_into().unwrap()),
        length: u32::from_be_bytes(header[24..28].try_into().unwrap()),
    }))
}
