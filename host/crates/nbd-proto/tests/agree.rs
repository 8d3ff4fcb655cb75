//! The crate's client and server exchange messages in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{
    Body, ClientError, Connection, Goal, Listed, Negotiation, Progress, Reply, Request, decode,
};
use nbd_proto::wire::option_reply as rep;
use nbd_proto::{
    Command, CommandFlags, ContextId, Cookie, Descriptor, Errno, Framing, Head, Parsed, Session,
    StateFlags, TlsMode, reply,
};
use proptest::prelude::*;

use script::{Server, export};

const ALL: [Framing; 3] = [Framing::Simple, Framing::Structured, Framing::Extended];

/// Passes bytes between client and server, `step` at once, until the client has reached its goal.
fn talk(goal: Goal, step: usize) -> (Server, Result<Progress, ClientError>) {
    let mut server = Server::new(TlsMode::Off);
    let mut client = Negotiation::new(goal);
    let mut input = Vec::new();
    server.feed(&[]);
    for _ in 0..10_000 {
        let mut sent = server.take();
        while !sent.is_empty() {
            input.extend(sent.drain(..step.min(sent.len())));
            let (consumed, progress) = match client.advance(&input) {
                Ok(progress) => progress,
                Err(error) => return (server, Err(error)),
            };
            input.drain(..consumed);
            if progress != Progress::NeedMore {
                assert_eq!(input, b"", "the client consumed everything");
                server.feed(&client.take_output());
                return (server, Ok(progress));
            }
        }
        for piece in client.take_output().chunks(step) {
            server.feed(piece);
        }
    }
    panic!("the handshake doesn't end");
}

fn go(name: &str, framing: Framing, allocation: bool) -> Goal {
    Goal::Go {
        export: name.to_owned(),
        framing,
        allocation,
    }
}

#[test]
fn they_agree_on_every_combination() {
    for step in [1, 7, usize::MAX] {
        for framing in ALL {
            for (allocation, name) in [(true, "disk"), (false, "big"), (true, "flat"), (true, "")] {
                let (server, progress) = talk(go(name, framing, allocation), step);
                let session = server.session.unwrap();
                let wanted = allocation && framing.has_chunks() && name != "flat";
                assert_eq!(session.framing(), framing);
                assert_eq!(session.allocation().is_some(), wanted);
                let connection = Connection {
                    framing,
                    allocation: session.allocation(),
                    size: session.export().size,
                    flags: session.export().flags,
                    block: Some(session.block()),
                    description: session.export().description.clone(),
                };
                assert_eq!(progress, Ok(Progress::Connected(connection)));
            }
        }
    }
}

#[test]
fn they_agree_that_there_is_no_such_export() {
    let (server, progress) = talk(go("nosuch", Framing::Extended, true), usize::MAX);
    assert!(matches!(
        progress,
        Err(ClientError::Refused {
            kind: rep::ERR_UNKNOWN,
            ..
        })
    ));
    assert!(!server.closed);
}

#[test]
fn a_list_arrives() {
    for step in [1, usize::MAX] {
        let (server, progress) = talk(Goal::List, step);
        let listed = |name: &str, description: &str| Listed {
            name: name.to_owned(),
            description: description.to_owned(),
        };
        let expected = vec![listed("disk", "A disk"), listed("big", "")];
        assert_eq!(progress, Ok(Progress::Listed(expected)));
        assert!(server.closed, "the client sent ABORT");
    }
}

fn session(framing: Framing) -> Session {
    Session::new(framing, Some(ContextId(1)), export("disk"))
}

/// Decodes all chunks of a reply that has headers but no data after them.
fn decode_all(framing: Framing, mut input: &[u8], request: Request) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    while !input.is_empty() {
        assert!(
            replies.last().is_none_or(|reply| !reply.done),
            "a chunk after the last"
        );
        let find = |cookie| (cookie == request.cookie).then_some(request);
        let reply = decode(framing, input, find).unwrap().unwrap();
        input = &input[reply.used..];
        replies.push(reply);
    }
    assert!(replies.last().unwrap().done);
    replies
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::Simple),
        Just(Framing::Structured),
        Just(Framing::Extended)
    ]
}

fn chunks() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::Structured), Just(Framing::Extended)]
}

fn request() -> impl Strategy<Value = Request> {
    let size = 1u64 << 30;
    let offset = prop_oneof![0..size, size - 10..size + 10, any::<u64>()];
    let length = prop_oneof![0..100u64, 1000..100_000u64, any::<u64>()];
    (0..8u16, any::<u16>(), any::<u64>(), offset, length).prop_map(
        |(kind, flags, cookie, offset, length)| {
            let flags = CommandFlags::from_bits_truncate(flags & flags.rotate_left(4));
            Request::new(kind, Cookie(cookie), offset, length).with(flags)
        },
    )
}

/// Offset and length of a command's range, if it has one.
fn range(command: &Command) -> Option<(u64, u64)> {
    Some(match *command {
        Command::Read { offset, length, .. } | Command::Write { offset, length, .. } => {
            (offset, u64::from(length))
        }
        Command::Trim { offset, length, .. }
        | Command::Cache { offset, length }
        | Command::WriteZeroes { offset, length, .. }
        | Command::BlockStatus { offset, length, .. } => (offset, length),
        _ => return None,
    })
}

fn head(framing: Framing, request: &Request) -> Head {
    Head {
        framing,
        cookie: request.cookie,
        offset: request.offset,
    }
}

proptest! {
    /// The server parses a valid request as the client encoded it, and every command that it parses is valid.
    #[test]
    fn requests_arrive(framing in framing(), request in request()) {
        let mut input = Vec::new();
        prop_assume!(request.encode(framing, &mut input).is_ok());
        match session(framing).parse(&input) {
            Parsed::Request(incoming) => {
                prop_assert_eq!(incoming.header_len, input.len());
                prop_assert_eq!(incoming.head, head(framing, &request));
                if let Some((offset, length)) = range(&incoming.command) {
                    prop_assert_eq!((offset, length), (request.offset, request.length));
                    prop_assert!(length > 0 && offset + length <= 1 << 30);
                }
                if let Command::Write { length, .. } = incoming.command {
                    prop_assert_eq!(length, incoming.payload_len);
                } else if !matches!(incoming.command, Command::Refused(_) | Command::Disconnect) {
                    prop_assert_eq!(incoming.payload_len, 0);
                }
            }
            Parsed::Incomplete => prop_assert_eq!(framing, Framing::Extended),
            Parsed::Broken(_) => prop_assert!(request.length > 32 << 20),
        }
    }

    /// A client gets any error text without NULs and cut to a string of the protocol.
    #[test]
    fn errors_arrive(framing in framing(), text in "[a-z\0€]{0,3000}", kind in 0..8u16) {
        let request = Request::new(kind, Cookie(9), 4096, 512);
        let mut out = Vec::new();
        reply::error(head(framing, &request), Errno::Eio, &text, &mut out);
        prop_assert!(out.len() <= reply::MAX_ERROR_LEN);
        let replies = decode_all(framing, &out, request);
        let Body::Error { errno, text: arrived, .. } = &replies[0].body else { panic!() };
        prop_assert_eq!(*errno, Errno::Eio);
        let clean = text.replace('\0', "");
        prop_assert!(clean.starts_with(arrived.as_str()));
        if framing.has_chunks() {
            prop_assert!(arrived.len() > 4092 || clean.len() == arrived.len());
        }
    }

    /// A client decodes the pieces of a read that the server encoded.
    #[test]
    fn reads_arrive(
        framing in chunks(),
        pieces in prop::collection::vec((any::<bool>(), 1..10_000u32), 1..20),
        done_at_once in any::<bool>(),
    ) {
        let total = pieces.iter().map(|(_, length)| length).sum();
        let request = Request::read(Cookie(9), 4096, total);
        let head = head(framing, &request);
        let (mut out, mut offset, mut expected) = (Vec::new(), 4096, Vec::new());
        for (index, (is_hole, length)) in pieces.iter().copied().enumerate() {
            let done = done_at_once && index + 1 == pieces.len();
            if is_hole {
                reply::hole(head, offset, length, done, &mut out).unwrap();
                expected.push(Body::Hole { offset, length });
            } else {
                reply::data_header(head, offset, length, done, &mut out);
                expected.push(Body::Data { offset, length });
            }
            offset += u64::from(length);
        }
        if !done_at_once {
            reply::ok(head, &mut out);
            expected.push(Body::Nothing);
        }
        let bodies: Vec<Body> =
            decode_all(framing, &out, request).into_iter().map(|reply| reply.body).collect();
        prop_assert_eq!(bodies, expected);
    }

    /// Points 59–61: whatever descriptors the shell passes, the client accepts the reply, and the reply
    /// is true as far as it goes.
    #[test]
    fn block_status_arrives(
        framing in chunks(),
        length in prop_oneof![1..1_000_000u64, 1..u64::from(u32::MAX)],
        one in any::<bool>(),
        pieces in prop::collection::vec(
            (prop_oneof![0..3u64, 1..1_000_000u64, any::<u64>()], 0..4u32), 1..20),
    ) {
        let pieces: Vec<Descriptor> = pieces
            .into_iter()
            .map(|(length, bits)| Descriptor { length, flags: StateFlags::from_bits_truncate(bits) })
            .collect();
        let mut request = Request::block_status(Cookie(9), 4096, length);
        request.flags.set(CommandFlags::REQ_ONE, one);
        let mut out = Vec::new();
        let given = pieces.iter().copied();
        let id = ContextId(3);
        let sent = reply::block_status(head(framing, &request), id, length, one, given, &mut out);
        let real: Vec<&Descriptor> = pieces.iter().filter(|piece| piece.length > 0).collect();
        prop_assert_eq!(sent.is_ok(), !real.is_empty());
        prop_assume!(sent.is_ok());
        prop_assert!(out.len() <= reply::block_status_len(framing, pieces.len()));
        let replies = decode_all(framing, &out, request);
        let Body::BlockStatus { context, descriptors } = &replies[0].body else { panic!() };
        prop_assert_eq!((*context, replies.len()), (id, 1));
        prop_assert!(descriptors.len() <= real.len());
        for (index, (arrived, real)) in descriptors.iter().zip(&real).enumerate() {
            prop_assert_eq!(arrived.flags, real.flags);
            prop_assert!(arrived.length <= real.length);
            prop_assert!(arrived.length == real.length || index + 1 == descriptors.len());
        }
    }
}
