//! The handshake's beginning and end (points 1–6, 12, 14, 15, 17, 18 of `CHECKLIST.md`).

use nbd_proto::wire::{command, option, option_reply};
use nbdbox_tests::{Raw, Server, Transmission};

/// FIXED_NEWSTYLE without NO_ZEROES.
const WITH_ZEROES: u32 = 1;
/// FIXED_NEWSTYLE and NO_ZEROES.
const NO_ZEROES: u32 = 3;

/// The memory that a client may make the server use, whatever it announces: a few buffers.
const BOUND: u64 = 16 << 20;

fn pattern() -> Server {
    Server::plugin("pattern", &["size=64K"])
}

/// Asserts that the server understands the first request after the handshake.
fn assert_reads(raw: Raw) {
    let mut transmission = Transmission {
        raw,
        size: 0,
        flags: 0,
    };
    transmission.request(0, command::READ, 7, 8, 8);
    assert_eq!(transmission.simple_reply(), (0, 7));
    assert_eq!(transmission.raw.u64(), 8);
}

/// Point 1: the hello's flags are FIXED_NEWSTYLE and NO_ZEROES, and no other bits.
#[test]
fn the_hello_has_two_flags_and_no_more() {
    let server = pattern();
    let mut raw = server.connect();
    assert_eq!(raw.receive(18), b"NBDMAGICIHAVEOPT\x00\x03");
}

/// Point 2: a client flag that is unknown or wasn't offered closes.
#[test]
fn an_unknown_client_flag_closes() {
    let server = pattern();
    for flags in [4, 7, 1 << 16, 1 << 31, u32::MAX] {
        let mut raw = server.connect();
        let _ = raw.hello(flags);
        assert!(raw.is_closed(), "{flags:#x}");
        server.assert_serves();
    }
}

/// Point 3: the server can't follow bytes without the option magic, and closes without a reply.
#[test]
fn a_bad_option_magic_closes() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.send(b"IHAVEOPU\0\0\0\x03\0\0\0\0");
    assert!(raw.is_closed());
    server.assert_serves();
}

/// Point 3: the magic of replies isn't one of options either.
#[test]
fn the_magic_of_replies_closes() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.send(&nbd_proto::wire::OPTION_REPLY_MAGIC.to_be_bytes());
    assert!(raw.is_closed());
    server.assert_serves();
}

/// Point 4: the reply to an unknown option is ERR_UNSUP. The server consumes its payload, and understands the next
/// option.
#[test]
fn an_unknown_option_is_unsupported_and_consumed() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    // 4 is PEEK_EXPORT, which was withdrawn. The payload looks like options.
    let payload = b"IHAVEOPT\0\0\0\x02\0\0\0\0".repeat(5000);
    for (number, length) in [(0, 0), (4, 16), (12, 7), (u32::MAX, 65_536), (99, 80_000)] {
        let kind = raw.ask_one(number, &payload[..length]);
        assert_eq!(kind, option_reply::ERR_UNSUP, "{number}, {length} bytes");
    }
    raw.assert_negotiating();
}

/// Point 5: the reply to EXPORT_NAME has size and flags, and 124 zeroes unless NO_ZEROES was agreed.
#[test]
fn export_name_pads_with_124_zeroes() {
    let server = pattern();
    for flags in [0, WITH_ZEROES] {
        let mut raw = server.connect();
        let _ = raw.hello(flags);
        raw.option(option::EXPORT_NAME, b"");
        assert_eq!(raw.u64(), 65_536);
        assert_eq!(raw.u16() & 3, 3, "HAS_FLAGS, READ_ONLY");
        assert_eq!(raw.receive(124), [0; 124]);
        assert_reads(raw);
    }
}

/// Point 5: no zeroes after EXPORT_NAME if NO_ZEROES was agreed.
#[test]
fn export_name_does_not_pad_after_no_zeroes() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.option(option::EXPORT_NAME, b"");
    assert_eq!(raw.u64(), 65_536);
    let _ = raw.u16();
    assert_reads(raw);
}

/// Point 5: EXPORT_NAME has no error reply for an unknown export, so it closes.
#[test]
fn export_name_of_an_unknown_export_closes() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.option(option::EXPORT_NAME, b"nosuch");
    assert!(raw.is_closed());
    server.assert_serves();
}

/// Point 6: GO is never followed by padding, whatever was agreed.
#[test]
fn go_does_not_pad() {
    let server = pattern();
    for flags in [WITH_ZEROES, NO_ZEROES] {
        let mut raw = server.connect();
        let _ = raw.hello(flags);
        assert_reads(raw.go("").raw);
    }
}

/// Point 12: the server acknowledges ABORT, and then closes.
#[test]
fn abort_is_acknowledged() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    assert_eq!(raw.ask_one(option::ABORT, &[]), option_reply::ACK);
    assert!(raw.is_closed());
    server.assert_serves();
}

/// Point 12: the server ignores data of an ABORT.
#[test]
fn abort_with_data_is_acknowledged() {
    let server = pattern();
    for length in [1, 100_000] {
        let mut raw = Raw::negotiating(&server);
        assert_eq!(
            raw.ask_one(option::ABORT, &vec![b'x'; length]),
            option_reply::ACK
        );
        assert!(raw.is_closed());
    }
    server.assert_serves();
}

/// Point 12: a client that closes instead of waiting for ABORT's reply does no harm, nor does one that disconnects at
/// any other byte.
#[test]
fn a_client_that_leaves_is_tolerated() {
    let server = pattern();
    let abort = b"\0\0\0\x03IHAVEOPT\0\0\0\x02\0\0\0\0";
    for end in 0..=abort.len() {
        let mut raw = server.connect();
        raw.send(&abort[..end]);
    }
    server.assert_serves();
}

/// Point 14: a name of 4096 bytes is a string, and the export can be opened.
#[test]
fn a_name_of_4096_bytes_is_served() {
    let name = "n".repeat(4096);
    let server = Server::plugin("pattern", &["size=64K", "--export", &name]);
    assert_reads(Raw::negotiating(&server).go(&name).raw);
}

/// Point 14: a name of 4097 bytes, with a NUL or without UTF-8, is no string: an error, no crash.
#[test]
fn a_name_that_is_no_string_is_an_error() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    for name in ["n".repeat(4097), "n".repeat(60_000), "a\0b".to_owned()] {
        for number in [option::INFO, option::GO] {
            let kind = raw.ask_one(number, &Raw::info_data(&name, &[]));
            assert_eq!(kind, option_reply::ERR_INVALID, "{} bytes", name.len());
        }
    }
    let kind = raw.ask_one(option::GO, b"\0\0\0\x02\xc3\x28\0\0");
    assert_eq!(kind, option_reply::ERR_INVALID);
    raw.assert_negotiating();
}

/// Point 14: EXPORT_NAME with a name that is no string closes.
#[test]
fn an_export_name_that_is_no_string_closes() {
    let server = pattern();
    for name in [vec![b'n'; 4097], b"a\0b".to_vec(), b"\xff".to_vec()] {
        let mut raw = Raw::negotiating(&server);
        raw.option(option::EXPORT_NAME, &name);
        assert!(raw.is_closed());
    }
    server.assert_serves();
}

/// Point 14: the texts of errors are strings of at most 4096 bytes.
#[test]
fn error_texts_are_strings() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    let unknown = Raw::info_data(&"n".repeat(4096), &[]);
    for (number, data) in [(option::GO, &unknown[..]), (option::LIST, b"x"), (99, b"")] {
        for (_, text) in raw.ask(number, data) {
            assert!(text.len() <= 4096 && !text.contains(&0));
            String::from_utf8(text).unwrap();
        }
    }
}

/// Point 15: an option of 4 GiB costs no memory: the server closes, or drains it and replies TOO_BIG.
#[test]
fn an_oversize_option_costs_no_memory() {
    let server = pattern();
    server.assert_serves();
    let before = server.peak_memory();
    for number in [
        option::EXPORT_NAME,
        option::GO,
        option::SET_META_CONTEXT,
        99,
    ] {
        let mut raw = Raw::negotiating(&server);
        raw.option_header(number, u32::MAX);
        let rubbish = vec![b'x'; 1 << 20];
        // The server may hang up at any time.
        let closed = (0..64).any(|_| raw.try_send(&rubbish).is_err());
        assert!(closed || raw.is_closed(), "neither closed nor drained");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < BOUND, "{grown} bytes more");
    server.assert_serves();
}

/// Point 15: the reply to a long option that the server drains is TOO_BIG, and the server understands the next one.
#[test]
fn a_long_option_is_too_big_and_consumed() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    for number in [
        option::INFO,
        option::GO,
        option::LIST,
        option::STRUCTURED_REPLY,
    ] {
        let kind = raw.ask_one(number, &vec![0; 65_537]);
        assert_eq!(kind, option_reply::ERR_TOO_BIG, "option {number}");
    }
    raw.assert_negotiating();
}

/// Point 17: a server that stops replies ERR_SHUTDOWN to options.
#[test]
fn options_during_shutdown_are_refused() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.assert_negotiating();
    server.begin_to_stop();
    for number in [option::LIST, option::STRUCTURED_REPLY, 99] {
        assert_eq!(raw.ask_one(number, &[]), option_reply::ERR_SHUTDOWN);
    }
    let kind = raw.ask_one(option::GO, &Raw::info_data("", &[]));
    assert_eq!(kind, option_reply::ERR_SHUTDOWN);
}

/// Point 17: it acknowledges ABORT even then, and ends without an error.
#[test]
fn abort_during_shutdown_is_acknowledged() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    server.begin_to_stop();
    assert_eq!(raw.ask_one(option::ABORT, &[]), option_reply::ACK);
    assert!(raw.is_closed());
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

/// Point 18: TCP_NODELAY is set, so that no reply waits for an acknowledgement.
#[test]
fn nagle_is_off() {
    let server = Server::plugin_over_tcp("pattern", &["size=64K"]);
    let mut raw = Raw::connect_tcp(server.port());
    let _ = raw.hello(NO_ZEROES);
    assert!(server.has_no_delay(&raw));
    assert_reads(raw.go("").raw);
}
