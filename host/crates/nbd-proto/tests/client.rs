//! The client's side of the protocol against servers that misbehave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{
    Body, ClientError, Goal, Negotiation, Progress, Reply, Request, decode, push_option,
};
use nbd_proto::wire::{self, option as opt, option_reply as rep};
use nbd_proto::{CommandFlags, ContextId, Cookie, Descriptor, Errno, Framing, StateFlags, limits};

use script::hex;

const COOKIE: Cookie = Cookie(0x0102_0304_0506_0708);
const HELLO: &[u8] = b"NBDMAGICIHAVEOPT\x00\x03";

fn goal() -> Goal {
    Goal::Go {
        export: "disk".to_owned(),
        framing: Framing::Extended,
        allocation: true,
    }
}

fn go() -> Negotiation {
    Negotiation::new(goal())
}

fn option_reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = wire::OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    for field in [option, kind, u32::try_from(payload.len()).unwrap()] {
        out.extend(field.to_be_bytes());
    }
    out.extend(payload);
    out
}

/// Passes all of the server's bytes to the client at once, and returns how far it came.
fn run(mut negotiation: Negotiation, parts: &[Vec<u8>]) -> Result<Progress, ClientError> {
    negotiation
        .advance(&[HELLO.to_vec(), parts.concat()].concat())
        .map(|(_, progress)| progress)
}

fn breach(result: &Result<Progress, ClientError>) -> bool {
    matches!(result, Err(ClientError::Protocol(_)))
}

#[test]
fn another_greeting_is_no_nbd() {
    for greeting in [
        &b"SSH-2.0-Ope"[..],
        b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53",
        b"NBDMAGICIHAVEOPT\0\0",
    ] {
        let result = go().advance(greeting).map(|(_, progress)| progress);
        assert!(breach(&result), "{result:?}");
    }
}

/// A client that has sent STARTTLS.
fn over_tls() -> Negotiation {
    let mut negotiation = Negotiation::over_tls(goal());
    let advanced = negotiation.advance(HELLO);
    assert_eq!(advanced, Ok((HELLO.len(), Progress::NeedMore)));
    let mut asked = vec![0, 0, 0, 3];
    push_option(opt::STARTTLS, &[], &mut asked);
    assert_eq!(negotiation.take_output(), asked);
    negotiation
}

#[test]
fn a_client_that_requires_tls_sends_no_other_option_before_it() {
    let mut negotiation = over_tls();
    let ack = option_reply(opt::STARTTLS, rep::ACK, b"");
    let begin = Ok((ack.len(), Progress::StartTls));
    assert_eq!(negotiation.advance(&ack), begin);
    assert_eq!(negotiation.advance(b""), Ok((0, Progress::StartTls)));
    assert_eq!(negotiation.take_output(), b"");
    negotiation.tls_established();
    let mut asked = Vec::new();
    push_option(opt::EXTENDED_HEADERS, &[], &mut asked);
    assert_eq!(negotiation.take_output(), asked);
}

#[test]
fn plain_text_after_starttls_is_a_breach() {
    let ack = option_reply(opt::STARTTLS, rep::ACK, b"");
    let forged = option_reply(opt::EXTENDED_HEADERS, rep::ACK, b"");
    for injected in [&forged[..], b"x"] {
        let said = [&ack[..], injected].concat();
        let result = over_tls().advance(&said).map(|(_, progress)| progress);
        assert!(breach(&result), "{result:?}");
    }
}

#[test]
fn a_server_without_tls_is_given_up() {
    for kind in [rep::ERR_POLICY, rep::ERR_UNSUP] {
        let reply = option_reply(opt::STARTTLS, kind, b"");
        let error = over_tls().advance(&reply).unwrap_err();
        let words = error.to_string();
        assert!(words.starts_with("the server refused TLS: "), "{words}");
    }
}

#[test]
fn the_client_falls_back_to_simple_replies() {
    let unsup = |option| option_reply(option, rep::ERR_UNSUP, b"");
    let info = hex("0000 0000000000100000 ffff");
    let replies = [
        unsup(opt::EXTENDED_HEADERS),
        unsup(opt::STRUCTURED_REPLY),
        option_reply(opt::GO, rep::INFO, &info),
        option_reply(opt::GO, rep::INFO, &hex("ff00 01")),
        option_reply(opt::GO, rep::ACK, b""),
    ];
    let Progress::Connected(connection) = run(go(), &replies).unwrap() else {
        panic!()
    };
    assert_eq!(
        (connection.framing, connection.allocation),
        (Framing::Simple, None)
    );
    assert_eq!((connection.size, connection.block), (1 << 20, None));
}

#[test]
fn a_refusal_is_reported_with_its_text() {
    let replies = [
        option_reply(opt::EXTENDED_HEADERS, rep::ACK, b""),
        option_reply(opt::SET_META_CONTEXT, rep::ERR_UNKNOWN, b""),
        option_reply(opt::GO, rep::ERR_UNKNOWN, b"gone \xff"),
    ];
    let error = run(go(), &replies).unwrap_err();
    let text = "gone \u{fffd}".to_owned();
    assert_eq!(
        error,
        ClientError::Refused {
            option: opt::GO,
            kind: rep::ERR_UNKNOWN,
            text
        }
    );
    assert_eq!(
        error.to_string(),
        "the server refused the export: no such export: gone \u{fffd}"
    );
}

#[test]
fn the_client_ignores_contexts_before_an_error() {
    let replies = [
        option_reply(opt::EXTENDED_HEADERS, rep::ACK, b""),
        option_reply(
            opt::SET_META_CONTEXT,
            rep::META_CONTEXT,
            b"\0\0\0\x05base:allocation",
        ),
        option_reply(opt::SET_META_CONTEXT, rep::ERR_POLICY, b""),
        option_reply(opt::GO, rep::INFO, &hex("0000 0000000000100000 0001")),
        option_reply(opt::GO, rep::ACK, b""),
    ];
    let Progress::Connected(connection) = run(go(), &replies).unwrap() else {
        panic!()
    };
    assert_eq!(connection.allocation, None);
}

#[test]
fn broken_option_replies_are_breaches() {
    let ext = option_reply(opt::EXTENDED_HEADERS, rep::ACK, b"");
    let set = option_reply(opt::SET_META_CONTEXT, rep::ACK, b"");
    let mut too_long = option_reply(opt::EXTENDED_HEADERS, rep::ERR_UNSUP, b"");
    too_long[16..].copy_from_slice(&(limits::MAX_OPTION_REPLY + 1).to_be_bytes());
    for replies in [
        vec![b"another magic".to_vec()],
        vec![option_reply(opt::GO, rep::ACK, b"")],
        vec![option_reply(opt::EXTENDED_HEADERS, rep::INFO, b"")],
        vec![option_reply(opt::EXTENDED_HEADERS, 77, b"")],
        vec![too_long],
        vec![
            ext.clone(),
            set.clone(),
            option_reply(opt::GO, rep::ACK, b""),
        ],
        vec![
            ext.clone(),
            set.clone(),
            option_reply(opt::GO, rep::INFO, b"\0"),
        ],
        vec![
            ext.clone(),
            set.clone(),
            option_reply(opt::GO, rep::INFO, &[0; 13]),
        ],
        vec![
            ext.clone(),
            set,
            option_reply(opt::GO, rep::INFO, b"\0\x03abc"),
        ],
        vec![
            ext,
            option_reply(opt::SET_META_CONTEXT, rep::META_CONTEXT, b"abc"),
        ],
    ] {
        let result = run(go(), &replies);
        assert!(breach(&result), "{replies:x?}: {result:?}");
    }
}

#[test]
fn a_list_is_read() {
    let replies = [
        option_reply(opt::LIST, rep::SERVER, b"\0\0\0\x04diskA disk"),
        option_reply(opt::LIST, rep::SERVER, b"\0\0\0\0\xff"),
        option_reply(opt::LIST, rep::ACK, b""),
    ];
    let Progress::Listed(listed) = run(Negotiation::new(Goal::List), &replies).unwrap() else {
        panic!()
    };
    let found: Vec<_> = listed
        .iter()
        .map(|l| (&l.name[..], &l.description[..]))
        .collect();
    assert_eq!(found, [("disk", "A disk"), ("", "")]);
}

#[test]
fn a_broken_or_endless_list_is_a_breach() {
    for payload in [
        &b"\0\0\0"[..],
        b"\0\0\0\x05disk",
        b"\0\0\0\x01\xff",
        b"\xff\xff\xff\xffdisk",
    ] {
        let replies = [option_reply(opt::LIST, rep::SERVER, payload)];
        assert!(breach(&run(Negotiation::new(Goal::List), &replies)));
    }
    let endless = vec![option_reply(opt::LIST, rep::SERVER, &[0; 4]); limits::MAX_LISTED + 2];
    assert!(breach(&run(Negotiation::new(Goal::List), &endless)));
}

fn read() -> Request {
    Request::read(COOKIE, 0x1000, 0x1000)
}

fn status() -> Request {
    Request::block_status(COOKIE, 0x1000, 0x1000)
}

fn decoded(framing: Framing, input: &str, request: Request) -> Result<Option<Reply>, ClientError> {
    decode(framing, &hex(input), |cookie| {
        (cookie == COOKIE).then_some(request)
    })
}

fn body(framing: Framing, input: &str, request: Request) -> Body {
    decoded(framing, input, request).unwrap().unwrap().body
}

#[test]
fn simple_replies_are_decoded() {
    let ok = "67446698 00000000 0102030405060708";
    let data = Body::Data {
        offset: 0x1000,
        length: 0x1000,
    };
    assert_eq!(body(Framing::Simple, ok, read()), data);
    assert_eq!(
        body(Framing::Simple, ok, Request::flush(COOKIE)),
        Body::Nothing
    );
    assert_eq!(
        body(Framing::Structured, ok, Request::flush(COOKIE)),
        Body::Nothing
    );
    let error = Body::Error {
        errno: Errno::Einval,
        text: String::new(),
        offset: None,
    };
    assert_eq!(
        body(
            Framing::Simple,
            "67446698 0000ffff 0102030405060708",
            read()
        ),
        error
    );
}

#[test]
fn unknown_flags_are_ignored() {
    let mut negotiation = go();
    let progress = negotiation.advance(b"NBDMAGICIHAVEOPT\xff\xff").unwrap();
    assert_eq!(progress, (wire::HELLO_LEN, Progress::NeedMore));
    let output = negotiation.take_output();
    assert_eq!(output[..4], [0, 0, 0, 3], "the client's own two flags");

    let end = "668e33ef ffff 0000 0102030405060708 00000000";
    let reply = decoded(Framing::Structured, end, read()).unwrap().unwrap();
    assert!(reply.done);
    assert_eq!(reply.body, Body::Nothing);
}

#[test]
fn an_error_at_an_offset_is_decoded() {
    let input =
        "668e33ef 0000 8002 0102030405060708 00000011 00000005 0003 626164 0000000000001200";
    let text = "bad".to_owned();
    let error = Body::Error {
        errno: Errno::Eio,
        text,
        offset: Some(0x1200),
    };
    assert_eq!(body(Framing::Structured, input, read()), error);
    assert!(
        !decoded(Framing::Structured, input, read())
            .unwrap()
            .unwrap()
            .done
    );
}

#[test]
fn an_unknown_kind_of_error_is_an_error() {
    let input = "668e33ef 0001 8777 0102030405060708 00000008 00000005 0000 abcd";
    let error = Body::Error {
        errno: Errno::Eio,
        text: String::new(),
        offset: None,
    };
    assert_eq!(body(Framing::Structured, input, read()), error);
}

#[test]
fn extended_framing_may_have_compact_block_status() {
    let input = "6e8a278c 0001 0005 0102030405060708 0000000000001000 000000000000000c
                 00000009 00001000 fffffff3";
    let flags = StateFlags::HOLE | StateFlags::ZERO;
    let descriptors = vec![Descriptor {
        length: 0x1000,
        flags,
    }];
    let expected = Body::BlockStatus {
        context: ContextId(9),
        descriptors,
    };
    assert_eq!(body(Framing::Extended, input, status()), expected);
}

/// Points 53–55, 58–61, 66, 69: replies that no server may send.
#[test]
fn broken_replies_are_breaches() {
    let one = status().with(CommandFlags::REQ_ONE);
    let structured = [
        ("00000000", read(), "a wrong magic"),
        ("6e8a278c", read(), "the magic of another framing"),
        (
            "67446698 00000000 0102030405060708",
            read(),
            "a simple reply to a read",
        ),
        (
            "668e33ef 0001 0000 0102030405060709 00000000",
            read(),
            "an unknown cookie",
        ),
        (
            "668e33ef 0000 0000 0102030405060708 00000000",
            read(),
            "NONE without DONE",
        ),
        (
            "668e33ef 0001 0000 0102030405060708 00000001",
            read(),
            "NONE with data",
        ),
        (
            "668e33ef 0001 0003 0102030405060708 00000000",
            read(),
            "an unknown type",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00000008",
            read(),
            "no data",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00000007",
            read(),
            "data without offset",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00000009 0000000000000fff",
            read(),
            "data before",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00000009 0000000000002000",
            read(),
            "data after",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00001009 0000000000001000",
            read(),
            "too much data",
        ),
        (
            "668e33ef 0001 0001 0102030405060708 00000009 0000000000001000",
            one,
            "data for others",
        ),
        (
            "668e33ef 0001 0002 0102030405060708 0000000b",
            read(),
            "a short hole",
        ),
        (
            "668e33ef 0001 0002 0102030405060708 0000000c 0000000000001000 00000000",
            read(),
            "no hole",
        ),
        (
            "668e33ef 0001 0002 0102030405060708 0000000c 0000000000001000 00001001",
            read(),
            "beyond",
        ),
        (
            "668e33ef 0001 0002 0102030405060708 0000000c ffffffffffffffff ffffffff",
            read(),
            "wraps",
        ),
        (
            "668e33ef 0001 8001 0102030405060708 00000005 0000000000",
            read(),
            "a short error",
        ),
        (
            "668e33ef 0001 8001 0102030405060708 00000006 000000000000",
            read(),
            "error 0",
        ),
        (
            "668e33ef 0001 8001 0102030405060708 00000006 000000050001",
            read(),
            "a cut text",
        ),
        (
            "668e33ef 0001 8002 0102030405060708 00000006 000000050000",
            read(),
            "no offset",
        ),
        (
            "668e33ef 0001 8001 0102030405060708 00004001",
            read(),
            "a long error",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 00000004 00000001",
            status(),
            "no descriptor",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 0000000d",
            status(),
            "half a descriptor",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 00800010",
            status(),
            "too many descriptors",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 0000000c 00000001 00000000 00000000",
            status(),
            "empty",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 0000000c 00000001 00001001 00000000",
            one,
            "too long",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 00000014 00000001 00000200 00000000 00000200 00000003",
            one,
            "two for one",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 00000014 00000001 00001000 00000000 00000200 00000003",
            status(),
            "more than requested",
        ),
        (
            "668e33ef 0001 0005 0102030405060708 0000000c",
            read(),
            "status for a read",
        ),
        (
            "668e33ef 0001 0006 0102030405060708 00000018",
            status(),
            "64 bits in compact framing",
        ),
    ];
    for (input, request, what) in structured {
        let result = decoded(Framing::Structured, input, request);
        assert!(
            matches!(result, Err(ClientError::Protocol(_))),
            "{what}: {result:?}"
        );
    }
    let extended = [
        ("67446698", read(), "a simple reply"),
        ("668e33ef", read(), "a structured reply"),
        (
            "6e8a278c 0001 0000 0102030405060708 0000000000001001 0000000000000000",
            read(),
            "another offset",
        ),
        (
            "6e8a278c 0001 0001 0102030405060708 0000000000001000 0000000100000009 0000000000001000",
            read(),
            "data beyond 32 bits",
        ),
        (
            "6e8a278c 0001 8001 0102030405060708 0000000000001000 ffffffffffffffff",
            read(),
            "an endless error",
        ),
        (
            "6e8a278c 0001 0006 0102030405060708 0000000000001000 0000000000000018
             00000001 00000002 0000000000001000 0000000000000000",
            status(),
            "a wrong count",
        ),
        (
            "6e8a278c 0001 0006 0102030405060708 0000000000001000 fffffffffffffff8",
            status(),
            "endless status",
        ),
    ];
    for (input, request, what) in extended {
        let result = decoded(Framing::Extended, input, request);
        assert!(
            matches!(result, Err(ClientError::Protocol(_))),
            "{what}: {result:?}"
        );
    }
}

#[test]
fn a_compact_request_has_32_bits() {
    let request = Request::trim(COOKIE, 0, 1 << 32);
    for framing in [Framing::Simple, Framing::Structured] {
        let mut out = Vec::new();
        assert!(request.encode(framing, &mut out).is_err());
        assert_eq!(out, b"");
    }
    assert!(request.encode(Framing::Extended, &mut Vec::new()).is_ok());
}
