//! A stream means the same however it is cut into pieces, and no stream makes the crate panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{Goal, Negotiation, Progress, Request, decode, info_payload, meta_payload};
use nbd_proto::{ContextId, Cookie, Event, Framing, Incoming, Parsed, Session, TlsMode, wire};
use proptest::prelude::*;

use script::{Server, export, option};

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::Simple),
        Just(Framing::Structured),
        Just(Framing::Extended)
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("disk".to_owned()),
        Just("big".to_owned()),
        Just("secret".to_owned()),
        "[a-z\0]{0,6}",
    ]
}

/// One option, valid or almost.
fn one_option() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        3 => Just(Vec::new()),
        2 => (name(), prop::collection::vec(0..5u16, 0..4)).prop_map(|(n, r)| info_payload(&n, &r)),
        2 => name().prop_map(|name| meta_payload(&name, &["base:allocation", "base:"])),
        1 => name().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![0; 65_600]),
    ];
    (0..14u32, payload).prop_map(|(number, payload)| option(number, &payload))
}

/// The bytes of a client in a handshake: mostly valid options, and some garbage.
fn client_stream() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![9 => 0..4u32, 1 => any::<u32>()];
    let part = prop_oneof![9 => one_option(), 1 => prop::collection::vec(any::<u8>(), 0..30)];
    (flags, prop::collection::vec(part, 0..8)).prop_map(|(flags, parts)| {
        let mut stream = flags.to_be_bytes().to_vec();
        stream.extend(parts.concat());
        stream
    })
}

fn mode() -> impl Strategy<Value = TlsMode> {
    prop_oneof![4 => Just(TlsMode::Off), 1 => Just(TlsMode::Offer), 1 => Just(TlsMode::Require)]
}

/// The events, output, session and end of a handshake whose input comes in pieces.
fn served(tls: TlsMode, pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>, Option<Session>, bool) {
    let mut server = Server::new(tls);
    for piece in pieces {
        server.feed(piece);
    }
    // Until TLS is up the handshake discards each piece with the same event.
    server.events.dedup();
    (server.events, server.output, server.session, server.closed)
}

fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle().take(bytes.len() + sizes.len()) {
        let (piece, tail) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// All requests in a stream that comes in pieces, parsed as a shell does it.
fn parsed(session: &Session, pieces: &[&[u8]]) -> (Vec<Incoming>, Option<Parsed>, Vec<u8>) {
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match session.parse(&buffer) {
                Parsed::Incomplete => break,
                broken @ Parsed::Broken(_) => return (found, Some(broken), Vec::new()),
                Parsed::Request(incoming) => {
                    let whole = incoming.header_len + incoming.payload_len as usize;
                    assert!(incoming.header_len <= buffer.len(), "more than there is");
                    if buffer.len() < whole {
                        break;
                    }
                    buffer.drain(..whole);
                    found.push(incoming);
                }
            }
        }
    }
    (found, None, buffer)
}

fn request_stream(framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        0..5000u64,
        (1 << 30) - 600..(1 << 30) + 600u64,
        any::<u64>()
    ];
    let length = prop_oneof![0..30u64, 500..600u64, any::<u64>()];
    let header = (0..9u16, any::<u16>(), any::<u64>(), number, length);
    let one = header.prop_map(move |(kind, flags, cookie, offset, length)| {
        let mut request = Request::new(kind, Cookie(cookie), offset, length);
        // Few flags are valid, so few are set.
        let flags = flags & flags.rotate_left(5) & flags.rotate_left(10) & 0x3f;
        request.flags = nbd_proto::CommandFlags::from_bits_retain(flags);
        let mut out = Vec::new();
        if request.encode(framing, &mut out).is_ok() && length < 1000 {
            out.resize(out.len() + usize::try_from(length).unwrap(), 7);
        }
        out
    });
    let part = prop_oneof![9 => one, 1 => prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_handshake_is_the_same_however_it_is_cut(
        tls in mode(),
        stream in client_stream(),
        sizes in prop::collection::vec(1..40usize, 1..8),
    ) {
        let whole = served(tls, &[&stream]);
        prop_assert_eq!(&whole, &served(tls, &cut(&stream, &sizes)));
        if stream.len() < 2000 {
            prop_assert_eq!(&whole, &served(tls, &cut(&stream, &[1])));
        }
    }

    #[test]
    fn output_is_bounded_by_input(stream in client_stream()) {
        let mut handshake = Server::new(TlsMode::Off).handshake;
        let hello = handshake.take_output().len();
        let (consumed, _) = handshake.advance(&stream);
        prop_assert_eq!(hello, 18);
        prop_assert!(handshake.take_output().len() <= 6 * consumed);
    }

    #[test]
    fn requests_are_the_same_however_they_are_cut(
        (framing, stream) in framing().prop_flat_map(|f| (Just(f), request_stream(f))),
        sizes in prop::collection::vec(1..60usize, 1..8),
    ) {
        let session = Session::new(framing, Some(ContextId(1)), export("disk"));
        let whole = parsed(&session, &[&stream]);
        prop_assert_eq!(&whole, &parsed(&session, &cut(&stream, &sizes)));
        prop_assert_eq!(&whole, &parsed(&session, &cut(&stream, &[1])));
    }

    #[test]
    fn any_bytes_are_parsed(framing in framing(), mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let session = Session::new(framing, Some(ContextId(1)), export("disk"));
        let _ = session.parse(&bytes);
        let magic = match framing {
            Framing::Extended => wire::EXTENDED_REQUEST_MAGIC,
            _ => wire::REQUEST_MAGIC,
        };
        bytes.splice(0..bytes.len().min(4), magic.to_be_bytes());
        if let Parsed::Request(incoming) = session.parse(&bytes) {
            prop_assert!(incoming.header_len <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_are_negotiated(bytes in prop::collection::vec(any::<u8>(), 0..100), list in any::<bool>()) {
        let goal = Goal::Go { export: String::new(), framing: Framing::Extended, allocation: true };
        let mut client = Negotiation::new(if list { Goal::List } else { goal });
        let mut input = b"NBDMAGICIHAVEOPT\0\x03".to_vec();
        input.extend(wire::OPTION_REPLY_MAGIC.to_be_bytes());
        input.extend(bytes);
        if let Ok((consumed, progress)) = client.advance(&input) {
            prop_assert!(consumed <= input.len());
            prop_assert_eq!(progress, Progress::NeedMore);
        }
    }

    #[test]
    fn any_bytes_are_decoded(
        framing in framing(),
        kind in prop_oneof![Just(0u16), Just(3), Just(7)],
        chunk in prop_oneof![0..7u16, 0x8000..0x8004u16],
        length in prop_oneof![0..50u64, any::<u64>()],
        rest in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let request = Request::new(kind, Cookie(1), 0, 4096);
        let mut input = match framing {
            Framing::Simple => wire::SIMPLE_REPLY_MAGIC,
            Framing::Structured => wire::STRUCTURED_REPLY_MAGIC,
            Framing::Extended => wire::EXTENDED_REPLY_MAGIC,
        }.to_be_bytes().to_vec();
        if framing.has_chunks() {
            input.extend([0, 1]);
            input.extend(chunk.to_be_bytes());
            input.extend(1u64.to_be_bytes());
            if framing == Framing::Extended {
                input.extend([0; 8]);
                input.extend(length.to_be_bytes());
            } else {
                input.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
        input.extend(rest);
        let whole = decode(framing, &input, |_| Some(request));
        if let Ok(Some(reply)) = &whole {
            prop_assert!(reply.used <= input.len());
        }
        for end in 0..input.len() {
            match (decode(framing, &input[..end], |_| Some(request)), &whole) {
                (Ok(None), _) => {}
                (early, whole) => prop_assert_eq!(&early, whole),
            }
        }
    }
}
