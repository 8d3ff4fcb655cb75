//! The range of a request, and the payload of a request that fails (points 43–46 of `CHECKLIST.md`).

use nbd_proto::wire::{ExportFlags, command};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{DISGUISED, Dialog, Disk, FRAMINGS, Server, guest};

const EPERM: u32 = Errno::Eperm.to_wire();
const EINVAL: u32 = Errno::Einval.to_wire();
const ENOSPC: u32 = Errno::Enospc.to_wire();

const SIZE: u64 = 1 << 20;

fn memory() -> Server {
    Server::plugin("memory", &["size=1M"])
}

fn pattern() -> Server {
    Server::plugin("pattern", &["size=1M"])
}

/// As [`nbdbox_tests::assert_error`], for requests without flags.
fn assert_error(server: &Server, requests: &[(u16, u64, u64)], error: u32) {
    let flagless = |&(command, offset, length): &(u16, u64, u64)| (0, command, offset, length);
    let requests: Vec<_> = requests.iter().map(flagless).collect();
    nbdbox_tests::assert_error(server, &requests, error);
}

/// Ranges that end past the end, by a byte or by an overflow. Lengths fit 32 bits.
const PAST_END: [(u64, u64); 6] = [
    (SIZE, 1),
    (SIZE - 1, 2),
    (0, SIZE + 1),
    (u64::MAX, 1),
    (u64::MAX - 511, 512),
    (1 << 63, 4096),
];

/// Point 43: READ, TRIM, CACHE and BLOCK_STATUS past the end are EINVAL.
#[test]
fn read_past_end_is_einval() {
    let disk = Disk::empty(SIZE);
    let server = disk.serve();
    for command in [
        command::READ,
        command::TRIM,
        command::CACHE,
        command::BLOCK_STATUS,
    ] {
        assert_error(
            &server,
            &PAST_END.map(|(offset, length)| (command, offset, length)),
            EINVAL,
        );
    }
}

/// Point 43: zeroing past the end is ENOSPC.
#[test]
fn zero_past_end_is_enospc() {
    let zeroes = PAST_END.map(|(offset, length)| (command::WRITE_ZEROES, offset, length));
    assert_error(&memory(), &zeroes, ENOSPC);
}

/// Point 43: a WRITE past the end is ENOSPC, and writes nothing.
#[test]
fn write_past_end_is_enospc() {
    let server = memory();
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        for (offset, length) in PAST_END {
            let data = vec![0xaa; usize::try_from(length).unwrap()];
            assert_eq!(
                dialog.write(0, offset, &data),
                ENOSPC,
                "{length} at {offset}"
            );
        }
        assert_eq!(dialog.read(SIZE - 16, 16), [0; 16]);
    }
}

/// Point 43: lengths of 64 bits don't wrap either.
#[test]
fn lengths_of_64_bits_do_not_wrap() {
    let server = memory();
    let mut dialog = Dialog::open(&server, Framing::Extended);
    for (offset, length) in [
        (1, u64::MAX),
        (u64::MAX, u64::MAX),
        (512, u64::MAX - 511),
        (0, 1 << 32),
    ] {
        for (command, error) in [
            (command::READ, EINVAL),
            (command::TRIM, EINVAL),
            (command::BLOCK_STATUS, EINVAL),
            (command::WRITE_ZEROES, ENOSPC),
        ] {
            let answer = dialog.ask(0, command, offset, length);
            assert_eq!(answer.error, error, "{command}: {length} at {offset}");
        }
    }
    dialog.assert_in_step();
}

/// Point 44: changing a read-only export is EPERM.
#[test]
fn changing_a_read_only_export_is_eperm() {
    for server in [
        pattern(),
        Server::plugin("memory", &["size=1M", "--read-only"]),
    ] {
        let requests = [command::TRIM, command::WRITE_ZEROES].map(|command| (command, 0, 512));
        assert_error(&server, &requests, EPERM);
        for framing in FRAMINGS {
            let mut dialog = Dialog::open(&server, framing);
            assert!(dialog.has(ExportFlags::READ_ONLY));
            assert_eq!(dialog.write(0, 0, &DISGUISED), EPERM);
            dialog.assert_in_step();
        }
    }
}

/// Point 45: the server drains the payload of a write that it refuses, and understands the next request.
#[test]
fn a_refused_payload_is_drained() {
    let (writable, read_only) = (memory(), pattern());
    for framing in FRAMINGS {
        for repeat in [1, 10_000, 100_000] {
            let payload = DISGUISED.repeat(repeat);
            let mut dialog = Dialog::open(&writable, framing);
            assert_eq!(dialog.write(0, SIZE, &payload), ENOSPC);
            dialog.assert_in_step();
            let mut dialog = Dialog::open(&read_only, framing);
            assert_eq!(dialog.write(0, 0, &payload), EPERM);
            dialog.assert_in_step();
        }
    }
}

/// Point 45: the same for a write that the plugin fails.
#[test]
fn a_failed_payload_is_drained() {
    let bad = guest("bad").into_os_string();
    let server = Server::start([bad, "at=write".into(), "do=einval".into()]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        assert_eq!(dialog.write(0, 0, &DISGUISED), EINVAL);
        dialog.assert_in_step();
    }
}

/// Point 46: requests of no bytes may get any reply, but don't end the connection.
#[test]
fn no_bytes_are_no_reason_to_disconnect() {
    let disk = Disk::empty(SIZE);
    let server = disk.serve();
    for framing in FRAMINGS {
        for offset in [0, 1, SIZE, SIZE + 1, u64::MAX] {
            let mut dialog = Dialog::open(&server, framing);
            for command in [
                command::READ,
                command::TRIM,
                command::CACHE,
                command::WRITE_ZEROES,
                command::BLOCK_STATUS,
            ] {
                let _ = dialog.ask(0, command, offset, 0);
            }
            let _ = dialog.write(0, offset, &[]);
            dialog.assert_in_step();
        }
    }
}
