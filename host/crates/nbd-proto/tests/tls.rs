//! TLS in the handshake (points 19–25). Point 26 concerns the shell.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{info_payload, meta_payload};
use nbd_proto::wire::{info, option as opt, option_reply as rep};
use nbd_proto::{Event, Framing, TlsMode};

use script::{Server, option};

fn server(tls: TlsMode) -> Server {
    Server::greeted(tls, 3)
}

fn over_tls(tls: TlsMode) -> Server {
    let mut server = server(tls);
    assert_eq!(server.ask_one(opt::STARTTLS, &[]), rep::ACK);
    assert_eq!(server.events.last(), Some(&Event::StartTls));
    server.handshake.tls_established();
    server
}

fn go(name: &str) -> Vec<u8> {
    info_payload(name, &[info::BLOCK_SIZE])
}

/// Point 19.
#[test]
fn without_tls_starttls_is_refused_and_never_required() {
    let mut server = server(TlsMode::Off);
    assert_eq!(server.ask_one(opt::STARTTLS, &[]), rep::ERR_POLICY);
    assert_eq!(server.ask_one(opt::GO, &go("secret")), rep::ERR_UNKNOWN);
    assert_eq!(server.ask_one(opt::INFO, &go("secret")), rep::ERR_UNKNOWN);
    server.feed(&option(opt::GO, &go("disk")));
    assert!(server.session.is_some());
}

/// Point 20.
#[test]
fn forced_tls_requires_it_for_all_but_two() {
    let mut server = server(TlsMode::Require);
    for number in (0..20).filter(|n| ![opt::EXPORT_NAME, opt::ABORT, opt::STARTTLS].contains(n)) {
        assert_eq!(
            server.ask_one(number, &go("disk")),
            rep::ERR_TLS_REQD,
            "{number}"
        );
        assert_eq!(
            server.ask_one(number, &vec![0; 70_000]),
            rep::ERR_TLS_REQD,
            "{number} long"
        );
    }
    assert_eq!(server.events, [], "the shell gets no event");
    assert_eq!(server.ask_one(opt::ABORT, &[]), rep::ACK);
}

/// Point 20.
#[test]
fn forced_tls_closes_on_export_name() {
    for flags in [0, 3] {
        let mut server = Server::greeted(TlsMode::Require, flags);
        server.feed(&option(opt::EXPORT_NAME, b"disk"));
        assert_eq!(server.events, [Event::Close]);
        assert_eq!(server.take(), b"");
    }
}

/// Point 21.
#[test]
fn a_second_starttls_is_invalid() {
    for mode in [TlsMode::Offer, TlsMode::Require] {
        let mut server = over_tls(mode);
        assert_eq!(server.ask_one(opt::STARTTLS, &[]), rep::ERR_INVALID);
        server.feed(&option(opt::GO, &go("disk")));
        assert!(server.session.is_some());
    }
}

/// Point 22.
#[test]
fn starttls_forgets_what_was_agreed() {
    for chunks in [opt::STRUCTURED_REPLY, opt::EXTENDED_HEADERS] {
        let mut server = server(TlsMode::Offer);
        assert_eq!(server.ask_one(chunks, &[]), rep::ACK);
        server.ask(
            opt::SET_META_CONTEXT,
            &meta_payload("disk", &["base:allocation"]),
        );
        assert_eq!(server.ask_one(opt::STARTTLS, &[]), rep::ACK);
        server.handshake.tls_established();
        assert_eq!(
            server.ask_one(opt::STRUCTURED_REPLY, &[]),
            rep::ACK,
            "as if new"
        );
        server.feed(&option(opt::GO, &go("disk")));
        let session = server.session.unwrap();
        assert_eq!(
            (session.framing(), session.allocation()),
            (Framing::Structured, None)
        );
    }
}

/// Point 22.
#[test]
fn plaintext_after_starttls_is_never_interpreted() {
    let mut server = server(TlsMode::Offer);
    let injected = [
        option(opt::STARTTLS, &[]),
        option(opt::LIST, &[]),
        b"half".to_vec(),
    ]
    .concat();
    server.feed(&injected);
    assert_eq!(server.input, b"", "all of it is consumed");
    server.feed(&option(opt::ABORT, &[]));
    assert_eq!(
        server.input, b"",
        "and so are bytes that come before TLS is up"
    );
    assert_eq!(server.replies(opt::STARTTLS), [(rep::ACK, vec![])]);
    server.handshake.tls_established();
    assert_eq!(server.ask(opt::LIST, &[]).last().unwrap().0, rep::ACK);
}

/// Point 23.
#[test]
fn starttls_with_data_is_invalid() {
    for mode in [TlsMode::Off, TlsMode::Offer, TlsMode::Require] {
        assert_eq!(server(mode).ask_one(opt::STARTTLS, b"x"), rep::ERR_INVALID);
    }
}

/// Point 24.
#[test]
fn selective_tls_is_required_only_where_an_export_is_entered() {
    let mut server = server(TlsMode::Offer);
    assert_eq!(server.ask_one(opt::STRUCTURED_REPLY, &[]), rep::ACK);
    assert_eq!(server.ask_one(opt::INFO, &go("secret")), rep::ERR_TLS_REQD);
    assert_eq!(server.ask_one(opt::GO, &go("secret")), rep::ERR_TLS_REQD);
    for number in [opt::LIST_META_CONTEXT, opt::SET_META_CONTEXT] {
        assert_eq!(
            server.ask_one(number, &meta_payload("secret", &[])),
            rep::ERR_UNKNOWN
        );
    }
    assert_eq!(server.ask(opt::LIST, &[]).last().unwrap().0, rep::ACK);
    server.feed(&option(opt::GO, &go("disk")));
    assert!(server.session.is_some(), "other exports don't need TLS");
}

/// Point 24.
#[test]
fn selective_tls_closes_on_export_name_of_a_secret() {
    let mut server = server(TlsMode::Offer);
    server.feed(&option(opt::EXPORT_NAME, b"secret"));
    assert!(server.closed);
    assert_eq!(server.take(), b"");
}

/// Point 25.
#[test]
fn tls_is_never_required_over_tls() {
    for mode in [TlsMode::Offer, TlsMode::Require] {
        let mut server = over_tls(mode);
        assert_eq!(server.ask_one(opt::GO, &go("secret")), rep::ERR_UNKNOWN);
        assert_eq!(server.ask_one(99, &[]), rep::ERR_UNSUP);
    }
}
