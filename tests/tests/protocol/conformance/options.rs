//! LIST, INFO, GO, STRUCTURED_REPLY, and the block sizes that they advertise (points 7–11, 13, 16, 27–30 of
//! `CHECKLIST.md`).

use nbd_proto::Framing;
use nbd_proto::wire::{command, info, option, option_reply};
use nbdbox_tests::{Dialog, Disk, FRAMINGS, Raw, Server};

/// The longest payload that every client may send or request.
const LONGEST: u32 = 32 << 20;

/// All kinds of information that a client can request.
const ALL: [u16; 4] = [
    info::EXPORT,
    info::NAME,
    info::DESCRIPTION,
    info::BLOCK_SIZE,
];

fn pattern() -> Server {
    Server::plugin("pattern", &["size=64K"])
}

/// Requests information about the default export. Returns the information that comes before ACK.
fn informed(raw: &mut Raw, number: u32, requests: &[u16]) -> Vec<(u16, Vec<u8>)> {
    let mut replies = raw.ask(number, &Raw::info_data("", requests));
    let last = replies.pop().unwrap();
    assert_eq!(last, (option_reply::ACK, vec![]));
    let information = |(kind, data): (u32, Vec<u8>)| {
        assert_eq!(kind, option_reply::INFO);
        (u16::from_be_bytes([data[0], data[1]]), data[2..].to_vec())
    };
    replies.into_iter().map(information).collect()
}

/// Point 7: INFO and GO are answered with one INFO_EXPORT of 12 bytes, and then ACK.
#[test]
fn info_and_go_describe_the_export() {
    let server = pattern();
    for number in [option::INFO, option::GO] {
        for requests in [
            &[][..],
            &[info::EXPORT],
            &[info::EXPORT, info::EXPORT],
            &ALL,
        ] {
            let mut raw = Raw::negotiating(&server);
            let information = informed(&mut raw, number, requests);
            let mut exports = information.iter().filter(|(kind, _)| *kind == info::EXPORT);
            let (_, data) = exports.next().unwrap();
            assert_eq!(data.len(), 10, "12 with the type");
            assert_eq!(data[..8], 65_536u64.to_be_bytes());
            assert_eq!(exports.next(), None);
        }
    }
}

/// Point 8: an unknown export is ERR_UNKNOWN, without any information, and the handshake goes on.
#[test]
fn go_for_an_unknown_export_is_unknown() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    for number in [option::INFO, option::GO] {
        for name in ["nosuch", " ", "../pattern", "\u{1}"] {
            let kind = raw.ask_one(number, &Raw::info_data(name, &ALL));
            assert_eq!(kind, option_reply::ERR_UNKNOWN, "{name}");
        }
    }
    raw.assert_negotiating();
    assert_eq!(raw.go("").size, 65_536);
}

/// Point 9: a name that is longer than the option is ERR_INVALID.
#[test]
fn a_name_longer_than_the_option_is_invalid() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    for number in [option::INFO, option::GO] {
        for length in [1, 2, 3, 0x7fff_ffff, u32::MAX] {
            let mut data = Raw::info_data("", &[]);
            data[..4].copy_from_slice(&length.to_be_bytes());
            let kind = raw.ask_one(number, &data);
            assert_eq!(kind, option_reply::ERR_INVALID, "a name of {length} bytes");
        }
    }
    raw.assert_negotiating();
}

/// Point 9: a number of information requests that doesn't fit the length is ERR_INVALID.
#[test]
fn a_wrong_number_of_requests_is_invalid() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    let right = Raw::info_data("", &[info::NAME, info::BLOCK_SIZE]);
    for count in [0u16, 1, 3, 0xffff] {
        let mut data = right.clone();
        data[4..6].copy_from_slice(&count.to_be_bytes());
        let kind = raw.ask_one(option::GO, &data);
        assert_eq!(kind, option_reply::ERR_INVALID, "{count} requests");
    }
    raw.assert_negotiating();
}

/// Point 9: INFO and GO that end too early, at any byte, are ERR_INVALID.
#[test]
fn a_short_info_is_invalid() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    let whole = Raw::info_data("name", &[info::BLOCK_SIZE]);
    for end in 0..whole.len() {
        let kind = raw.ask_one(option::INFO, &whole[..end]);
        assert_eq!(kind, option_reply::ERR_INVALID, "{end} bytes");
    }
    raw.assert_negotiating();
}

/// Point 10: information requests that the server doesn't know are ignored.
#[test]
fn unknown_information_requests_are_ignored() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    let requests = [4, 77, info::BLOCK_SIZE, 0x8000, 0xffff];
    let information = informed(&mut raw, option::GO, &requests);
    let kinds = information.iter().map(|(kind, _)| *kind);
    assert!(kinds.clone().all(|kind| kind <= info::BLOCK_SIZE));
    assert_eq!(kinds.filter(|kind| *kind == info::BLOCK_SIZE).count(), 1);
}

/// Point 10: as many requests as an option can hold are no reason to fail.
#[test]
fn many_information_requests_are_answered() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    let requests = [info::NAME, info::BLOCK_SIZE, 9].repeat(10_000);
    let information = informed(&mut raw, option::INFO, &requests);
    assert!(information.len() <= ALL.len(), "each at most once");
}

/// Point 11: LIST with data is ERR_INVALID.
#[test]
fn list_with_data_is_invalid() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    for length in [1, 4, 16] {
        let kind = raw.ask_one(option::LIST, &vec![0; length]);
        assert_eq!(kind, option_reply::ERR_INVALID);
    }
    raw.assert_negotiating();
}

/// Point 11: LIST without data names the exports.
#[test]
fn list_names_the_export() {
    let server = Server::plugin("pattern", &["size=64K", "--export", "disk"]);
    let replies = Raw::negotiating(&server).ask(option::LIST, &[]);
    assert_eq!(replies.len(), 2);
    let (kind, data) = &replies[0];
    assert_eq!(*kind, option_reply::SERVER);
    assert!(data.starts_with(b"\0\0\0\x04disk"));
}

/// Point 13: STRUCTURED_REPLY with data is ERR_INVALID, and negotiates nothing.
#[test]
fn structured_reply_with_data_is_invalid() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    assert_eq!(
        raw.ask_one(option::STRUCTURED_REPLY, b"x"),
        option_reply::ERR_INVALID
    );
    let mut transmission = raw.go("");
    transmission.request(0, command::READ, 5, 0, 16);
    assert_eq!(transmission.simple_reply(), (0, 5));
}

/// Point 13: a second STRUCTURED_REPLY is ACK or ERR_INVALID, and replies stay structured.
#[test]
fn a_second_structured_reply_does_no_harm() {
    let server = pattern();
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Structured);
    let kind = raw.ask_one(option::STRUCTURED_REPLY, &[]);
    assert!([option_reply::ACK, option_reply::ERR_INVALID].contains(&kind));
    let mut transmission = raw.go("");
    transmission.request(0, command::READ, 5, 0, 16);
    assert_eq!(transmission.chunk().2, 5);
}

/// Point 16: INFO and GO with the same data get the same replies.
#[test]
fn info_and_go_agree() {
    let server = Server::plugin("sparse", &["size=1M"]);
    for framing in FRAMINGS {
        for requests in [&[][..], &ALL] {
            let mut raw = Raw::negotiating(&server);
            raw.agree(framing);
            if framing.has_chunks() {
                assert!(raw.select_allocation("").is_some());
            }
            let told = informed(&mut raw, option::INFO, requests);
            assert_eq!(informed(&mut raw, option::GO, requests), told);
        }
    }
}

/// Point 27: the minimum, preferred and maximum block sizes have allowed values.
#[test]
fn block_sizes_are_valid() {
    let disk = Disk::empty(1 << 20);
    for server in [
        pattern(),
        Server::plugin("memory", &[]),
        Server::plugin("sparse", &[]),
        disk.serve(),
    ] {
        let mut raw = Raw::negotiating(&server);
        let information = informed(&mut raw, option::INFO, &[info::BLOCK_SIZE]);
        let (_, data) = information
            .iter()
            .find(|(kind, _)| *kind == info::BLOCK_SIZE)
            .unwrap();
        let sizes: Vec<u32> = data
            .chunks(4)
            .map(|size| u32::from_be_bytes(size.try_into().unwrap()))
            .collect();
        let [minimum, preferred, maximum] = sizes[..] else {
            panic!("{data:?}");
        };
        assert!(minimum.is_power_of_two() && minimum <= 65_536);
        assert!(preferred.is_power_of_two() && preferred >= minimum.max(512));
        assert!(maximum >= preferred && maximum.is_multiple_of(minimum));
        assert!(maximum >= LONGEST, "a payload of 32 MiB is the default");
    }
}

/// Point 28: a client that hasn't got the constraints may use any offset and length: exactly its bytes change.
#[test]
fn an_odd_write_changes_nothing_beside_it() {
    let disk = Disk::empty(1 << 20);
    for server in [Server::plugin("memory", &["size=1M"]), disk.serve()] {
        let mut dialog = Dialog::open(&server, Framing::Structured);
        assert_eq!(dialog.write(0, 0, &[0xee; 200_000]), 0);
        for (offset, length) in [(1, 1), (511, 2), (4095, 4098), (32_767, 65_538)] {
            assert_eq!(dialog.write(0, offset, &vec![0x11; length]), 0);
            let around = dialog.read(offset - 1, u32::try_from(length).unwrap() + 2);
            assert_eq!(around[0], 0xee);
            assert_eq!(around[1..=length], vec![0x11; length]);
            assert_eq!(around[length + 1], 0xee);
            assert_eq!(dialog.write(0, offset, &vec![0xee; length]), 0);
        }
    }
}

/// Point 29: an export with the default block sizes never replies BLOCK_SIZE_REQD.
#[test]
fn default_block_sizes_need_not_be_requested() {
    let server = pattern();
    for requests in [&[][..], &[info::BLOCK_SIZE]] {
        let mut raw = Raw::negotiating(&server);
        let _ = informed(&mut raw, option::INFO, requests);
        let _ = informed(&mut raw, option::GO, requests);
    }
}

/// Point 30: a write of 32 MiB is served.
#[test]
fn a_write_of_32_mib_is_served() {
    let disk = Disk::empty(LONGEST.into());
    let server = disk.serve();
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        assert_eq!(dialog.write(0, 0, &vec![0x5a; LONGEST as usize]), 0);
        dialog.assert_in_step();
    }
    assert!(disk.bytes().iter().all(|byte| *byte == 0x5a));
}

/// Point 30: a read of 32 MiB is served.
#[test]
fn a_read_of_32_mib_is_served() {
    let server = Server::plugin("pattern", &["size=64M", "--limit", "cpu=60s"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let bytes = dialog.read(8, LONGEST);
        assert_eq!(bytes[..8], 8u64.to_be_bytes());
        assert_eq!(bytes[bytes.len() - 8..], u64::from(LONGEST).to_be_bytes());
    }
}

/// Point 30: with the default limits, too, a plugin may fail it, but the server never disconnects the client.
#[test]
fn payloads_of_32_mib_are_no_attack() {
    let server = Server::plugin("memory", &["size=64M"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let _ = dialog.write(0, 0, &vec![0x5a; LONGEST as usize]);
        let _ = dialog.ask(0, command::READ, 0, LONGEST.into());
        let _ = dialog.ask(0, command::READ, 0, 16);
        dialog.disconnect();
    }
}
