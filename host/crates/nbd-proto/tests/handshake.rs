//! The server's handshake, behaviour by behaviour (points 1–17, 29, 31–36, 66, 68, 70).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{info_payload, meta_payload};
use nbd_proto::wire::{info, option as opt, option_reply as rep};
use nbd_proto::{Event, ExportFlags, Framing, Handshake, Lookup, Purpose, TlsMode, limits};

use script::{Server, export, option};

const FIXED: u32 = 1;
const FIXED_NO_ZEROES: u32 = 3;

fn server() -> Server {
    Server::greeted(TlsMode::Off, FIXED_NO_ZEROES)
}

fn go(name: &str) -> Vec<u8> {
    info_payload(name, &[info::BLOCK_SIZE])
}

/// Checks that the server still negotiates: a LIST succeeds.
fn assert_negotiating(server: &mut Server) {
    assert!(!server.closed);
    assert_eq!(server.ask(opt::LIST, &[]).last().unwrap().0, rep::ACK);
}

/// Point 1.
#[test]
fn the_hello_has_two_flags_and_no_more() {
    let hello = Server::new(TlsMode::Off).handshake.take_output();
    assert_eq!(hello, b"NBDMAGICIHAVEOPT\x00\x03");
}

/// Point 2.
#[test]
fn an_unknown_client_flag_closes() {
    for flags in [4, 1 << 31, FIXED | 1 << 16] {
        let mut server = Server::new(TlsMode::Off);
        server.feed(&u32::to_be_bytes(flags));
        assert!(server.closed, "{flags:#x}");
    }
    for flags in 0..4 {
        let mut server = Server::new(TlsMode::Off);
        server.feed(&u32::to_be_bytes(flags));
        assert!(!server.closed, "{flags:#x}");
    }
}

/// Point 3.
#[test]
fn a_bad_option_magic_closes() {
    let mut server = server();
    server.feed(b"IHAVEOPU");
    assert!(server.closed);
    assert_eq!(server.take(), b"");
}

/// Point 4.
#[test]
fn an_unknown_option_is_unsupported_and_consumed() {
    let mut server = server();
    for (number, length) in [
        (4, 0),
        (12, 7),
        (0, 1),
        (u32::MAX, 65_536),
        (99, 65_537),
        (99, 1 << 20),
    ] {
        let payload = vec![0x49; length];
        assert_eq!(
            server.ask_one(number, &payload),
            rep::ERR_UNSUP,
            "{number} {length}"
        );
    }
    assert_negotiating(&mut server);
}

/// Point 5.
#[test]
fn export_name_gives_size_flags_and_zeroes() {
    for (flags, length) in [(FIXED, 134), (FIXED_NO_ZEROES, 10), (0, 134), (2, 10)] {
        let mut server = Server::greeted(TlsMode::Off, flags);
        server.feed(&option(opt::EXPORT_NAME, b"disk"));
        assert_eq!(server.take().len(), length);
        assert_eq!(server.session.unwrap().framing(), Framing::Simple);
    }
}

/// Point 5.
#[test]
fn export_name_of_no_export_closes() {
    for name in ["nosuch", "forbidden", "secret", "late"] {
        let mut server = server();
        server.feed(&option(opt::EXPORT_NAME, name.as_bytes()));
        assert!(server.closed, "{name}");
        assert_eq!(server.take(), b"");
    }
}

/// Points 5, 14.
#[test]
fn export_name_that_is_no_name_closes() {
    for name in [&b"a\0"[..], b"\xff", &[b'x'; 4097], &[b'x'; 100_000]] {
        let mut server = server();
        server.feed(&option(opt::EXPORT_NAME, name));
        assert!(server.closed);
    }
}

/// Section "Newstyle negotiation": "This is the only valid option in nonfixed newstyle negotiation."
#[test]
fn a_client_without_fixed_newstyle_has_one_option() {
    for number in [opt::LIST, opt::GO, opt::ABORT, 77] {
        let mut server = Server::greeted(TlsMode::Off, 0);
        server.feed(&option(number, &[]));
        assert!(server.closed);
        assert_eq!(server.take(), b"");
    }
}

/// Point 6.
#[test]
fn there_are_no_zeroes_after_go() {
    for flags in [FIXED, FIXED_NO_ZEROES] {
        let mut server = Server::greeted(TlsMode::Off, flags);
        let replies = server.ask(opt::GO, &go("disk"));
        assert_eq!(replies.last().unwrap(), &(rep::ACK, vec![]));
    }
}

/// Point 7.
#[test]
fn info_and_go_give_the_export_before_the_ack() {
    for number in [opt::INFO, opt::GO] {
        let mut server = server();
        let replies = server.ask(number, &info_payload("disk", &[]));
        assert_eq!(replies.len(), 2);
        assert_eq!((replies[0].0, replies[0].1.len()), (rep::INFO, 12));
        assert_eq!(server.session.is_some(), number == opt::GO);
    }
}

/// Point 8.
#[test]
fn go_to_no_export_is_unknown_and_goes_on() {
    let mut server = server();
    assert_eq!(server.ask_one(opt::GO, &go("nosuch")), rep::ERR_UNKNOWN);
    assert_eq!(server.ask_one(opt::INFO, &go("nosuch")), rep::ERR_UNKNOWN);
    assert_eq!(server.ask_one(opt::GO, &go("forbidden")), rep::ERR_POLICY);
    assert_negotiating(&mut server);
    server.feed(&option(opt::GO, &go("disk")));
    assert!(server.session.is_some());
}

/// Point 9.
#[test]
fn a_malformed_go_is_invalid_and_goes_on() {
    let mut server = server();
    let long_name = [&7u32.to_be_bytes()[..], b"disk", &[0, 0]].concat();
    let wrong_count = [&4u32.to_be_bytes()[..], b"disk", &[0, 2], &[0, 3]].concat();
    for payload in [&b""[..], b"abc", &long_name, &wrong_count] {
        assert_eq!(server.ask_one(opt::GO, payload), rep::ERR_INVALID);
        assert_eq!(server.ask_one(opt::INFO, payload), rep::ERR_INVALID);
    }
    assert_negotiating(&mut server);
}

/// Point 10.
#[test]
fn unknown_information_is_not_sent() {
    let replies = server().ask(
        opt::GO,
        &info_payload("", &[9, info::NAME, info::DESCRIPTION, 9]),
    );
    let kinds: Vec<u16> = replies[..3]
        .iter()
        .map(|(_, data)| u16::from_be_bytes([data[0], data[1]]))
        .collect();
    assert_eq!(kinds, [info::EXPORT, info::NAME, info::DESCRIPTION]);
    assert_eq!(
        replies[1].1, b"\x00\x01disk",
        "the canonical name of the default export"
    );
    assert_eq!(replies[2].1, b"\x00\x02A disk");
    assert_eq!(replies[3].0, rep::ACK);
}

/// Point 11.
#[test]
fn list_with_data_is_invalid() {
    let mut server = server();
    assert_eq!(server.ask_one(opt::LIST, b"x"), rep::ERR_INVALID);
    assert_negotiating(&mut server);
}

/// Points 11, 14: the list omits a name that isn't a string of the protocol.
#[test]
fn list_names_the_exports() {
    let replies = server().ask(opt::LIST, &[]);
    assert_eq!(
        replies,
        [
            (rep::SERVER, b"\x00\x00\x00\x04diskA disk".to_vec()),
            (rep::SERVER, b"\x00\x00\x00\x03big".to_vec()),
            (rep::ACK, vec![]),
        ]
    );
}

#[test]
fn an_endless_list_is_too_big() {
    let mut server = server();
    let (consumed, event) = server.handshake.advance(&option(opt::LIST, &[]));
    assert_eq!((consumed, event), (16, Event::List));
    server.handshake.list(std::iter::repeat(("x", None)));
    server.output = server.handshake.take_output();
    let replies = server.replies(opt::LIST);
    assert_eq!(replies.len(), limits::MAX_LISTED + 1);
    assert_eq!(replies.last().unwrap().0, rep::ERR_TOO_BIG);
}

/// Point 12.
#[test]
fn abort_is_acknowledged_whatever_it_carries() {
    for length in [0, 5, 70_000] {
        let mut server = server();
        assert_eq!(server.ask_one(opt::ABORT, &vec![1; length]), rep::ACK);
        assert!(server.closed);
    }
}

/// Point 13.
#[test]
fn structured_reply_takes_no_data_and_comes_once() {
    let mut server = server();
    assert_eq!(
        server.ask_one(opt::STRUCTURED_REPLY, b"x"),
        rep::ERR_INVALID
    );
    assert_eq!(server.ask_one(opt::STRUCTURED_REPLY, &[]), rep::ACK);
    assert_eq!(server.ask_one(opt::STRUCTURED_REPLY, &[]), rep::ERR_INVALID);
    server.feed(&option(opt::GO, &go("disk")));
    assert_eq!(server.session.unwrap().framing(), Framing::Structured);
}

/// Points 66, 70.
#[test]
fn extended_headers_take_precedence() {
    let mut server = server();
    assert_eq!(server.ask_one(opt::STRUCTURED_REPLY, &[]), rep::ACK);
    assert_eq!(
        server.ask_one(opt::EXTENDED_HEADERS, b"x"),
        rep::ERR_INVALID
    );
    assert_eq!(server.ask_one(opt::EXTENDED_HEADERS, &[]), rep::ACK);
    assert_eq!(server.ask_one(opt::EXTENDED_HEADERS, &[]), rep::ERR_INVALID);
    assert_eq!(
        server.ask_one(opt::STRUCTURED_REPLY, &[]),
        rep::ERR_EXT_HEADER_REQD
    );
    server.feed(&option(opt::GO, &go("disk")));
    assert_eq!(server.session.unwrap().framing(), Framing::Extended);
}

/// Point 68.
#[test]
fn export_name_after_extended_headers_closes() {
    let mut server = server();
    assert_eq!(server.ask_one(opt::EXTENDED_HEADERS, &[]), rep::ACK);
    server.feed(&option(opt::EXPORT_NAME, b"disk"));
    assert!(server.closed);
    assert_eq!(server.take(), b"");
}

/// Point 15.
#[test]
fn a_long_option_is_drained_and_too_big() {
    let mut server = server();
    for number in [opt::GO, opt::LIST, opt::SET_META_CONTEXT] {
        server.feed(option(number, &[]).split_at(12).0);
        server.feed(&u32::to_be_bytes(100_000));
        for _ in 0..100 {
            assert_eq!(server.take(), b"", "answered before the end");
            server.feed(&[0x49; 1000]);
            assert_eq!(server.input, b"", "kept");
        }
        assert_eq!(server.replies(number)[0].0, rep::ERR_TOO_BIG);
    }
    assert_negotiating(&mut server);
}

/// Point 15.
#[test]
fn an_absurd_option_closes() {
    for length in [u32::MAX, limits::MAX_DRAINED_OPTION + 1] {
        let mut server = server();
        server.feed(option(99, &[]).split_at(12).0);
        server.feed(&length.to_be_bytes());
        assert!(server.closed);
    }
}

#[test]
fn endless_options_close() {
    let mut server = server();
    for _ in 0..limits::MAX_OPTIONS {
        assert_eq!(server.ask_one(99, &[]), rep::ERR_UNSUP);
    }
    server.feed(&option(99, &[]));
    assert!(server.closed);
}

/// Point 16.
#[test]
fn go_repeats_the_information_of_info() {
    for name in ["disk", "big", ""] {
        for prelude in [&[][..], &[opt::STRUCTURED_REPLY], &[opt::EXTENDED_HEADERS]] {
            let mut server = server();
            for number in prelude {
                assert_eq!(server.ask_one(*number, &[]), rep::ACK);
            }
            server.ask(
                opt::SET_META_CONTEXT,
                &meta_payload(name, &["base:allocation"]),
            );
            let payload = info_payload(name, &[info::BLOCK_SIZE, info::NAME, info::DESCRIPTION]);
            let info = server.ask(opt::INFO, &payload);
            assert_eq!(info, server.ask(opt::GO, &payload));
        }
    }
}

/// Point 17.
#[test]
fn a_server_that_shuts_down_denies_every_option_except_abort() {
    let mut server = server();
    assert_eq!(server.ask_one(opt::GO, &go("late")), rep::ERR_SHUTDOWN);
    for number in [opt::LIST, opt::GO, opt::STRUCTURED_REPLY, opt::STARTTLS, 99] {
        assert_eq!(server.ask_one(number, &[]), rep::ERR_SHUTDOWN, "{number}");
    }
    assert_eq!(server.ask_one(opt::ABORT, &[]), rep::ACK);
}

/// Point 29.
#[test]
fn a_client_must_request_the_sizes_of_large_blocks() {
    let mut server = server();
    for number in [opt::INFO, opt::GO] {
        let replies = server.ask(number, &info_payload("big", &[info::NAME]));
        assert_eq!(
            replies[0].1,
            [&[0, 3][..], &[0, 0, 0x10, 0, 0, 1, 0, 0, 0, 0x10, 0, 0]].concat()
        );
        assert_eq!(replies[1].0, rep::ERR_BLOCK_SIZE_REQD);
    }
    server.feed(&option(opt::GO, &go("big")));
    assert!(server.session.is_some(), "no error if requested");
}

/// Points 31, 35.
#[test]
fn contexts_need_chunks() {
    let mut server = server();
    let payload = meta_payload("disk", &["base:allocation"]);
    assert_eq!(
        server.ask_one(opt::SET_META_CONTEXT, &payload),
        rep::ERR_INVALID
    );
    assert_eq!(
        server.ask_one(opt::LIST_META_CONTEXT, &payload),
        rep::ERR_INVALID
    );
    assert_negotiating(&mut server);
}

fn structured() -> Server {
    let mut server = server();
    assert_eq!(server.ask_one(opt::STRUCTURED_REPLY, &[]), rep::ACK);
    server
}

/// Point 32.
#[test]
fn malformed_queries_are_invalid() {
    let mut server = structured();
    let whole = meta_payload("disk", &["base:allocation"]);
    for end in 0..whole.len() {
        assert_eq!(
            server.ask_one(opt::LIST_META_CONTEXT, &whole[..end]),
            rep::ERR_INVALID
        );
    }
    assert_negotiating(&mut server);
}

/// Point 33.
#[test]
fn list_meta_context_knows_the_wildcard() {
    let mut server = structured();
    let context = (
        rep::META_CONTEXT,
        b"\x00\x00\x00\x00base:allocation".to_vec(),
    );
    for queries in [&[][..], &["base:"], &["x-a:b", "base:allocation"]] {
        let replies = server.ask(opt::LIST_META_CONTEXT, &meta_payload("disk", queries));
        assert_eq!(replies, [context.clone(), (rep::ACK, vec![])]);
    }
    for (name, queries) in [
        ("disk", &["qemu:"][..]),
        ("flat", &[]),
        ("flat", &["base:allocation"]),
    ] {
        let replies = server.ask(opt::LIST_META_CONTEXT, &meta_payload(name, queries));
        assert_eq!(replies, [(rep::ACK, vec![])]);
    }
    let replies = server.ask(opt::LIST_META_CONTEXT, &meta_payload("nosuch", &[]));
    assert_eq!(replies[0].0, rep::ERR_UNKNOWN);
}

/// Point 34.
#[test]
fn set_meta_context_takes_exact_names() {
    let mut server = structured();
    for queries in [
        &[][..],
        &["base:"],
        &["base:nosuch"],
        &["nosuch:allocation", "x"],
    ] {
        let replies = server.ask(opt::SET_META_CONTEXT, &meta_payload("disk", queries));
        assert_eq!(replies, [(rep::ACK, vec![])], "{queries:?}");
    }
    let replies = server.ask(
        opt::SET_META_CONTEXT,
        &meta_payload("disk", &["base:allocation"; 2]),
    );
    assert_eq!(replies.len(), 2, "once");
    assert_eq!(replies[0].1[4..], *b"base:allocation");
}

fn select_then(between: impl FnOnce(&mut Server), name: &str) -> bool {
    let mut server = structured();
    server.ask(
        opt::SET_META_CONTEXT,
        &meta_payload("disk", &["base:allocation"]),
    );
    between(&mut server);
    server.feed(&option(opt::GO, &go(name)));
    server.session.unwrap().allocation().is_some()
}

/// Point 35.
#[test]
fn set_meta_context_replaces_even_when_it_fails() {
    assert!(select_then(|_| {}, "disk"));
    let set = |payload: Vec<u8>| {
        select_then(
            move |server| drop(server.ask(opt::SET_META_CONTEXT, &payload)),
            "disk",
        )
    };
    assert!(set(meta_payload("disk", &["base:allocation"])));
    assert!(!set(meta_payload("disk", &[])), "replaced by nothing");
    assert!(
        !set(meta_payload("nosuch", &["base:allocation"])),
        "unknown export"
    );
    assert!(!set(vec![]), "malformed");
    assert!(!set(vec![0; 70_000]), "too long");
    let list = |server: &mut Server| drop(server.ask(opt::LIST_META_CONTEXT, &[0; 8]));
    assert!(select_then(list, "disk"), "LIST changes nothing");
}

/// Point 36.
#[test]
fn contexts_are_for_one_export_name() {
    assert!(!select_then(|_| {}, "big"));
    assert!(!select_then(|_| {}, ""), "another name of the same export");
}

/// Points 36, 37.
#[test]
fn flags_follow_from_what_was_agreed() {
    let flags = |prelude: &[u32], select: bool| {
        let mut server = server();
        for number in prelude {
            assert_eq!(server.ask_one(*number, &[]), rep::ACK);
        }
        if select {
            server.ask(
                opt::SET_META_CONTEXT,
                &meta_payload("disk", &["base:allocation"]),
            );
        }
        server.feed(&option(opt::GO, &go("disk")));
        server.session.unwrap().export().flags
    };
    let plain = export("disk").flags | ExportFlags::HAS_FLAGS;
    let df = plain | ExportFlags::SEND_DF;
    assert_eq!(flags(&[], true), plain);
    assert_eq!(flags(&[opt::STRUCTURED_REPLY], true), df);
    assert_eq!(flags(&[opt::EXTENDED_HEADERS], false), df);
    assert_eq!(
        flags(&[opt::EXTENDED_HEADERS], true),
        df | ExportFlags::BLOCK_STATUS_PAYLOAD
    );
}

#[test]
fn an_event_stays_until_the_shell_answers_it() {
    let mut server = server();
    let input = [option(opt::GO, &go("disk")), option(opt::ABORT, &[])].concat();
    let find = Event::Find(Lookup {
        name: "disk".to_owned(),
        purpose: Purpose::Go,
    });
    let (consumed, event) = server.handshake.advance(&input);
    assert_eq!(event, find);
    let rest = &input[consumed..];
    assert_eq!(server.handshake.advance(rest), (0, find.clone()));
    server.handshake.list([("answer to another event", None)]);
    assert_eq!(server.handshake.advance(rest), (0, find));
    assert_eq!(server.handshake.take_output(), b"");
    server.handshake.found(&export("disk"));
    let (consumed, event) = server.handshake.advance(rest);
    assert_eq!(consumed, 0, "the rest are requests");
    assert!(matches!(event, Event::Ready(_)));
    assert_eq!(
        server.handshake.advance(rest).1,
        Event::Close,
        "the handshake is over"
    );
}

#[test]
fn an_answer_without_an_event_does_nothing() {
    let mut server = server();
    let answers: [fn(&mut Handshake); 5] = [
        |handshake| handshake.found(&export("disk")),
        Handshake::unknown,
        Handshake::tls_required,
        Handshake::tls_established,
        |handshake| handshake.denied("no"),
    ];
    for answer in answers {
        answer(&mut server.handshake);
        assert_eq!(server.handshake.take_output(), b"");
    }
    assert_negotiating(&mut server);
}
