//! Several exports, and block sizes other than the default, which only the plugin `many` has.

use nbd_proto::Framing;
use nbd_proto::wire::{command, info, option, option_reply};
use nbdbox_tests::{Dialog, Raw, Server, guest, run};

const EINVAL: u32 = 22;

fn many() -> Server {
    let plugin = guest("many").into_os_string();
    Server::start(["-e".into(), "sectors".into(), plugin])
}

fn dialog(server: &Server, export: &str, framing: Framing) -> Dialog {
    Dialog::with_export(
        Raw::negotiating(server),
        framing,
        export,
        &[info::BLOCK_SIZE],
    )
}

/// Point 28: unaligned requests are EINVAL, and corrupt nothing.
#[test]
fn unaligned_requests_are_einval() {
    let server = many();
    for (export, block) in [("sectors", 512u64), ("pages", 4096)] {
        for framing in [Framing::Simple, Framing::Structured, Framing::Extended] {
            let mut dialog = dialog(&server, export, framing);
            let length = usize::try_from(block).unwrap();
            assert_eq!(dialog.write(0, 0, &vec![7; length]), 0);
            for (offset, length) in [(1, block), (0, block - 1), (block / 2, block), (0, 1)] {
                let answer = dialog.ask(0, command::READ, offset, length);
                assert_eq!(answer.error, EINVAL, "{export} {offset} {length}");
                let data = vec![9; usize::try_from(length).unwrap()];
                assert_eq!(dialog.write(0, offset, &data), EINVAL, "{export} {offset}");
            }
            assert_eq!(
                dialog.read(0, u32::try_from(block).unwrap()),
                vec![7; length]
            );
        }
    }
}

/// Point 29: only a minimum above 512 that the client didn't request makes BLOCK_SIZE_REQD.
#[test]
fn a_large_minimum_block_must_be_requested() {
    let server = many();
    let go = |export: &str, requests: &[u16]| {
        let mut raw = Raw::negotiating(&server);
        raw.option(option::GO, &Raw::info_data(export, requests));
        raw.option_replies(option::GO).last().unwrap().0
    };
    assert_eq!(go("small", &[]), option_reply::ACK);
    assert_eq!(go("sectors", &[]), option_reply::ACK);
    assert_eq!(go("pages", &[]), option_reply::ERR_BLOCK_SIZE_REQD);
    assert_eq!(go("pages", &[info::BLOCK_SIZE]), option_reply::ACK);
}

/// Point 27: the server advertises the plugin's sizes, and the export ends with a whole block.
#[test]
fn block_sizes_are_those_of_the_export() {
    let server = many();
    for (export, minimum, size) in [
        ("small", 1, 67584),
        ("sectors", 512, 67584),
        ("pages", 4096, 65536),
    ] {
        let text = run("nbdinfo", [&server.uri_of(export)]).ok();
        assert!(
            text.contains(&format!("block_size_minimum: {minimum}\n")),
            "{text}"
        );
        assert!(text.contains(&format!("export-size: {size} ")), "{text}");
    }
}

/// Point 36: contexts that were selected for one export are void for another.
#[test]
fn contexts_of_one_export_are_void_for_another() {
    let server = many();
    for (selected, usable) in [("small", true), ("sectors", false)] {
        let mut raw = Raw::negotiating(&server);
        raw.agree(Framing::Structured);
        assert!(raw.select_allocation(selected).is_some());
        let mut client = raw.go("small");
        client.request(0, command::BLOCK_STATUS, 1, 0, 4096);
        let (_, kind, _, payload) = client.chunk();
        if usable {
            assert_eq!(kind, nbd_proto::wire::chunk::BLOCK_STATUS);
        } else {
            assert_eq!(kind, nbd_proto::wire::chunk::ERROR);
            assert_eq!(payload[..4], EINVAL.to_be_bytes());
        }
    }
}

/// Point 42: without zeroing there is no fast zeroing, and a request for it is EINVAL.
#[test]
fn zeroing_that_is_not_offered_is_einval() {
    let server = many();
    let mut dialog = dialog(&server, "small", Framing::Structured);
    assert_eq!(dialog.write(0, 0, &[7; 16]), 0);
    let fast = nbd_proto::CommandFlags::FAST_ZERO.bits();
    for flags in [0, fast] {
        assert_eq!(
            dialog.ask(flags, command::WRITE_ZEROES, 0, 16).error,
            EINVAL
        );
        assert_eq!(dialog.ask(0, command::TRIM, 0, 16).error, EINVAL);
    }
    assert_eq!(dialog.read(0, 16), [7; 16]);
}

/// Point 63: descriptors end at blocks, though the plugin's extents don't.
#[test]
fn descriptors_are_multiples_of_the_minimum_block() {
    let server = many();
    for (export, block) in [("small", 1u64), ("sectors", 512), ("pages", 4096)] {
        let uri = server.uri_of(export);
        let map = run("nbdinfo", ["--map", &uri]).ok();
        let mut at = 0;
        for line in map.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (offset, length): (u64, u64) =
                (fields[0].parse().unwrap(), fields[1].parse().unwrap());
            assert_eq!(offset, at, "{map}");
            assert_eq!(length % block, 0, "{map}");
            at += length;
        }
        assert_eq!(at, if export == "pages" { 65536 } else { 67584 });
    }
}

/// Points 8 and 11: the list has all exports, and an export that isn't on it is unknown.
#[test]
fn all_exports_are_listed_and_no_other_can_be_had() {
    let server = many();
    let list = run("nbdinfo", ["--list", &server.uri()]).ok();
    for export in ["small", "sectors", "pages"] {
        assert!(list.contains(&format!("export=\"{export}\"")), "{list}");
        let size = run("nbdinfo", ["--size", &server.uri_of(export)]);
        assert_eq!(size.code, 0, "{}", size.stderr);
    }
    assert_ne!(run("nbdinfo", ["--size", &server.uri_of("other")]).code, 0);
    // The empty name is the export that the operator chose.
    let default = run("nbdinfo", [&server.uri()]).ok();
    assert!(default.contains("blocks of 512"), "{default}");
}

/// The exports of one plugin share nothing: each has an instance of its own.
#[test]
fn what_is_written_to_one_export_does_not_show_in_another() {
    let server = many();
    let mut one = dialog(&server, "small", Framing::Structured);
    let mut other = dialog(&server, "sectors", Framing::Structured);
    assert_eq!(one.write(0, 0, &[7; 512]), 0);
    assert_eq!(other.read(0, 512), vec![0; 512]);
}
