//! BLOCK_STATUS (points 59–65 of `CHECKLIST.md`), with 32 and with 64 bits.

use nbd_proto::wire::{CommandFlags, chunk, command};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Answer, Dialog, Disk, Random, Server, StatusDescriptor};

const REQ_ONE: u16 = CommandFlags::REQ_ONE.bits();
const HOLE: u64 = 1;
const ZERO: u64 = 2;

/// The framings that have block status.
const CHUNKED: [Framing; 2] = [Framing::Structured, Framing::Extended];

const SIZE: u64 = 8 << 20;

/// Runs of 64 KiB of all four kinds.
fn sparse() -> Server {
    Server::plugin("sparse", &["size=8M", "runlength=64K"])
}

fn status(dialog: &mut Dialog, flags: u16, offset: u64, length: u64) -> Answer {
    let answer = dialog.ask(flags, command::BLOCK_STATUS, offset, length);
    assert_eq!(answer.error, 0, "{}", answer.text);
    answer
}

fn sum(extents: &[StatusDescriptor]) -> u64 {
    extents.iter().map(|extent| extent.length).sum()
}

/// Checks ranges of many sizes, of which some end at the end of the export.
fn for_many_ranges(check: impl Fn(Framing, &mut Dialog, u64, u64)) {
    let server = sparse();
    let mut random = Random::seeded(61);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        for round in 0..100 {
            let offset = random.of(0..SIZE);
            let rest = SIZE - offset;
            let length = if round % 10 == 0 {
                rest
            } else {
                random.of(0..rest) + 1
            };
            check(framing, &mut dialog, offset, length);
        }
    }
}

/// Point 59: one chunk for the selected context, of 4 + 8n or 8 + 16n bytes, n ≥ 1, and no length
/// is 0.
#[test]
fn a_chunk_for_the_context() {
    for_many_ranges(|framing, dialog, offset, length| {
        let answer = status(dialog, 0, offset, length);
        let (kind, fields, each) = match framing {
            Framing::Extended => (chunk::BLOCK_STATUS_EXT, 8, 16),
            Framing::Simple | Framing::Structured => (chunk::BLOCK_STATUS, 4, 8),
        };
        assert_eq!((answer.chunks.len(), answer.count(kind)), (1, 1));
        let payload = &answer.chunks[0].payload;
        assert_eq!(payload[..4], dialog.context.unwrap().to_be_bytes());
        assert!((payload.len() - fields).is_multiple_of(each) && payload.len() > fields);
        assert!(answer.extents.iter().all(|extent| extent.length > 0));
    });
}

/// Point 60: REQ_ONE is answered with one descriptor, no longer than the request.
#[test]
fn req_one_is_one_descriptor() {
    for_many_ranges(|_, dialog, offset, length| {
        let answer = status(dialog, REQ_ONE, offset, length);
        assert_eq!(answer.extents.len(), 1);
        assert!(answer.extents[0].length <= length);
        let all = status(dialog, 0, offset, length);
        assert_eq!(answer.extents[0].flags, all.extents[0].flags);
    });
}

/// Point 60: also where the extent is much longer than the request.
#[test]
fn req_one_in_a_long_hole() {
    let server = Server::plugin("memory", &["size=1G"]);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        for length in [1, 511, 512, 1 << 20] {
            let answer = status(&mut dialog, REQ_ONE, 12_345, length);
            let hole = StatusDescriptor {
                length,
                flags: HOLE | ZERO,
            };
            assert_eq!(answer.extents, [hole]);
        }
    }
}

/// Point 61: all descriptors but the last are together shorter than the request.
#[test]
fn only_the_last_descriptor_reaches_the_end() {
    for_many_ranges(|_, dialog, offset, length| {
        let answer = status(dialog, 0, offset, length);
        let (_, before) = answer.extents.split_last().unwrap();
        assert!(sum(before) < length);
        assert!(
            offset + sum(&answer.extents) <= SIZE,
            "past the export's end"
        );
    });
}

/// Point 62: however many extents there are and are allowed, no more than 2^20 are sent.
#[test]
fn no_more_than_a_million_descriptors() {
    let limits = "extents=1048576,cpu=60s,wall=60s";
    let arguments = ["size=4M", "runlength=1", "--limit", limits];
    let server = Server::plugin("sparse", &arguments);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = status(&mut dialog, 0, 0, 4 << 20);
        let count = answer.extents.len();
        assert!(count > 1 << 19, "the disk has many extents: {count}");
        assert!(count <= 1 << 20, "{count} descriptors");
    }
}

/// Point 62: by default far fewer; what is left out can be asked for.
#[test]
fn a_shorter_reply_can_be_continued() {
    let server = Server::plugin(
        "sparse",
        &["size=256K", "runlength=1", "--limit", "cpu=60s"],
    );
    let mut dialog = Dialog::open(&server, Framing::Structured);
    let (mut at, mut replies) = (0, 0);
    while at < 256 << 10 {
        let answer = status(&mut dialog, 0, at, (256 << 10) - at);
        assert!(answer.extents.len() <= 16_384);
        at += sum(&answer.extents);
        replies += 1;
    }
    assert!(replies > 1);
}

/// Point 63: neighbours differ.
#[test]
fn neighbours_differ() {
    for_many_ranges(|_, dialog, offset, length| {
        let answer = status(dialog, 0, offset, length);
        let mut pairs = answer.extents.windows(2);
        assert!(pairs.all(|pair| pair[0].flags != pair[1].flags));
    });
}

/// Point 63: of a request that is aligned to 512 the lengths are multiples of 512.
#[test]
fn lengths_are_whole_sectors() {
    let server = sparse();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        for (offset, length) in [(0, SIZE), (512, 100_000 * 10), (65_536 + 1024, 1 << 20)] {
            let answer = status(&mut dialog, 0, offset, length / 512 * 512);
            let (_, before) = answer.extents.split_last().unwrap();
            assert!(
                before
                    .iter()
                    .all(|extent| extent.length.is_multiple_of(512))
            );
        }
    }
}

/// Point 63: the end of an export that ends inside a sector is the exception.
#[test]
fn the_end_of_the_export_need_not_be_a_sector() {
    let disk = Disk::holding(&[1; 1000]);
    let server = disk.serve();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = status(&mut dialog, 0, 0, 1000);
        assert_eq!(sum(&answer.extents), 1000);
    }
}

/// Point 64: only HOLE and ZERO are ever set, and both mean what they say.
#[test]
fn reserved_flags_are_zero() {
    for_many_ranges(|_, dialog, offset, length| {
        let answer = status(dialog, 0, offset, length);
        assert!(
            answer
                .extents
                .iter()
                .all(|extent| extent.flags & !(HOLE | ZERO) == 0)
        );
    });
}

/// Point 64: what has the flag ZERO reads as zeroes.
#[test]
fn zero_extents_read_as_zeroes() {
    let server = sparse();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let extents = status(&mut dialog, 0, 0, SIZE).extents;
        let kinds: std::collections::HashSet<u64> =
            extents.iter().map(|extent| extent.flags).collect();
        assert_eq!(kinds.len(), 4, "all kinds");
        let mut at = 0;
        for extent in extents {
            let bytes = dialog.read(at, u32::try_from(extent.length).unwrap());
            let zero = bytes.iter().all(|byte| *byte == 0);
            assert!(
                zero || extent.flags & ZERO == 0,
                "{} bytes at {at}",
                extent.length
            );
            at += extent.length;
        }
    }
}

/// Point 65: on a disk that is full, what isn't said to be a hole can be written again.
#[test]
fn an_allocated_extent_never_lacks_space() {
    let server = Server::plugin("memory", &["size=64M", "--limit", "memory=8M"]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    let block = [7; 32 << 10];
    let errors: Vec<u32> = (0..2048)
        .map(|at| dialog.write(0, at << 15, &block))
        .collect();
    let enospc = Errno::Enospc.to_wire();
    assert!(errors.contains(&enospc) && errors.iter().all(|error| [0, enospc].contains(error)));
    let mut at = 0;
    let mut allocated = 0;
    for extent in status(&mut dialog, 0, 0, 64 << 20).extents {
        if extent.flags & HOLE == 0 {
            let again = vec![8; usize::try_from(extent.length).unwrap()];
            for (index, piece) in again.chunks(32 << 10).enumerate() {
                let offset = at + index as u64 * (32 << 10);
                assert_eq!(dialog.write(0, offset, piece), 0, "at {offset}");
            }
            allocated += extent.length;
        }
        at += extent.length;
    }
    assert!(allocated > 1 << 20);
}

/// Point 65: zeroing with NO_HOLE leaves what can be written; without, it may be a hole and says so.
#[test]
fn no_hole_zeroes_are_allocated() {
    let server = Server::plugin("memory", &["size=1M"]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    let no_hole = CommandFlags::NO_HOLE.bits();
    assert_eq!(
        dialog.ask(no_hole, command::WRITE_ZEROES, 0, 1 << 20).error,
        0
    );
    let extents = status(&mut dialog, 0, 0, 1 << 20).extents;
    assert!(
        extents.iter().all(|extent| extent.flags & HOLE == 0),
        "{extents:?}"
    );
}
