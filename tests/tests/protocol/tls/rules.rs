//! A server with TLS, byte by byte (points 20 to 26 of `CHECKLIST.md`).

use nbd_proto::Framing;
use nbd_proto::wire::{self, option, option_reply};
use nbdbox_tests::{Dialog, Raw, Server};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use super::scene::{over_tls, unix};
use nbdbox_tests::pki::{Authority, localhost, rustls_client};

/// A server in this mode, and the folders of the server and of a client.
fn scene(mode: &str) -> (Server, [TempDir; 2]) {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let server = unix(mode, folder.path(), "pattern", &["size=1M"]);
    (server, [folder, authority.nobody()])
}

/// The bytes of an option.
fn bytes_of(number: u32) -> Vec<u8> {
    let mut bytes = wire::OPTION_MAGIC.to_be_bytes().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// Point 20: where TLS is required, every option except STARTTLS and ABORT needs it.
#[test]
fn all_but_two_options_require_tls() {
    let (server, _folders) = scene("require");
    let mut raw = Raw::negotiating(&server);
    let asked = [
        (option::LIST, vec![]),
        (option::INFO, Raw::info_data("", &[])),
        (option::GO, Raw::info_data("", &[])),
        (option::GO, Raw::info_data("nosuch", &[])),
        (option::STRUCTURED_REPLY, vec![]),
        (option::EXTENDED_HEADERS, vec![]),
        (option::LIST_META_CONTEXT, Raw::meta_data("", &[])),
        (option::SET_META_CONTEXT, Raw::meta_data("", &[])),
        // PEEK_EXPORT, which no server supports.
        (4, vec![]),
        (99, vec![7; 9]),
    ];
    for (number, data) in asked {
        let kind = raw.ask_one(number, &data);
        assert_eq!(kind, option_reply::ERR_TLS_REQD, "option {number}");
    }
    assert_eq!(raw.ask_one(option::ABORT, &[]), option_reply::ACK);
}

/// Point 20: EXPORT_NAME, which has no error reply, closes.
#[test]
fn export_name_closes_where_tls_is_required() {
    let (server, _folders) = scene("require");
    let mut raw = Raw::negotiating(&server);
    raw.option(option::EXPORT_NAME, b"");
    assert!(raw.is_closed());
}

/// Point 21: a second STARTTLS is an error.
#[test]
fn a_second_starttls_is_invalid() {
    for mode in ["on", "require"] {
        let (server, [_, client]) = scene(mode);
        let mut raw = over_tls(&server, client.path());
        let kind = raw.ask_one(option::STARTTLS, &[]);
        assert_eq!(kind, option_reply::ERR_INVALID);
        Dialog::over(raw, Framing::Extended).assert_in_step();
    }
}

/// Point 22: the server never takes bytes that an attacker put behind STARTTLS, before TLS began, for an option of the
/// client's.
#[test]
fn plain_bytes_after_starttls_are_never_interpreted() {
    for mode in ["on", "require"] {
        let (server, [_, client]) = scene(mode);
        let mut raw = Raw::negotiating(&server);
        let injected = [
            bytes_of(option::STARTTLS),
            bytes_of(option::STRUCTURED_REPLY),
            bytes_of(option::LIST),
            b"half an option".to_vec(),
        ];
        raw.send(&injected.concat());
        let replies = raw.option_replies(option::STARTTLS);
        assert_eq!(replies, [(option_reply::ACK, vec![])]);
        // TLS would fail if a reply to the other bytes came first.
        let config = rustls_client(client.path(), &TLS13);
        let raw = raw.over_tls(&config).unwrap();
        // Structured replies aren't negotiated yet, or a second request for them would be an error.
        Dialog::over(raw, Framing::Structured).assert_in_step();
    }
}

/// Point 22: plain text that comes instead of TLS ends the connection.
#[test]
fn options_in_plain_text_instead_of_tls_close() {
    let (server, [_, client]) = scene("on");
    let mut raw = Raw::negotiating(&server);
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    raw.send(&bytes_of(option::LIST));
    let mut heard = Vec::new();
    while !raw.is_closed_or(&mut heard) {}
    let magic = wire::OPTION_REPLY_MAGIC.to_be_bytes();
    let answered = heard.windows(magic.len()).any(|bytes| bytes == magic);
    assert!(!answered, "an answer in plain text: {heard:?}");
    over_tls(&server, client.path()).assert_negotiating();
}

/// Point 22: the server forgets what was negotiated in plain text.
#[test]
fn starttls_forgets_what_was_agreed() {
    let authority = Authority::new();
    let (folder, client) = (authority.server(&localhost()), authority.nobody());
    // An export that reports extents.
    let server = unix("on", folder.path(), "sparse", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Extended);
    let _ = raw.select_allocation("").unwrap();
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    let config = rustls_client(client.path(), &TLS13);
    let mut raw = raw.over_tls(&config).unwrap();
    let kind = raw.ask_one(option::LIST_META_CONTEXT, &Raw::meta_data("", &[]));
    assert_eq!(kind, option_reply::ERR_INVALID, "structured replies first");
    // Replies are simple, as if nothing else had been negotiated.
    Dialog::over(raw, Framing::Simple).assert_in_step();
}

/// Point 23: STARTTLS has no data.
#[test]
fn starttls_with_data_is_invalid() {
    for mode in ["on", "require"] {
        let (server, _folders) = scene(mode);
        let mut raw = Raw::negotiating(&server);
        let kind = raw.ask_one(option::STARTTLS, &bytes_of(option::LIST));
        assert_eq!(kind, option_reply::ERR_INVALID);
        assert_eq!(raw.ask_one(option::ABORT, &[]), option_reply::ACK);
    }
}

/// Point 24: where TLS is only offered, no option and no export requires it.
#[test]
fn where_tls_is_offered_nothing_requires_it() {
    let (server, _folders) = scene("on");
    let mut raw = Raw::negotiating(&server);
    let asked = [
        (option::LIST, vec![]),
        (option::LIST_META_CONTEXT, Raw::meta_data("", &[])),
        (option::STRUCTURED_REPLY, vec![]),
        (option::LIST_META_CONTEXT, Raw::meta_data("nosuch", &[])),
        (option::SET_META_CONTEXT, Raw::meta_data("nosuch", &[])),
        (option::INFO, Raw::info_data("", &[])),
        (option::GO, Raw::info_data("nosuch", &[])),
        (99, vec![]),
    ];
    for (number, data) in asked {
        let replies = raw.ask(number, &data);
        let required = |(kind, _): &(u32, Vec<u8>)| *kind == option_reply::ERR_TLS_REQD;
        assert!(!replies.iter().any(required), "option {number}");
    }
    assert_eq!(raw.go("").size, 1 << 20);
}

/// Point 25: over TLS, nothing requires it.
#[test]
fn over_tls_nothing_requires_it() {
    for mode in ["on", "require"] {
        let (server, [_, client]) = scene(mode);
        let mut raw = over_tls(&server, client.path());
        let kind = raw.ask_one(option::GO, &Raw::info_data("nosuch", &[]));
        assert_eq!(kind, option_reply::ERR_UNKNOWN);
        assert_eq!(raw.ask_one(99, &[]), option_reply::ERR_UNSUP);
        raw.assert_negotiating();
        Dialog::over(raw, Framing::Structured).assert_in_step();
    }
}

/// Point 26: the server supports TLS 1.2 and 1.3.
#[test]
fn both_good_versions_of_tls_are_spoken() {
    let (server, [_, client]) = scene("require");
    for version in [&TLS12, &TLS13] {
        let mut raw = Raw::negotiating(&server);
        assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
        let raw = raw
            .over_tls(&rustls_client(client.path(), version))
            .unwrap();
        Dialog::over(raw, Framing::Structured).assert_in_step();
    }
}

/// Point 26: the server doesn't support TLS 1.1.
#[test]
fn tls_1_1_is_refused() {
    let (server, [_, client]) = scene("require");
    let mut raw = Raw::negotiating(&server);
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    // A ClientHello of TLS 1.1 (RFC 4346): version, random, no session, one cipher suite, no compression.
    let mut hello = vec![3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0, 0x2f, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    raw.send(&[&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &hello[..]].concat());
    // A fatal alert, and the end of the connection.
    assert_eq!(raw.receive(1), [21]);
    let _ = raw.receive(4);
    assert_eq!(raw.receive(1), [2]);
    let _ = raw.receive(1);
    assert!(raw.is_closed());
    over_tls(&server, client.path()).assert_negotiating();
}

/// Point 50: DISC ends TLS before the connection, so the client knows that nobody else cut it off.
#[test]
fn disc_ends_tls_first() {
    let (server, [_, client]) = scene("require");
    // Without `close_notify` rustls would report an error instead of the end.
    let raw = over_tls(&server, client.path());
    Dialog::over(raw, Framing::Structured).disconnect();
}

/// Point 26: a TLS handshake that fails ends its connection, and no other.
#[test]
fn a_failed_tls_handshake_closes() {
    let (server, [_, client]) = scene("require");
    let mut other = Dialog::over(over_tls(&server, client.path()), Framing::Structured);
    let mut raw = Raw::negotiating(&server);
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    raw.send(&[0xff; 100]);
    while !raw.is_closed_or(&mut Vec::new()) {}
    other.assert_in_step();
    let log = server.log();
    assert_eq!(log.matches("the TLS handshake failed").count(), 1, "{log}");
}

/// Point 26: a TLS handshake that makes no progress ends with the time for the whole handshake.
#[test]
fn a_tls_handshake_has_its_time() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let more = ["size=1M", "--limit", "handshake=300ms"];
    let server = unix("require", folder.path(), "pattern", &more);
    let mut raw = Raw::negotiating(&server);
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    // The beginning of a ClientHello.
    raw.send(&[22, 3, 1, 2]);
    assert!(raw.is_closed());
    over_tls(&server, authority.nobody().path()).assert_negotiating();
}
