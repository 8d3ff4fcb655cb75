//! Extended headers (points 66–70 of `CHECKLIST.md`). The harness checks point 66 for every reply: only extended
//! chunks, with the request's offset.

use nbd_proto::wire::{CommandFlags, ExportFlags, chunk, command, option, option_reply};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Answer, Dialog, Disk, Raw, Server};

const EINVAL: u32 = Errno::Einval.to_wire();
const PAYLOAD_LEN: u16 = CommandFlags::PAYLOAD_LEN.bits();

const SIZE: u64 = 1 << 20;

fn extended(server: &Server) -> Dialog {
    Dialog::open(server, Framing::Extended)
}

/// A BLOCK_STATUS with a payload: the length of its effect, and the ids of contexts.
fn filtered(dialog: &mut Dialog, offset: u64, effect: u64, ids: &[u32]) -> Answer {
    let mut payload = effect.to_be_bytes().to_vec();
    payload.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
    let length = payload.len() as u64;
    let cookie = dialog.send(PAYLOAD_LEN, command::BLOCK_STATUS, offset, length);
    dialog.transmission.raw.send(&payload);
    let answer = dialog.receive();
    assert_eq!(answer.cookie, cookie);
    answer
}

/// Point 66: every reply has an extended header that repeats the request's offset, whether the request succeeds or
/// fails.
#[test]
fn every_reply_is_extended_and_repeats_the_offset() {
    let disk = Disk::empty(SIZE);
    let server = disk.serve();
    let mut dialog = extended(&server);
    for offset in [0, 4096, SIZE, u64::MAX] {
        for number in 0..10 {
            if ![command::DISC, command::WRITE].contains(&number) {
                let answer = dialog.ask(0, number, offset, 512);
                assert!(
                    answer
                        .chunks
                        .iter()
                        .all(|chunk| chunk.offset == Some(offset))
                );
            }
        }
        assert_eq!(dialog.write(0, offset, &[1; 512]) == 0, offset < SIZE);
    }
}

/// Point 66: the server can't follow a compact request on such a connection, and closes.
#[test]
fn a_compact_request_closes() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut dialog = extended(&server);
    dialog.transmission.request(0, command::READ, 1, 0, 512);
    assert!(dialog.transmission.raw.is_closed());
    server.assert_serves();
}

/// Point 66: EXTENDED_HEADERS with data is ERR_INVALID, and negotiates nothing.
#[test]
fn extended_headers_with_data_is_invalid() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    assert_eq!(
        raw.ask_one(option::EXTENDED_HEADERS, b"x"),
        option_reply::ERR_INVALID
    );
    Dialog::over(raw, Framing::Structured).assert_in_step();
}

/// Point 66: they may follow STRUCTURED_REPLY, and replace it.
#[test]
fn extended_headers_replace_structured_replies() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Structured);
    Dialog::over(raw, Framing::Extended).assert_in_step();
}

/// Point 67: a WRITE has PAYLOAD_LEN. QEMU as a client forgets the flag but sends the data. So without the flag the
/// server writes or returns EINVAL, but consumes the data.
#[test]
fn a_write_without_payload_len_is_consumed() {
    let server = Server::plugin("memory", &["size=1M"]);
    let mut dialog = extended(&server);
    dialog.send(0, command::WRITE, 0, 512);
    dialog.transmission.raw.send(&[0x21; 512]);
    let error = dialog.receive().error;
    assert!([0, EINVAL].contains(&error));
    let expected = if error == 0 { [0x21; 512] } else { [0; 512] };
    assert_eq!(dialog.read(0, 512), expected);
}

/// Point 67: the server consumes the payload of a command that takes none, and returns EINVAL.
#[test]
fn an_undue_payload_is_consumed() {
    let disk = Disk::empty(SIZE);
    let server = disk.serve();
    let mut dialog = extended(&server);
    let mut payload = vec![0; 4096];
    // A request, if the server interpreted it.
    payload[..8].copy_from_slice(&[0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 2]);
    for number in [
        command::READ,
        command::TRIM,
        command::CACHE,
        command::WRITE_ZEROES,
        command::BLOCK_STATUS,
        command::FLUSH,
        99,
    ] {
        for length in [0, 1, 32, 4096] {
            dialog.send(PAYLOAD_LEN, number, 0, length as u64);
            dialog.transmission.raw.send(&payload[..length]);
            assert_eq!(dialog.receive().error, EINVAL, "command {number}");
        }
    }
    dialog.assert_in_step();
}

/// Point 67: a payload beyond the maximum closes the connection, or is consumed.
#[test]
fn an_undue_payload_that_is_too_long_closes() {
    let server = Server::plugin("pattern", &["size=1M"]);
    for length in [(32 << 20) + 1, u64::MAX] {
        let mut dialog = extended(&server);
        dialog.send(PAYLOAD_LEN, command::READ, 0, length);
        assert!(dialog.transmission.raw.is_closed());
        server.assert_serves();
    }
}

/// Point 68: EXPORT_NAME can't be used any more, and closes.
#[test]
fn export_name_closes() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Extended);
    raw.option(option::EXPORT_NAME, b"");
    assert!(raw.is_closed());
    server.assert_serves();
}

/// Point 69: a BLOCK_STATUS_EXT chunk has 8 + 16n bytes, and its count is n.
#[test]
fn the_count_of_descriptors_matches() {
    let server = Server::plugin("sparse", &["size=8M", "runlength=64K"]);
    let mut dialog = extended(&server);
    for length in [1, 65_537, 8 << 20] {
        let answer = dialog.ask(0, command::BLOCK_STATUS, 0, length);
        let [only] = &answer.chunks[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(only.kind, chunk::BLOCK_STATUS_EXT);
        let count = u32::from_be_bytes(only.payload[4..8].try_into().unwrap());
        assert_eq!(only.payload.len(), 8 + 16 * count as usize);
    }
}

/// Point 69: lengths have 64 bits.
#[test]
fn descriptors_have_64_bits() {
    let server = Server::plugin("memory", &["size=1T"]);
    let answer = extended(&server).ask(0, command::BLOCK_STATUS, 512, (1 << 40) - 512);
    assert_eq!(answer.extents.len(), 1);
    assert_eq!(answer.extents[0].length, (1 << 40) - 512);
}

/// Point 69: a payload that names the selected context is served like a request without.
#[test]
fn a_filter_for_the_context_is_served() {
    let server = Server::plugin("sparse", &["size=8M", "runlength=64K"]);
    let mut dialog = extended(&server);
    assert!(dialog.has(ExportFlags::BLOCK_STATUS_PAYLOAD));
    let id = dialog.context.unwrap();
    let answer = filtered(&mut dialog, 4096, 1 << 20, &[id]);
    assert_eq!(answer.error, 0);
    let plain = dialog.ask(0, command::BLOCK_STATUS, 4096, 1 << 20);
    assert_eq!(answer.extents, plain.extents);
}

/// Point 69: a payload that names an unknown context, one context twice, or none, is consumed and EINVAL.
#[test]
fn a_filter_for_anything_else_is_einval() {
    let server = Server::plugin("sparse", &["size=8M"]);
    let mut dialog = extended(&server);
    let id = dialog.context.unwrap();
    for ids in [
        &[id + 1][..],
        &[id, id],
        &[id, id + 1],
        &[id + 1, id],
        &[0x21e4_1c71; 100],
    ] {
        assert_eq!(filtered(&mut dialog, 0, 4096, ids).error, EINVAL, "{ids:?}");
    }
    dialog.assert_in_step();
}

/// Point 69: a payload that isn't a list of ids is consumed and EINVAL.
#[test]
fn a_broken_filter_is_einval() {
    let server = Server::plugin("sparse", &["size=8M"]);
    let mut dialog = extended(&server);
    for length in [0, 1, 7, 8, 11, 13] {
        dialog.send(PAYLOAD_LEN, command::BLOCK_STATUS, 0, length as u64);
        dialog.transmission.raw.send(&vec![0; length]);
        assert_eq!(dialog.receive().error, EINVAL, "{length} bytes");
    }
    dialog.assert_in_step();
}

/// Point 69: the server checks the effect in a payload like any other range.
#[test]
fn a_filter_past_the_end_is_einval() {
    let server = Server::plugin("sparse", &["size=8M"]);
    let mut dialog = extended(&server);
    let id = dialog.context.unwrap();
    for (offset, effect) in [(0, (8 << 20) + 1), (8 << 20, 1), (512, u64::MAX), (0, 0)] {
        let answer = filtered(&mut dialog, offset, effect, &[id]);
        assert_eq!(answer.error, EINVAL, "{effect} at {offset}");
    }
    dialog.assert_in_step();
}

/// Point 69: without a context the server hasn't offered the payload: it's consumed and EINVAL.
#[test]
fn a_filter_that_was_not_offered_is_einval() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut dialog = Dialog::without_context(&server, Framing::Extended);
    assert!(!dialog.has(ExportFlags::BLOCK_STATUS_PAYLOAD));
    assert_eq!(filtered(&mut dialog, 0, 4096, &[1]).error, EINVAL);
    dialog.assert_in_step();
}

/// Point 70: STRUCTURED_REPLY after EXTENDED_HEADERS is ERR_EXT_HEADER_REQD, and extended headers stay negotiated.
#[test]
fn structured_reply_after_extended_headers_is_refused() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Extended);
    let kind = raw.ask_one(option::STRUCTURED_REPLY, &[]);
    assert_eq!(kind, option_reply::ERR_EXT_HEADER_REQD);
    let mut transmission = raw.go("");
    transmission.extended_request(0, command::READ, 9, 0, 512);
    assert_eq!(transmission.extended_chunk().2, 9);
}
