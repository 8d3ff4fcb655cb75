//! Reads in chunks (points 53–58 of `CHECKLIST.md`). The harness checks the rules of points 54, 55, 57 and 58 for every
//! reply; these are the cases.

use nbd_proto::wire::{CommandFlags, ExportFlags, STRUCTURED_REPLY_MAGIC, chunk, command};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Dialog, Disk, FRAMINGS, Random, Raw, Server, guest};

const EINVAL: u32 = Errno::Einval.to_wire();
const DF: u16 = CommandFlags::DF.bits();

/// The framings that have chunks.
const CHUNKED: [Framing; 2] = [Framing::Structured, Framing::Extended];

/// The longest read.
const LONGEST: u64 = 32 << 20;

/// Data, holes, zeroes and undefined ranges, in runs that are long enough for hole chunks.
fn sparse() -> Server {
    Server::plugin(
        "sparse",
        &["size=64M", "runlength=100000", "--limit", "cpu=60s"],
    )
}

/// Point 53: once structured replies are negotiated, no reply to a READ is simple, not even an immediate refusal.
#[test]
fn no_read_is_answered_simply() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Structured);
    let mut transmission = raw.go("");
    for (flags, offset, length) in [
        (0, 0, 512),
        (0, 0, 0),
        (0, 1 << 20, 1),
        (0, u64::MAX, 1),
        (0, 0, u32::MAX),
        (1 << 15, 0, 512),
        (CommandFlags::REQ_ONE.bits(), 0, 512),
    ] {
        transmission.request(flags, command::READ, 3, offset, length);
        let (flags, _, cookie, _) = transmission.chunk();
        assert_eq!((flags, cookie), (chunk::FLAG_DONE, 3));
    }
}

/// Point 53: in nbdbox no other reply is simple either.
#[test]
fn no_reply_is_simple() {
    let disk = Disk::empty(1 << 20);
    let server = disk.serve();
    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Structured);
    let mut transmission = raw.go("");
    for number in [
        command::FLUSH,
        command::TRIM,
        command::CACHE,
        command::WRITE_ZEROES,
        77,
    ] {
        transmission.request(0, number, 3, 0, 0);
        assert_eq!(transmission.raw.u32(), STRUCTURED_REPLY_MAGIC);
        let _ = transmission.raw.receive(12);
        let length = transmission.raw.u32();
        let _ = transmission.raw.receive(length as usize);
    }
}

/// Point 54: the chunks lie in the request, don't overlap, cover it and aren't empty, and only the last has DONE. Put
/// together, they are the bytes of a simple read.
#[test]
fn chunks_are_the_read() {
    let server = sparse();
    let mut random = Random::seeded(54);
    let mut simple = Dialog::open(&server, Framing::Simple);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        for _ in 0..60 {
            let offset = random.of(0..60 << 20);
            let length = u32::try_from(random.of(1..1 << 20)).unwrap();
            let whole = simple.read(offset, length);
            assert!(
                dialog.read(offset, length) == whole,
                "{length} bytes at {offset}"
            );
        }
    }
}

/// Point 54: the same for reads of one byte, and of the maximum.
#[test]
fn the_shortest_and_the_longest_read() {
    let server = sparse();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let long = dialog.read(7, 32 << 20);
        for at in [0usize, 99_992, 99_993, 250_000] {
            assert_eq!(dialog.read(7 + at as u64, 1), long[at..=at]);
        }
    }
}

/// Point 55: zeroes come as OFFSET_HOLE chunks, of 12 bytes and a length other than 0.
#[test]
fn long_zeroes_are_hole_chunks() {
    let server = sparse();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = dialog.ask(0, command::READ, 0, LONGEST);
        let holes = answer
            .chunks
            .iter()
            .filter(|chunk| chunk.kind == chunk::OFFSET_HOLE);
        let zeroes: u64 = holes
            .map(|hole| u64::from(u32::from_be_bytes(hole.payload[8..].try_into().unwrap())))
            .sum();
        assert!(zeroes > LONGEST / 10, "half of it is zeroes: {zeroes}");
    }
}

/// Point 56: a READ with DF is one content chunk, zeroes included.
#[test]
fn df_is_one_content_chunk() {
    let server = sparse();
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        assert!(dialog.has(ExportFlags::SEND_DF));
        for length in [1, 512, 65_536, 1 << 20] {
            let fragments = dialog.ask(0, command::READ, 99_000, length);
            let whole = dialog.ask(DF, command::READ, 99_000, length);
            assert_eq!(whole.error, 0);
            assert_eq!(whole.count(chunk::OFFSET_DATA), 1);
            assert_eq!(whole.count(chunk::OFFSET_HOLE), 0);
            assert!(whole.data == fragments.data);
        }
    }
}

/// Point 56: a READ with DF of a hole alone is data too.
#[test]
fn df_makes_zeroes_explicit() {
    let server = Server::plugin("memory", &["size=1M"]);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = dialog.ask(DF, command::READ, 0, 65_536);
        assert_eq!(answer.count(chunk::OFFSET_DATA), 1);
        assert_eq!(answer.data, vec![0; 65_536]);
    }
}

/// Point 56: DF up to 64 KiB succeeds, anywhere.
#[test]
fn df_up_to_64_kib_succeeds() {
    let server = sparse();
    let mut random = Random::seeded(56);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    for _ in 0..200 {
        let length = random.of(1..65_537);
        let answer = dialog.ask(DF, command::READ, random.of(0..60 << 20), length);
        assert_eq!(answer.error, 0);
    }
}

/// Point 57: a read that fails half-way ends in an error chunk, in step. Here the host's file has become shorter.
#[test]
fn a_read_that_fails_half_way_is_an_error() {
    let disk = Disk::empty(1 << 20);
    let server = disk.serve();
    let mut dialogs = FRAMINGS.map(|framing| Dialog::open(&server, framing));
    disk.resize(65_536);
    for dialog in &mut dialogs {
        for flags in if dialog.has(ExportFlags::SEND_DF) {
            &[0, DF][..]
        } else {
            &[0]
        } {
            let answer = dialog.ask(*flags, command::READ, 65_024, 1024);
            assert_eq!(answer.error, Errno::Eio.to_wire());
        }
        assert_eq!(dialog.read(65_024, 512), [0; 512]);
    }
}

/// Point 57: a plugin that fills too little or too much of a reply fails the read, and the client takes nothing of it
/// for data.
#[test]
fn a_reply_of_the_wrong_length_is_an_error() {
    for deed in ["do=short", "do=long", "do=twice", "do=untouched"] {
        let bad = guest("bad").into_os_string();
        let server = Server::start([bad, "at=read".into(), deed.into(), "offset=4096".into()]);
        for framing in FRAMINGS {
            let mut dialog = Dialog::open(&server, framing);
            let answer = dialog.ask(0, command::READ, 4096, 512);
            assert_ne!(answer.error, 0, "{deed}");
            assert_eq!(dialog.read(0, 512), [0x42; 512]);
        }
    }
}

/// Point 58: a structured error has an error other than 0, and a text whose length is within both bounds.
#[test]
fn errors_have_a_text() {
    let server = Server::plugin("pattern", &["size=1M"]);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = dialog.ask(0, command::READ, 1 << 20, 1);
        assert_eq!((answer.error, answer.chunks.len()), (EINVAL, 1));
        assert_eq!(answer.chunks[0].payload.len(), 6 + answer.text.len());
        assert_ne!(answer.text, "");
    }
}

/// Point 58: the plugin's text goes with its error.
#[test]
fn a_plugins_words_reach_the_client() {
    let bad = guest("bad").into_os_string();
    let server = Server::start([
        bad,
        "at=read".into(),
        "do=explain".into(),
        "offset=0".into(),
    ]);
    for framing in CHUNKED {
        let mut dialog = Dialog::open(&server, framing);
        let answer = dialog.ask(0, command::READ, 0, 512);
        assert_eq!(answer.error, Errno::Eio.to_wire());
        assert_eq!(answer.text, "the words of the plugin");
    }
}
