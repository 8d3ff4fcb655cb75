//! Every form of reply in every framing, byte by byte (points 38, 53–64, 66, 69).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nbd_proto::reply::{
    self, MAX_DATA_HEADER_LEN, MAX_ERROR_LEN, block_status_len, data_header_len, hole_len,
};
use nbd_proto::{
    ContextId, Cookie, Descriptor, EncodeError, Errno, Framing, Head, StateFlags, limits,
};

const ALL: [Framing; 3] = [Framing::Simple, Framing::Structured, Framing::Extended];

fn head(framing: Framing) -> Head {
    Head {
        framing,
        cookie: Cookie(0x0102_0304_0506_0708),
        offset: 0x1000,
    }
}

/// The bytes that `encode` appends to a buffer that isn't empty, in hexadecimal digits.
fn encoded(framing: Framing, encode: impl FnOnce(Head, &mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    encode(head(framing), &mut out);
    assert_eq!(out[..6], *b"before");
    out[6..].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits(text: &str) -> String {
    text.split_whitespace().collect()
}

const fn piece(length: u64, flags: StateFlags) -> Descriptor {
    Descriptor { length, flags }
}

const DATA: StateFlags = StateFlags::empty();
const HOLE: StateFlags = StateFlags::HOLE.union(StateFlags::ZERO);
const ZERO: StateFlags = StateFlags::ZERO;

/// The encoded reply to a block status request for `length` bytes.
fn status(framing: Framing, length: u64, one: bool, pieces: &[Descriptor]) -> String {
    encoded(framing, |head, out| {
        let pieces = pieces.iter().copied();
        reply::block_status(head, ContextId(1), length, one, pieces, out).unwrap();
    })
}

#[test]
fn ok() {
    let expected = [
        "67446698 00000000 0102030405060708",
        "668e33ef 0001 0000 0102030405060708 00000000",
        "6e8a278c 0001 0000 0102030405060708 0000000000001000 0000000000000000",
    ];
    for (framing, expected) in ALL.into_iter().zip(expected) {
        assert_eq!(encoded(framing, reply::ok), digits(expected));
    }
}

/// Point 58.
#[test]
fn error() {
    let expected = [
        "67446698 0000001c 0102030405060708",
        "668e33ef 0001 8001 0102030405060708 0000000a 0000001c 0004 66756c6c",
        "6e8a278c 0001 8001 0102030405060708 0000000000001000 000000000000000a
         0000001c 0004 66756c6c",
    ];
    for (framing, expected) in ALL.into_iter().zip(expected) {
        let error = encoded(framing, |head, out| {
            reply::error(head, Errno::Enospc, "full", out)
        });
        assert_eq!(error, digits(expected));
    }
}

/// Points 14, 58.
#[test]
fn an_error_text_is_a_string() {
    for framing in [Framing::Structured, Framing::Extended] {
        let long = "\u{1f980}".repeat(2000) + "\0";
        let mut out = Vec::new();
        reply::error(head(framing), Errno::Eio, &long, &mut out);
        assert_eq!(out.len(), reply::header_len(framing) + 6 + 4096);
        assert!(out.len() <= MAX_ERROR_LEN);
        let cut = "€".repeat(2000);
        out.clear();
        reply::error(head(framing), Errno::Eio, &cut, &mut out);
        assert_eq!(out.len(), reply::header_len(framing) + 6 + 4095);
        out.clear();
        reply::error(head(framing), Errno::Eio, "a\0b", &mut out);
        assert!(out.ends_with(b"\x00\x02ab"));
    }
}

/// Points 53, 54, 57.
#[test]
fn data_header() {
    let expected = [
        "67446698 00000000 0102030405060708",
        "668e33ef 0001 0001 0102030405060708 00000208 0000000000001200",
        "6e8a278c 0001 0001 0102030405060708 0000000000001000 0000000000000208 0000000000001200",
    ];
    for (framing, expected) in ALL.into_iter().zip(expected) {
        let header = |done| {
            encoded(framing, |head, out| {
                reply::data_header(head, 0x1200, 0x200, done, out)
            })
        };
        assert_eq!(header(true), digits(expected));
        assert_eq!(header(true).len() / 2, data_header_len(framing));
        assert!(data_header_len(framing) <= MAX_DATA_HEADER_LEN);
        if framing.has_chunks() {
            assert_eq!(header(false)[8..12], *"0000", "more follows");
        }
    }
}

/// Point 55.
#[test]
fn hole() {
    let expected = [
        "668e33ef 0000 0002 0102030405060708 0000000c 0000000000001200 00010000",
        "6e8a278c 0000 0002 0102030405060708 0000000000001000 000000000000000c
         0000000000001200 00010000",
    ];
    for (framing, expected) in ALL[1..].iter().zip(expected) {
        let hole = encoded(*framing, |head, out| {
            reply::hole(head, 0x1200, 0x1_0000, false, out).unwrap();
        });
        assert_eq!(hole, digits(expected));
        assert_eq!(hole.len() / 2, hole_len(*framing));
    }
}

/// Points 55, 59: a reply that the protocol forbids is an error, and the buffer is unchanged.
#[test]
fn a_reply_that_the_protocol_forbids_is_an_error() {
    for framing in ALL {
        let mut out = Vec::new();
        let mut status = |pieces: &[Descriptor]| {
            let pieces = pieces.iter().copied();
            reply::block_status(head(framing), ContextId(1), 512, false, pieces, &mut out)
        };
        let simple = framing == Framing::Simple;
        let no = |error| if simple { EncodeError::NoChunks } else { error };
        assert_eq!(status(&[]), Err(no(EncodeError::NoDescriptors)));
        assert_eq!(
            status(&[piece(0, HOLE)]),
            Err(no(EncodeError::NoDescriptors))
        );
        let empty = reply::hole(head(framing), 0, 0, true, &mut out);
        assert_eq!(empty, Err(no(EncodeError::EmptyHole)));
        assert_eq!(
            reply::hole(head(framing), 0, 1, true, &mut out).is_err(),
            simple
        );
        assert_eq!(out.is_empty(), simple);
    }
}

/// Points 59, 63, 64, 69.
#[test]
fn block_status() {
    let pieces = [
        piece(0x1000, DATA),
        piece(0x2000, HOLE),
        piece(0x1_0000, ZERO),
    ];
    let structured = status(Framing::Structured, 0x4000, false, &pieces);
    assert_eq!(
        structured,
        digits(
            "668e33ef 0001 0005 0102030405060708 0000001c 00000001
             00001000 00000000  00002000 00000003  00010000 00000002"
        )
    );
    assert_eq!(
        structured.len() / 2,
        block_status_len(Framing::Structured, 3)
    );
    let extended = status(Framing::Extended, 0x4000, false, &pieces);
    assert_eq!(
        extended,
        digits(
            "6e8a278c 0001 0006 0102030405060708 0000000000001000 0000000000000038
             00000001 00000003
             0000000000001000 0000000000000000
             0000000000002000 0000000000000003
             0000000000010000 0000000000000002"
        )
    );
    assert_eq!(extended.len() / 2, block_status_len(Framing::Extended, 3));
}

/// Point 60.
#[test]
fn one_descriptor_is_cut_to_the_request() {
    let pieces = [piece(0, ZERO), piece(0x8000, HOLE), piece(0x1000, DATA)];
    let structured = status(Framing::Structured, 0x4000, true, &pieces);
    assert_eq!(structured[40..], digits("00000001 00004000 00000003"));
    let extended = status(Framing::Extended, 0x4000, true, &pieces);
    assert_eq!(
        extended[64..],
        digits("00000001 00000001 0000000000004000 0000000000000003")
    );
}

/// Point 61.
#[test]
fn nothing_follows_when_the_request_is_covered() {
    let pieces = [
        piece(0x1000, DATA),
        piece(0x1000, HOLE),
        piece(0x1000, DATA),
    ];
    for (length, count) in [
        (1, 1),
        (0x1000, 1),
        (0x1001, 2),
        (0x2000, 2),
        (0x2001, 3),
        (0x9000, 3),
    ] {
        for framing in [Framing::Structured, Framing::Extended] {
            let sent = status(framing, length, false, &pieces);
            assert_eq!(
                sent.len() / 2,
                block_status_len(framing, count),
                "{length:#x}"
            );
        }
    }
    let overflow = [piece(u64::MAX, DATA), piece(u64::MAX, HOLE)];
    let sent = status(Framing::Extended, u64::MAX, false, &overflow);
    assert_eq!(sent.len() / 2, block_status_len(Framing::Extended, 1));
}

/// Points 48, 59, 69.
#[test]
fn a_descriptor_beyond_32_bits_is_cut_where_headers_are_compact() {
    let pieces = [
        piece(0x1000, DATA),
        piece(1 << 32, HOLE),
        piece(0x1000, DATA),
    ];
    let structured = status(Framing::Structured, u64::MAX, false, &pieces);
    assert_eq!(
        structured[40..],
        digits("00000001 00001000 00000000 ffff0000 00000003")
    );
    let extended = status(Framing::Extended, u64::MAX, false, &pieces);
    assert_eq!(extended.len() / 2, block_status_len(Framing::Extended, 3));
    assert_eq!(
        extended[112..144],
        digits("0000000100000000 0000000000000003")
    );
}

/// Point 62.
#[test]
fn there_are_no_more_than_2_to_the_20_descriptors() {
    let endless = std::iter::repeat(piece(1, DATA));
    for framing in [Framing::Structured, Framing::Extended] {
        let mut out = Vec::new();
        let id = ContextId(1);
        reply::block_status(
            head(framing),
            id,
            u64::MAX,
            false,
            endless.clone(),
            &mut out,
        )
        .unwrap();
        assert_eq!(
            out.len(),
            block_status_len(framing, limits::MAX_DESCRIPTORS)
        );
    }
}
