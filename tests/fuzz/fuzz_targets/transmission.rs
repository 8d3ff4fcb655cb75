//! Sends any bytes as requests to any session, answers each, and decodes the replies as a client. The session passes no
//! request that breaks a rule, and the client finds no fault with a reply.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nbd_proto::client::{Body, Request, decode};
use nbd_proto::{
    BlockSizes, Command, CommandFlags, ContextId, Cookie, Descriptor, Errno, Export, ExportFlags,
    Framing, Incoming, Parsed, Session, StateFlags, limits, reply,
};

/// Takes numbers from the front of the input, and zeroes after its end.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> u64 {
        let size = usize::from(self.byte() % 9);
        (0..size).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }
}

fn session(dice: &mut Dice<'_>) -> Session {
    let framing = match dice.byte() % 3 {
        0 => Framing::Simple,
        1 => Framing::Structured,
        _ => Framing::Extended,
    };
    let minimum = 1 << (dice.byte() % 17);
    let export = Export {
        name: String::new(),
        description: None,
        size: dice.number(),
        flags: ExportFlags::from_bits_retain(dice.number() as u16),
        block: BlockSizes::new(minimum, minimum.max(512), 1 << 24).unwrap(),
        enforced: None,
        allocation: dice.byte() & 1 == 0,
    };
    Session::new(
        framing,
        (dice.byte() & 1 == 0).then_some(ContextId(5)),
        export,
    )
}

/// A stream of requests. Some are nearly correct; after the byte 0xff the rest of the input follows as it is.
fn requests(framing: Framing, dice: &mut Dice<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !dice.0.is_empty() && stream.len() < 4096 {
        if dice.byte() == 0xff {
            stream.extend_from_slice(dice.0);
            return stream;
        }
        let kind = u16::from(dice.byte() % 10);
        let mut request = Request::new(kind, Cookie(dice.number()), dice.number(), dice.number());
        request.flags = CommandFlags::from_bits_retain(u16::from(dice.byte()));
        if request.encode(framing, &mut stream).is_ok() && request.length < 64 {
            stream.extend((0..request.length).map(|_| dice.byte()));
        }
    }
    stream
}

/// Asserts the rules that every command keeps that the session passed.
fn check(session: &Session, incoming: &Incoming) {
    let minimum = u64::from(session.block().minimum());
    let (offset, length) = match incoming.command {
        Command::Read { offset, length, .. } => (offset, u64::from(length)),
        Command::Write { offset, length, .. } => {
            assert_eq!(length, incoming.payload_len);
            (offset, u64::from(length))
        }
        Command::Trim { offset, length, .. }
        | Command::Cache { offset, length }
        | Command::WriteZeroes { offset, length, .. }
        | Command::BlockStatus { offset, length, .. } => (offset, length),
        Command::Flush | Command::Nothing | Command::Disconnect | Command::Refused(_) => return,
    };
    assert!(length > 0 && offset.checked_add(length).unwrap() <= session.export().size);
    assert!(offset % minimum == 0 && length % minimum == 0);
    let writes = matches!(
        incoming.command,
        Command::Write { .. } | Command::Trim { .. } | Command::WriteZeroes { .. }
    );
    assert!(!writes || !session.export().flags.contains(ExportFlags::READ_ONLY));
}

/// The request as its client remembers it.
fn remembered(incoming: &Incoming) -> Request {
    let cookie = incoming.head.cookie;
    let offset = incoming.head.offset;
    match incoming.command {
        Command::Read { length, .. } => Request::read(cookie, offset, length),
        Command::BlockStatus { length, one, .. } => {
            let mut request = Request::block_status(cookie, offset, length);
            request.flags.set(CommandFlags::REQ_ONE, one);
            request
        }
        _ => Request::new(99, cookie, offset, 0),
    }
}

/// Encodes some answer to a request. Returns `false` for a disconnect, which has no answer.
fn answer(incoming: &Incoming, dice: &mut Dice<'_>, out: &mut Vec<u8>) -> bool {
    let head = incoming.head;
    match incoming.command {
        Command::Disconnect => return false,
        Command::Refused(refusal) => reply::error(head, refusal.errno, refusal.text, out),
        _ if dice.byte() == 1 => {
            let text = "\u{1f980}\0".repeat(usize::from(dice.byte()) * 8);
            reply::error(
                head,
                Errno::Eio.permitted_for(&incoming.command),
                &text,
                out,
            );
        }
        Command::Read {
            offset,
            length,
            dont_fragment,
        } => {
            if dont_fragment || !head.framing.has_chunks() {
                reply::data_header(head, offset, length, true, out);
            } else {
                read(incoming, offset, length, dice, out);
            }
        }
        Command::BlockStatus { length, one, .. } => {
            let pieces: Vec<Descriptor> = (0..dice.byte() % 8)
                .map(|bits| Descriptor {
                    length: dice.number(),
                    flags: StateFlags::from_bits_truncate(bits.into()),
                })
                .collect();
            if reply::block_status(head, ContextId(5), length, one, pieces, out).is_err() {
                assert!(out.is_empty());
                reply::error(head, Errno::Eio, "", out);
            }
        }
        _ => reply::ok(head, out),
    }
    true
}

/// Encodes the answer to a read, in some pieces.
fn read(incoming: &Incoming, mut offset: u64, length: u32, dice: &mut Dice<'_>, out: &mut Vec<u8>) {
    let mut left = length;
    while left > 0 {
        let piece = if out.len() > 500 {
            left
        } else {
            (dice.number() as u32).clamp(1, left)
        };
        left -= piece;
        if dice.byte() & 1 == 0 {
            reply::hole(incoming.head, offset, piece, left == 0, out).unwrap();
        } else {
            reply::data_header(incoming.head, offset, piece, left == 0, out);
        }
        offset += u64::from(piece);
    }
}

/// Decodes an answer as the client. Asserts that it's complete, that no bytes follow, and that its pieces cover a read.
fn understand(incoming: &Incoming, mut input: &[u8]) {
    let request = remembered(incoming);
    let (mut covered, mut failed) = (0, false);
    loop {
        let find = |cookie| (cookie == request.cookie).then_some(request);
        let reply = decode(incoming.head.framing, input, find).unwrap().unwrap();
        match reply.body {
            Body::Data { length, .. } | Body::Hole { length, .. } => covered += u64::from(length),
            Body::Error { text, .. } => {
                assert!(text.len() <= limits::MAX_STRING && !text.contains('\0'));
                failed = true;
            }
            Body::BlockStatus { context, .. } => assert_eq!(context, ContextId(5)),
            Body::Nothing => {}
        }
        input = &input[reply.used..];
        if reply.done {
            break;
        }
    }
    assert!(input.is_empty());
    let reads = matches!(incoming.command, Command::Read { .. });
    assert!(failed || !reads || covered == request.length);
}

fuzz_target!(|bytes: &[u8]| {
    let mut dice = Dice(bytes);
    let session = session(&mut dice);
    let stream = requests(session.framing(), &mut dice);
    let mut dice = Dice(bytes);
    let mut rest = &stream[..];
    let mut out = Vec::new();
    loop {
        match session.parse(rest) {
            Parsed::Broken(_) => break,
            Parsed::Incomplete => {
                assert!(rest.len() < 44);
                break;
            }
            Parsed::Request(incoming) => {
                assert!(incoming.header_len <= rest.len());
                assert!(incoming.payload_len <= limits::MAX_PAYLOAD);
                check(&session, &incoming);
                out.clear();
                if !answer(&incoming, &mut dice, &mut out) {
                    break;
                }
                understand(&incoming, &out);
                let used = incoming.header_len + incoming.payload_len as usize;
                rest = rest.get(used..).unwrap_or_default();
            }
        }
    }
});
