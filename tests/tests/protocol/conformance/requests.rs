//! Requests with an error, and the reply to them (points 38–42 of `CHECKLIST.md`).

use nbd_proto::wire::{CommandFlags, ExportFlags, command};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{
    DISGUISED, Dialog, Disk, FRAMINGS, Raw, Server, assert_error, foreign_magic, guest,
};

const EPERM: u32 = Errno::Eperm.to_wire();
const EINVAL: u32 = Errno::Einval.to_wire();
const ENOTSUP: u32 = Errno::Enotsup.to_wire();

const FUA: u16 = CommandFlags::FUA.bits();
const NO_HOLE: u16 = CommandFlags::NO_HOLE.bits();
const DF: u16 = CommandFlags::DF.bits();
const REQ_ONE: u16 = CommandFlags::REQ_ONE.bits();
const FAST_ZERO: u16 = CommandFlags::FAST_ZERO.bits();

const SIZE: u64 = 1 << 20;

fn memory() -> Server {
    Server::plugin("memory", &["size=1M"])
}

fn pattern() -> Server {
    Server::plugin("pattern", &["size=1M"])
}

/// Point 38: the server returns any cookie unchanged, also when the client uses it again.
#[test]
fn cookies_are_echoed() {
    let server = pattern();
    let mut transmission = Raw::negotiating(&server).go("");
    for cookie in [0, 1, u64::MAX, 0x6744_6698_2560_9513, 0, u64::MAX] {
        transmission.request(0, command::READ, cookie, 8, 8);
        assert_eq!(transmission.simple_reply(), (0, cookie));
        assert_eq!(transmission.raw.u64(), 8);
        transmission.request(0, command::READ, cookie, SIZE, 8);
        assert_eq!(transmission.simple_reply(), (EINVAL, cookie));
    }
}

/// Point 38: requests in flight may have the same cookie; the server answers each.
#[test]
fn equal_cookies_are_each_answered() {
    let server = pattern();
    let mut transmission = Raw::negotiating(&server).go("");
    for _ in 0..10 {
        transmission.request(0, command::READ, 7, 8, 8);
    }
    for _ in 0..10 {
        assert_eq!(transmission.simple_reply(), (0, 7));
        assert_eq!(transmission.raw.u64(), 8);
    }
}

/// Point 39: a wrong magic closes the connection, also that of another framing.
#[test]
fn a_wrong_request_magic_closes() {
    let server = pattern();
    for framing in FRAMINGS {
        for magic in [0, 0x2560_9512, foreign_magic(framing)] {
            let mut dialog = Dialog::open(&server, framing);
            let raw = &mut dialog.transmission.raw;
            raw.send(&magic.to_be_bytes());
            // The server may hang up before it gets these.
            let _ = raw.try_send(&[0; 28]);
            assert!(raw.is_closed(), "{magic:#x}");
            server.assert_serves();
        }
    }
}

/// Point 40: an unknown command is EINVAL, and the connection stays usable.
#[test]
fn an_unknown_command_is_einval() {
    let unknown = [8, 9, 255, 256, 0x8000, 0xffff].map(|command| (0, command, 0, 512));
    assert_error(&memory(), &unknown, EINVAL);
}

/// Point 40: so is a command that wasn't advertised.
#[test]
fn an_unadvertised_command_is_einval() {
    let server = pattern();
    assert!(!Dialog::open(&server, Framing::Simple).has(ExportFlags::SEND_CACHE));
    assert_error(&server, &[(0, command::CACHE, 0, 512)], EINVAL);
}

/// Point 41: an unknown flag is EINVAL.
#[test]
fn an_unknown_flag_is_einval() {
    let server = memory();
    let commands = [
        command::READ,
        command::TRIM,
        command::WRITE_ZEROES,
        command::BLOCK_STATUS,
    ];
    for flag in [1 << 6, 1 << 7, 1 << 15] {
        assert_error(
            &server,
            &commands.map(|command| (flag, command, 0, 512)),
            EINVAL,
        );
    }
}

/// Point 41: an unknown flag on a WRITE is EINVAL, and the server drains the payload.
#[test]
fn an_unknown_flag_on_a_write_is_einval() {
    let server = memory();
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        for flag in [NO_HOLE, DF, REQ_ONE, FAST_ZERO, 1 << 6, 1 << 15] {
            assert_eq!(dialog.write(flag, 0, &DISGUISED), EINVAL, "{flag:#x}");
        }
        assert_eq!(dialog.read(0, 32), [0; 32], "nothing was written");
    }
}

/// Point 41: a flag on a command that doesn't take it is EINVAL.
#[test]
fn a_misplaced_flag_is_einval() {
    let disk = Disk::empty(SIZE);
    let misplaced = [
        (command::READ, &[NO_HOLE, REQ_ONE, FAST_ZERO][..]),
        (command::TRIM, &[NO_HOLE, DF, REQ_ONE, FAST_ZERO]),
        (command::CACHE, &[NO_HOLE, DF, REQ_ONE, FAST_ZERO]),
        (command::WRITE_ZEROES, &[DF, REQ_ONE]),
        (command::BLOCK_STATUS, &[NO_HOLE, DF, FAST_ZERO]),
    ];
    let requests: Vec<_> = misplaced
        .into_iter()
        .flat_map(|(command, flags)| flags.iter().map(move |flag| (*flag, command, 0, 512)))
        .collect();
    assert_error(&disk.serve(), &requests, EINVAL);
    let flags = [NO_HOLE, DF, REQ_ONE, FAST_ZERO];
    assert_error(
        &memory(),
        &flags.map(|flag| (flag, command::FLUSH, 0, 0)),
        EINVAL,
    );
}

/// Point 41: DF without structured replies wasn't advertised, and is EINVAL.
#[test]
fn df_with_simple_replies_is_einval() {
    let server = pattern();
    let mut dialog = Dialog::open(&server, Framing::Simple);
    assert!(!dialog.has(ExportFlags::SEND_DF));
    assert_eq!(dialog.ask(DF, command::READ, 0, 512).error, EINVAL);
    dialog.assert_in_step();
}

/// Point 41: every command takes FUA, if it's advertised.
#[test]
fn fua_is_taken_on_every_command() {
    let disk = Disk::empty(SIZE);
    let server = disk.serve();
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        assert!(dialog.has(ExportFlags::SEND_FUA | ExportFlags::SEND_CACHE));
        assert_eq!(dialog.write(FUA, 0, &[1; 512]), 0);
        let ranged = [
            command::READ,
            command::TRIM,
            command::CACHE,
            command::WRITE_ZEROES,
        ];
        for command in ranged {
            assert_eq!(dialog.ask(FUA, command, 0, 512).error, 0, "{command}");
        }
        assert_eq!(dialog.ask(FUA, command::FLUSH, 0, 0).error, 0);
        if framing.has_chunks() {
            assert_eq!(dialog.ask(FUA, command::BLOCK_STATUS, 0, 512).error, 0);
        }
        dialog.send(FUA, command::DISC, 0, 0);
        assert!(dialog.transmission.raw.is_closed());
    }
}

/// Point 42: a FAST_ZERO that would be slow is ENOTSUP, and changes nothing.
#[test]
fn a_fast_zero_that_is_slow_is_enotsup() {
    let server = memory();
    let mut dialog = Dialog::open(&server, Framing::Structured);
    assert!(dialog.has(ExportFlags::SEND_FAST_ZERO));
    assert_eq!(dialog.write(0, 0, &[0x77; 4096]), 0);
    let answer = dialog.ask(FAST_ZERO | NO_HOLE, command::WRITE_ZEROES, 0, 4096);
    assert_eq!(answer.error, ENOTSUP);
    assert_eq!(dialog.read(0, 4096), [0x77; 4096]);
}

/// Point 42: a FAST_ZERO that is fast makes zeroes.
#[test]
fn a_fast_zero_that_is_fast_zeroes() {
    let server = memory();
    let mut dialog = Dialog::open(&server, Framing::Structured);
    assert_eq!(dialog.write(0, 0, &[0x77; 4096]), 0);
    assert_eq!(
        dialog.ask(FAST_ZERO, command::WRITE_ZEROES, 0, 4096).error,
        0
    );
    assert_eq!(dialog.read(0, 4096), [0; 4096]);
}

/// Point 42: without FAST_ZERO, zeroing is never ENOTSUP, even if the plugin returns that.
#[test]
fn enotsup_is_for_fast_zero_only() {
    let bad = guest("bad").into_os_string();
    let server = Server::start([bad, "at=zero".into(), "do=enotsup".into()]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        for flags in [0, NO_HOLE, FUA] {
            let error = dialog.ask(flags, command::WRITE_ZEROES, 0, 4096).error;
            assert!(error != 0 && error != ENOTSUP, "{flags}");
        }
        let answer = dialog.ask(FAST_ZERO, command::WRITE_ZEROES, 0, 4096);
        assert_eq!(answer.error, ENOTSUP);
    }
}

/// Point 42: a FAST_ZERO that wasn't advertised is an error.
#[test]
fn an_unadvertised_fast_zero_is_an_error() {
    let server = pattern();
    let mut dialog = Dialog::open(&server, Framing::Structured);
    assert!(!dialog.has(ExportFlags::SEND_FAST_ZERO));
    let answer = dialog.ask(FAST_ZERO, command::WRITE_ZEROES, 0, 512);
    assert!([EINVAL, EPERM].contains(&answer.error));
    dialog.assert_in_step();
}
