//! The least that a server can do: it answers every request with the same bytes.
//!
//! It has no plugin, no file, no limits and no state. A blocking thread for each connection takes all requests that
//! have arrived, and sends all of their replies with one call. Its figures under a load are the most that the client,
//! the kernel and the sockets allow any server that answers in order.

use std::io::{IoSlice, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use nbd_proto::{
    BlockSizes, Command, ContextId, Descriptor, Event, Export, ExportFlags, Handshake, Incoming,
    Parsed, Policy, Session, StateFlags, reply,
};

use crate::client::Endpoint;

/// The bytes of the export.
const SIZE: u64 = 1 << 30;

/// The longest read.
const LONGEST: usize = 1 << 20;

/// The most bytes that one read of the socket takes.
const GULP: usize = 256 << 10;

/// The bytes of each extent that it reports, holes and data in turn.
const EXTENT: u64 = 64 << 10;

/// Serves until it's killed.
pub(crate) fn serve(endpoint: &Endpoint) -> anyhow::Result<()> {
    match endpoint {
        Endpoint::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            loop {
                begin(listener.accept()?.0);
            }
        }
        Endpoint::Tcp(port) => {
            let listener = TcpListener::bind(("127.0.0.1", *port))?;
            loop {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                begin(stream);
            }
        }
    }
}

fn begin(mut stream: impl Read + Write + Send + 'static) {
    thread::spawn(move || {
        let ended =
            shake(&mut stream).and_then(|(session, input)| transmit(stream, session, input));
        if let Err(error) = ended {
            eprintln!("{error:#}");
        }
    });
}

/// Does the handshake. Returns the bytes that came after it.
fn shake(stream: &mut (impl Read + Write)) -> anyhow::Result<(Session, Vec<u8>)> {
    let flags = ExportFlags::SEND_FLUSH | ExportFlags::CAN_MULTI_CONN;
    let export = Export {
        name: String::new(),
        description: None,
        size: SIZE,
        flags,
        block: BlockSizes::default(),
        enforced: None,
        allocation: true,
    };
    let mut handshake = Handshake::new(Policy::default());
    let (mut input, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let (used, event) = handshake.advance(&input);
        input.drain(..used);
        match event {
            Event::NeedMore => {
                stream.write_all(&handshake.take_output())?;
                match stream.read(&mut bytes)? {
                    0 => bail!("the client hung up"),
                    count => input.extend_from_slice(&bytes[..count]),
                }
            }
            Event::List => handshake.list([("", None)]),
            Event::Find(_) => handshake.found(&export),
            Event::Ready(session) => {
                stream.write_all(&handshake.take_output())?;
                return Ok((*session, input));
            }
            Event::StartTls | Event::Close => bail!("the client hung up"),
        }
    }
}

/// Replies to send: encoded frames, each with the number of bytes of the one payload that follow it.
#[derive(Default)]
struct Due {
    frames: Vec<u8>,
    parts: Vec<(usize, usize)>,
}

fn transmit(
    mut stream: impl Read + Write,
    session: Session,
    unread: Vec<u8>,
) -> anyhow::Result<()> {
    let data = vec![0x5a; LONGEST];
    let mut input = vec![0; GULP];
    input[..unread.len()].copy_from_slice(&unread);
    let (mut start, mut end, mut payload) = (0, unread.len(), 0);
    // The write whose payload is arriving.
    let mut write = None;
    let mut due = Due::default();
    loop {
        let skipped = payload.min(end - start);
        start += skipped;
        payload -= skipped;
        if payload == 0
            && let Some(incoming) = write.take()
        {
            due.answer(&session, &incoming)?;
        }
        while payload == 0
            && let Parsed::Request(incoming) = session.parse(&input[start..end])
        {
            start += incoming.header_len;
            payload = incoming.payload_len as usize;
            if payload > 0 {
                write = Some(incoming);
            } else if incoming.command == Command::Disconnect {
                return Ok(());
            } else {
                due.answer(&session, &incoming)?;
            }
        }
        if payload > 0 && start < end {
            continue;
        }
        due.send(&mut stream, &data)?;
        input.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match stream.read(&mut input[end..])? {
            0 => return Ok(()),
            count => end += count,
        }
    }
}

impl Due {
    fn answer(&mut self, session: &Session, incoming: &Incoming) -> anyhow::Result<()> {
        let Incoming { head, command, .. } = *incoming;
        let mut body = 0;
        match command {
            Command::Read { offset, length, .. } => {
                body = length as usize;
                ensure!(body <= LONGEST, "a longer read than any row has");
                reply::data_header(head, offset, length, true, &mut self.frames);
            }
            Command::BlockStatus { length, one, .. } => {
                let context = session.allocation().unwrap_or(ContextId(0));
                let extents = (0..length.div_ceil(EXTENT)).map(|index| Descriptor {
                    length: EXTENT,
                    flags: if index % 2 == 0 {
                        StateFlags::empty()
                    } else {
                        StateFlags::HOLE
                    },
                });
                reply::block_status(head, context, length, one, extents, &mut self.frames)
                    .context("an extent")?;
            }
            _ => reply::ok(head, &mut self.frames),
        }
        self.parts.push((self.frames.len(), body));
        Ok(())
    }

    /// Sends all replies.
    fn send(&mut self, stream: &mut impl Write, data: &[u8]) -> anyhow::Result<()> {
        let mut frame = 0;
        let mut slices = Vec::with_capacity(2 * self.parts.len());
        for &(frame_end, body) in &self.parts {
            slices.push(IoSlice::new(&self.frames[frame..frame_end]));
            if body > 0 {
                slices.push(IoSlice::new(&data[..body]));
            }
            frame = frame_end;
        }
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = stream.write_vectored(left)?;
            ensure!(written > 0, "the client hung up");
            IoSlice::advance_slices(&mut left, written);
        }
        self.frames.clear();
        self.parts.clear();
        Ok(())
    }
}
