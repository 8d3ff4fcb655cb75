//! Requests that are too long, or seem to be (points 45, 47, 48 of `CHECKLIST.md`).

use std::ffi::OsString;

use nbd_proto::wire::{CommandFlags, command, info};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Dialog, Disk, FRAMINGS, Random, Raw, Server, plugin};

const EPERM: u32 = Errno::Eperm.to_wire();
const EINVAL: u32 = Errno::Einval.to_wire();

/// The longest payload.
const LONGEST: usize = 32 << 20;

/// The memory that a client may make the server use, whatever it announces: a few buffers.
const BOUND: u64 = 16 << 20;

/// Sends a write that announces `length` bytes, with `sent` of them. Returns whether the server closed.
fn announce(server: &Server, framing: Framing, length: u64, sent: usize) -> bool {
    let mut dialog = Dialog::open(server, framing);
    let flags = match framing {
        Framing::Extended => CommandFlags::PAYLOAD_LEN.bits(),
        Framing::Simple | Framing::Structured => 0,
    };
    dialog.send(flags, command::WRITE, 0, length);
    let part = vec![0x25; 1 << 20];
    // The server may hang up at any time.
    let cut = (0..sent >> 20).any(|_| dialog.transmission.raw.try_send(&part).is_err());
    cut || dialog.transmission.raw.is_closed()
}

/// Point 45: draining the longest payload costs no memory.
#[test]
fn draining_costs_no_memory() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let payload = vec![0x25; LONGEST];
    let mut dialog = Dialog::open(&server, Framing::Structured);
    dialog.assert_in_step();
    let before = server.peak_memory();
    for _ in 0..4 {
        assert_eq!(dialog.write(0, 0, &payload), EPERM);
    }
    dialog.assert_in_step();
    let grown = server.peak_memory() - before;
    assert!(grown < BOUND, "{grown} bytes more");
}

/// Point 47: a write longer than the longest payload is drained, or closes.
#[test]
fn an_oversize_write_closes() {
    let server = Server::plugin("memory", &["size=1G"]);
    for framing in FRAMINGS {
        assert!(announce(
            &server,
            framing,
            LONGEST as u64 + 1,
            LONGEST + (1 << 20)
        ));
        server.assert_serves();
    }
}

/// Point 47: a write that announces 4 GiB, or the most that there is, costs no memory.
#[test]
fn an_announced_write_costs_no_memory() {
    let server = Server::plugin("memory", &["size=1G"]);
    server.assert_serves();
    let before = server.peak_memory();
    for framing in FRAMINGS {
        assert!(announce(&server, framing, u32::MAX.into(), 64 << 20));
    }
    for length in [1 << 32, 1 << 63, u64::MAX] {
        assert!(announce(&server, Framing::Extended, length, 64 << 20));
    }
    let grown = server.peak_memory() - before;
    assert!(grown < BOUND, "{grown} bytes more");
    server.assert_serves();
}

/// Point 47: a client that disconnects in the middle of a payload does no harm, and the server writes nothing.
#[test]
fn a_write_that_breaks_off_is_dropped() {
    let server = Server::plugin("memory", &["size=64M"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let flags = match framing {
            Framing::Extended => CommandFlags::PAYLOAD_LEN.bits(),
            Framing::Simple | Framing::Structured => 0,
        };
        dialog.send(flags, command::WRITE, 0, 1 << 20);
        dialog.transmission.raw.send(&vec![0xaa; 1 << 19]);
        dialog.transmission.raw.finish_sending();
        assert!(dialog.transmission.raw.is_closed());
    }
    let mut dialog = Dialog::open(&server, Framing::Structured);
    assert_eq!(dialog.read(0, 1 << 20), vec![0; 1 << 20]);
    server.assert_serves();
}

/// Point 47: the server refuses a read beyond the longest payload, and the connection stays usable.
#[test]
fn an_oversize_read_is_einval() {
    let server = Server::plugin("memory", &["size=5G"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        for length in [LONGEST as u64 + 1, 1 << 30, u32::MAX.into()] {
            // This doesn't use `ask`, which would reserve the whole length for the reply.
            let cookie = dialog.send(0, command::READ, 0, length);
            let answer = dialog.receive();
            assert_eq!((answer.cookie, answer.error), (cookie, EINVAL));
        }
        dialog.assert_in_step();
    }
}

/// Point 48: a command that has only an effect may be longer than any payload.
#[test]
fn long_effects_are_served() {
    let server = Server::plugin("memory", &["size=3G"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        for command in [command::TRIM, command::WRITE_ZEROES] {
            for length in [LONGEST as u64 + 1, 3 << 30] {
                assert_eq!(dialog.ask(0, command, 0, length).error, 0, "{command}");
            }
        }
        if framing.has_chunks() {
            let answer = dialog.ask(0, command::BLOCK_STATUS, 0, 3 << 30);
            assert_eq!((answer.error, answer.extents[0].length), (0, 3 << 30));
        }
        dialog.assert_in_step();
    }
}

/// Point 48: CACHE too.
#[test]
fn a_long_cache_is_served() {
    let disk = Disk::empty(1 << 30);
    let server = disk.serve();
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        assert_eq!(dialog.ask(0, command::CACHE, 0, 1 << 30).error, 0);
        dialog.assert_in_step();
    }
}

/// Point 48: effects of more than 4 GiB, which only extended headers can carry.
#[test]
fn effects_of_64_bits_are_served() {
    let server = Server::plugin("memory", &["size=1T"]);
    let mut dialog = Dialog::open(&server, Framing::Extended);
    for command in [command::TRIM, command::WRITE_ZEROES, command::BLOCK_STATUS] {
        assert_eq!(dialog.ask(0, command, 0, 1 << 40).error, 0, "{command}");
    }
    dialog.assert_in_step();
}

/// Point 48: an effect that exceeds the plugin's limits fails, but doesn't end the connection.
#[test]
fn a_long_effect_that_fails_does_not_disconnect() {
    let server = Server::plugin("memory", &["size=1T"]);
    let mut dialog = Dialog::open(&server, Framing::Extended);
    let no_hole = CommandFlags::NO_HOLE.bits();
    let answer = dialog.ask(no_hole, command::WRITE_ZEROES, 0, 1 << 40);
    assert_ne!(answer.error, 0, "the plugin has no memory for that");
    let _ = dialog.ask(0, command::READ, 0, 16);
}

/// An export whose largest request is 8 MiB.
fn small_blocks() -> Server {
    let filter = format!("{},memory=yes,block=4K", plugin("cow").display());
    let below = plugin("pattern").into_os_string();
    let mut words: Vec<OsString> = ["--filter", &filter, "--limit", "memory=256MiB"]
        .map(OsString::from)
        .to_vec();
    words.extend([below, "size=64M".into()]);
    Server::start(words)
}

/// A client that didn't request block sizes may send up to 32 MiB: the host cuts that for the plugin.
#[test]
fn a_client_that_did_not_ask_for_block_sizes_may_send_the_longest_payload() {
    let server = small_blocks();
    let length = LONGEST - 512;
    for framing in FRAMINGS {
        let mut dialog = Dialog::with_export(Raw::negotiating(&server), framing, "", &[]);
        let bytes = Random::seeded(framing as u64).bytes(length);
        for flags in [0, CommandFlags::FUA.bits()] {
            assert_eq!(dialog.write(flags, 512, &bytes), 0, "{framing:?}");
        }
        let read = dialog.read(512, u32::try_from(length).unwrap());
        assert!(read == bytes, "{framing:?}");
        dialog.assert_in_step();
    }
}

/// DF: one chunk, whatever the number of reads.
#[test]
fn a_read_that_is_cut_for_the_plugin_is_one_chunk_with_df() {
    let server = small_blocks();
    let mut dialog = Dialog::with_export(Raw::negotiating(&server), Framing::Structured, "", &[]);
    let length = 20 << 20;
    let answer = dialog.ask(CommandFlags::DF.bits(), command::READ, 0, length);
    assert_eq!(answer.error, 0);
    assert_eq!(answer.chunks.len(), 1);
}

/// A client that requested block sizes has to keep to them.
#[test]
fn a_client_that_asked_for_block_sizes_is_held_to_them() {
    let server = small_blocks();
    for framing in FRAMINGS {
        let infos = [info::BLOCK_SIZE];
        let mut dialog = Dialog::with_export(Raw::negotiating(&server), framing, "", &infos);
        assert_eq!(dialog.write(0, 0, &vec![1; 8 << 20]), 0);
        let longer = vec![1; (8 << 20) + 1];
        assert_eq!(dialog.write(0, 0, &longer), EINVAL);
        dialog.assert_in_step();
    }
}
