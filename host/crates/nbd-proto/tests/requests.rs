//! The server's request parser, rule by rule (points 28, 37–48, 52, 65–69).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::client::{Request, filter_payload};
use nbd_proto::wire::command;
use nbd_proto::{
    BlockSizes, Broken, Command, CommandFlags, ContextId, Cookie, Errno, Export, ExportFlags,
    Framing, Incoming, Parsed, Session, WriteFlags, limits,
};

use script::export;

const ALL: [Framing; 3] = [Framing::Simple, Framing::Structured, Framing::Extended];
const CONTEXT: ContextId = ContextId(7);
const COOKIE: Cookie = Cookie(0xdead_beef_0bad_cafe);
const SIZE: u64 = 1 << 30;
/// Every command, and some numbers that are none.
const KINDS: [u16; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 99, u16::MAX];

fn session(framing: Framing) -> Session {
    Session::new(framing, Some(CONTEXT), export("disk"))
}

fn with(framing: Framing, change: impl FnOnce(&mut Export)) -> Session {
    let mut export = export("disk");
    change(&mut export);
    Session::new(framing, Some(CONTEXT), export)
}

fn bytes(framing: Framing, request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(framing, &mut out).unwrap();
    out
}

fn parse(session: &Session, request: &Request) -> Incoming {
    match session.parse(&bytes(session.framing(), request)) {
        Parsed::Request(incoming) => incoming,
        other => panic!("{other:?}"),
    }
}

/// A valid request of this kind for the last block of the export.
fn last_block(framing: Framing, kind: u16) -> Request {
    match kind {
        command::FLUSH | command::DISC => Request::new(kind, COOKIE, 0, 0),
        command::WRITE => Request::write(framing, COOKIE, SIZE - 512, 512),
        _ => Request::new(kind, COOKIE, SIZE - 512, 512),
    }
}

fn refused(session: &Session, request: &Request) -> Option<Errno> {
    match parse(session, request).command {
        Command::Refused(refusal) => Some(refusal.errno),
        _ => None,
    }
}

fn is_ok(session: &Session, request: &Request) -> bool {
    refused(session, request).is_none()
}

/// Point 38.
#[test]
fn the_cookie_is_kept_verbatim() {
    for framing in ALL {
        for cookie in [0, 1, u64::MAX, 0x8000_0000_0000_0001] {
            let request = Request::new(99, Cookie(cookie), 5, 6);
            let head = parse(&session(framing), &request).head;
            assert_eq!(
                (head.cookie, head.offset, head.framing),
                (Cookie(cookie), 5, framing)
            );
        }
    }
}

/// Points 39, 66.
#[test]
fn a_wrong_magic_breaks_the_connection() {
    for framing in ALL {
        let session = session(framing);
        for other in ALL {
            let input = bytes(other, &Request::read(COOKIE, 0, 1));
            let same = (framing == Framing::Extended) == (other == Framing::Extended);
            assert_eq!(matches!(session.parse(&input), Parsed::Request(_)), same);
            assert_eq!(
                matches!(session.parse(&input), Parsed::Broken(Broken::Magic(_))),
                !same
            );
        }
        assert_eq!(session.parse(&[0; 4]), Parsed::Broken(Broken::Magic(0)));
        assert_eq!(
            session.parse(b"IHAVEOPT"),
            Parsed::Broken(Broken::Magic(0x4948_4156))
        );
    }
}

#[test]
fn a_header_cut_short_is_incomplete() {
    for framing in ALL {
        let input = bytes(framing, &Request::read(COOKIE, 0, 1));
        for end in 0..input.len() {
            assert_eq!(session(framing).parse(&input[..end]), Parsed::Incomplete);
        }
    }
}

#[test]
fn well_formed_requests_are_commands() {
    for framing in ALL {
        let check = |request: Request, expected| {
            let incoming = parse(&session(framing), &request);
            assert_eq!(incoming.command, expected);
            let header = if framing == Framing::Extended { 32 } else { 28 };
            assert_eq!(incoming.header_len, header);
        };
        let (offset, length, flags) = (4096, 512, WriteFlags::FUA);
        check(
            Request::read(COOKIE, offset, 512),
            Command::Read {
                offset,
                length: 512,
                dont_fragment: false,
            },
        );
        check(
            Request::write(framing, COOKIE, offset, 512).with(CommandFlags::FUA),
            Command::Write {
                offset,
                length: 512,
                flags,
            },
        );
        check(Request::flush(COOKIE), Command::Flush);
        check(
            Request::trim(COOKIE, offset, length).with(CommandFlags::FUA),
            Command::Trim {
                offset,
                length,
                flags,
            },
        );
        check(
            Request::cache(COOKIE, offset, length),
            Command::Cache { offset, length },
        );
        check(
            Request::write_zeroes(COOKIE, offset, length).with(CommandFlags::NO_HOLE),
            Command::WriteZeroes {
                offset,
                length,
                flags: WriteFlags::NO_HOLE,
            },
        );
        if framing.has_chunks() {
            check(
                Request::block_status(COOKIE, offset, length).with(CommandFlags::REQ_ONE),
                Command::BlockStatus {
                    offset,
                    length,
                    one: true,
                },
            );
        }
        check(Request::disconnect(COOKIE), Command::Disconnect);
    }
}

/// Point 40.
#[test]
fn an_unknown_command_is_einval() {
    for framing in ALL {
        for kind in [8, 9, 100, u16::MAX] {
            let incoming = parse(&session(framing), &last_block(framing, kind));
            assert!(matches!(incoming.command, Command::Refused(r) if r.errno == Errno::Einval));
            assert_eq!(incoming.payload_len, 0);
        }
    }
}

/// Points 41, 42, 67.
#[test]
fn each_flag_goes_with_its_commands_only() {
    use CommandFlags as F;
    for framing in ALL {
        let session = session(framing);
        for kind in KINDS {
            let base = last_block(framing, kind);
            for bit in 0..16 {
                let flag = F::from_bits_retain(1 << bit);
                let chunks = framing.has_chunks();
                let right = match kind {
                    command::DISC => true,
                    _ if !is_ok(&session, &base) => false,
                    _ if flag == F::FUA => true,
                    command::READ => flag == F::DF && chunks,
                    command::WRITE => flag == F::PAYLOAD_LEN && framing == Framing::Extended,
                    command::WRITE_ZEROES => flag == F::NO_HOLE || flag == F::FAST_ZERO,
                    command::BLOCK_STATUS => flag == F::REQ_ONE,
                    _ => false,
                };
                let errno = refused(&session, &base.with(flag));
                assert_eq!(
                    errno,
                    (!right).then_some(Errno::Einval),
                    "{framing:?} {kind} {flag:?}"
                );
            }
        }
    }
}

/// Point 41: "the server MUST accept all commands with this bit set".
#[test]
fn fua_goes_with_every_command_if_advertised() {
    for framing in ALL {
        let without = with(framing, |export| export.flags.remove(ExportFlags::SEND_FUA));
        for kind in KINDS {
            let request = last_block(framing, kind);
            let fua = request.with(CommandFlags::FUA);
            assert_eq!(
                is_ok(&session(framing), &fua),
                is_ok(&session(framing), &request)
            );
            if kind != command::DISC {
                assert_eq!(refused(&without, &fua), Some(Errno::Einval));
            }
        }
    }
}

/// Point 42.
#[test]
fn fast_zero_unadvertised_is_einval() {
    for framing in ALL {
        let session = with(framing, |export| {
            export.flags.remove(ExportFlags::SEND_FAST_ZERO)
        });
        let request = Request::write_zeroes(COOKIE, 0, 512);
        assert!(is_ok(&session, &request));
        let fast = request.with(CommandFlags::FAST_ZERO);
        assert_eq!(refused(&session, &fast), Some(Errno::Einval));
    }
}

/// Point 42.
#[test]
fn fast_zero_isnt_advertised_without_write_zeroes() {
    let session = with(Framing::Simple, |e| {
        e.flags.remove(ExportFlags::SEND_WRITE_ZEROES)
    });
    assert!(!session.export().flags.contains(ExportFlags::SEND_FAST_ZERO));
}

/// Section "Transmission flags": "MUST NOT use a feature ... unless that flag was set".
#[test]
fn an_unadvertised_command_is_einval() {
    use ExportFlags as E;
    for framing in ALL {
        for (kind, flag) in [
            (command::FLUSH, E::SEND_FLUSH),
            (command::TRIM, E::SEND_TRIM),
            (command::CACHE, E::SEND_CACHE),
            (command::WRITE_ZEROES, E::SEND_WRITE_ZEROES),
        ] {
            let request = last_block(framing, kind);
            assert!(is_ok(&session(framing), &request));
            let without = with(framing, |export| export.flags.remove(flag));
            assert_eq!(refused(&without, &request), Some(Errno::Einval), "{kind}");
        }
    }
}

/// Point 43.
#[test]
fn past_the_end_is_enospc_for_writes_and_einval_for_others() {
    for framing in ALL {
        let session = session(framing);
        for kind in [0, 1, 4, 5, 6, 7] {
            let last = last_block(framing, kind);
            assert_eq!(is_ok(&session, &last), kind != 7 || framing.has_chunks());
            let writes = kind == command::WRITE || kind == command::WRITE_ZEROES;
            let expected = if writes { Errno::Enospc } else { Errno::Einval };
            for offset in [SIZE - 511, SIZE, SIZE + 1, u64::MAX - 511, u64::MAX] {
                let request = Request { offset, ..last };
                assert_eq!(
                    refused(&session, &request),
                    Some(expected),
                    "{kind} at {offset:#x}"
                );
            }
        }
    }
}

/// Points 43, 48: the sum wraps at 2^64.
#[test]
fn an_effect_length_that_wraps_is_past_the_end() {
    let session = session(Framing::Extended);
    for (offset, length) in [
        (512, u64::MAX - 511),
        (u64::MAX, u64::MAX),
        (0, u64::MAX),
        (1, SIZE),
    ] {
        let refused = |request| refused(&session, &request);
        assert_eq!(
            refused(Request::trim(COOKIE, offset, length)),
            Some(Errno::Einval)
        );
        assert_eq!(
            refused(Request::block_status(COOKIE, offset, length)),
            Some(Errno::Einval)
        );
        assert_eq!(
            refused(Request::write_zeroes(COOKIE, offset, length)),
            Some(Errno::Enospc)
        );
    }
}

/// Point 44.
#[test]
fn writing_to_a_read_only_export_is_eperm() {
    for framing in ALL {
        let session = with(framing, |export| {
            export.flags.insert(ExportFlags::READ_ONLY)
        });
        for kind in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
            let request = last_block(framing, kind);
            assert_eq!(refused(&session, &request), Some(Errno::Eperm), "{kind}");
        }
        for kind in [command::READ, command::FLUSH, command::CACHE] {
            assert!(is_ok(&session, &last_block(framing, kind)), "{kind}");
        }
        let flags = session.export().flags;
        assert!(!flags.intersects(ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES));
    }
}

/// Point 45.
#[test]
fn a_refused_write_still_has_its_payload() {
    for framing in ALL {
        let session = with(framing, |export| {
            export.flags.insert(ExportFlags::READ_ONLY)
        });
        let request = Request::write(framing, COOKIE, SIZE, 1000);
        let incoming = parse(
            &session,
            &request.with(CommandFlags::from_bits_retain(1 << 15)),
        );
        assert!(matches!(incoming.command, Command::Refused(_)));
        assert_eq!(incoming.payload_len, 1000);
    }
}

/// Point 46.
#[test]
fn a_request_of_no_bytes_does_nothing() {
    for framing in ALL {
        let session = session(framing);
        for kind in [0, 1, 4, 5, 6] {
            for offset in [0, 512, SIZE] {
                let request = Request {
                    length: 0,
                    offset,
                    ..last_block(framing, kind)
                };
                assert_eq!(parse(&session, &request).command, Command::Nothing);
            }
            let request = Request {
                length: 0,
                offset: SIZE + 1,
                ..last_block(framing, kind)
            };
            assert!(refused(&session, &request).is_some());
        }
        let request = Request::block_status(COOKIE, 0, 0);
        assert_eq!(refused(&session, &request), Some(Errno::Einval));
    }
}

/// Points 30, 47.
#[test]
fn a_payload_up_to_32_mib_is_drained_and_a_longer_one_closes() {
    for framing in ALL {
        let session = with(framing, |export| {
            export.block = BlockSizes::new(1, 512, 1 << 20).unwrap();
        });
        for length in [(1 << 20) + 1, limits::MAX_PAYLOAD] {
            let incoming = parse(&session, &Request::write(framing, COOKIE, 0, length));
            assert!(matches!(incoming.command, Command::Refused(r) if r.errno == Errno::Einval));
            assert_eq!(incoming.payload_len, length);
        }
        for length in [limits::MAX_PAYLOAD + 1, u32::MAX] {
            let input = bytes(framing, &Request::write(framing, COOKIE, 0, length));
            let broken = Broken::Payload(u64::from(length));
            assert_eq!(session.parse(&input), Parsed::Broken(broken));
        }
    }
}

/// Points 27, 30.
#[test]
fn the_default_takes_32_mib() {
    for framing in ALL {
        let session = session(framing);
        assert!(is_ok(
            &session,
            &Request::read(COOKIE, 0, limits::MAX_PAYLOAD)
        ));
        assert!(is_ok(
            &session,
            &Request::write(framing, COOKIE, 0, limits::MAX_PAYLOAD)
        ));
        let read = Request::read(COOKIE, 0, limits::MAX_PAYLOAD + 1);
        assert_eq!(refused(&session, &read), Some(Errno::Einval));
    }
}

/// The server advertises the limit that it enforces.
#[test]
fn no_export_advertises_a_larger_block_than_the_server_takes() {
    let unlimited = BlockSizes::new(512, 1 << 26, u32::MAX).unwrap();
    let session = with(Framing::Simple, |export| export.block = unlimited);
    let block = session.block();
    assert_eq!(
        BlockSizes::new(512, block.preferred(), block.maximum()),
        Ok(block)
    );
    assert_eq!(block.maximum(), limits::MAX_PAYLOAD);
}

/// Point 48.
#[test]
fn an_effect_may_be_longer_than_a_payload() {
    for framing in ALL {
        let session = with(framing, |export| export.size = 1 << 50);
        let longest: u64 = if framing == Framing::Extended {
            1 << 50
        } else {
            u32::MAX.into()
        };
        for kind in [command::TRIM, command::CACHE, command::WRITE_ZEROES] {
            assert!(
                is_ok(&session, &Request::new(kind, COOKIE, 0, longest)),
                "{kind}"
            );
        }
        let status = Request::block_status(COOKIE, 0, longest);
        assert_eq!(is_ok(&session, &status), framing.has_chunks());
    }
    let session = with(Framing::Extended, |export| export.size = 1 << 50);
    let read = Request::new(command::READ, COOKIE, 0, 1 << 40);
    assert_eq!(
        refused(&session, &read),
        Some(Errno::Einval),
        "a read has a payload"
    );
}

/// Point 28.
#[test]
fn an_unaligned_request_is_einval() {
    for framing in [Framing::Structured, Framing::Extended] {
        let session = with(framing, |export| {
            export.block = BlockSizes::new(4096, 4096, 1 << 20).unwrap();
        });
        for kind in [0, 1, 4, 5, 6, 7] {
            let aligned = Request {
                offset: 4096,
                length: 8192,
                ..last_block(framing, kind)
            };
            assert!(is_ok(&session, &aligned), "{kind}");
            for (offset, length) in [(4095, 4096), (4096, 4095), (512, 512), (1, 1)] {
                let request = Request {
                    offset,
                    length,
                    ..aligned
                };
                assert_eq!(refused(&session, &request), Some(Errno::Einval), "{kind}");
            }
        }
    }
}

/// Point 37.
#[test]
fn block_status_without_a_context_is_einval() {
    for framing in ALL {
        let without = Session::new(framing, None, export("disk"));
        let request = Request::block_status(COOKIE, 0, 512);
        assert_eq!(refused(&without, &request), Some(Errno::Einval));
    }
    let simple = session(Framing::Simple);
    assert_eq!(simple.allocation(), None, "contexts need chunks");
    let flat = with(Framing::Structured, |export| export.allocation = false);
    assert_eq!(
        flat.allocation(),
        None,
        "contexts need an export that has them"
    );
}

/// Section `NBD_CMD_FLUSH`.
#[test]
fn flush_has_no_range() {
    for framing in ALL {
        for (offset, length) in [(1, 0), (0, 1), (512, 512)] {
            let request = Request {
                offset,
                length,
                ..Request::flush(COOKIE)
            };
            assert_eq!(refused(&session(framing), &request), Some(Errno::Einval));
        }
    }
}

/// Point 50: the server can't refuse a disconnect, which has no reply.
#[test]
fn disconnect_is_never_refused() {
    for framing in ALL {
        let mut request = Request::new(command::DISC, COOKIE, u64::MAX, 512);
        request.flags = CommandFlags::from_bits_retain(u16::MAX);
        assert_eq!(
            parse(&session(framing), &request).command,
            Command::Disconnect
        );
    }
}

/// Point 67, and a client like QEMU, which sends the data without the flag that "MUST be set".
#[test]
fn an_extended_write_has_a_payload_with_the_flag_or_without() {
    let session = session(Framing::Extended);
    let request = Request::new(command::WRITE, COOKIE, 0, 512);
    for request in [request, request.with(CommandFlags::PAYLOAD_LEN)] {
        let incoming = parse(&session, &request);
        assert!(matches!(
            incoming.command,
            Command::Write { length: 512, .. }
        ));
        assert_eq!(incoming.payload_len, 512);
    }
}

/// Point 67.
#[test]
fn a_payload_that_isnt_taken_is_drained() {
    let session = session(Framing::Extended);
    for kind in KINDS.into_iter().filter(|kind| ![1, 2].contains(kind)) {
        for length in [1, 11, 13, 16, 20, 70_000, limits::MAX_PAYLOAD] {
            let request = Request::new(kind, COOKIE, 0, u64::from(length));
            let incoming = parse(&session, &request.with(CommandFlags::PAYLOAD_LEN));
            assert!(matches!(incoming.command, Command::Refused(r) if r.errno == Errno::Einval));
            assert_eq!((incoming.header_len, incoming.payload_len), (32, length));
        }
        for length in [u64::from(limits::MAX_PAYLOAD) + 1, 1 << 32, u64::MAX] {
            let request = Request::new(kind, COOKIE, 0, length).with(CommandFlags::PAYLOAD_LEN);
            let input = bytes(Framing::Extended, &request);
            assert_eq!(
                session.parse(&input),
                Parsed::Broken(Broken::Payload(length))
            );
        }
    }
}

/// Point 67: compact headers have no such flag, and only a write has a payload.
#[test]
fn compact_requests_have_no_payload_len() {
    for framing in [Framing::Simple, Framing::Structured] {
        let request = Request::read(COOKIE, 0, 512).with(CommandFlags::PAYLOAD_LEN);
        let incoming = parse(&session(framing), &request);
        assert!(matches!(incoming.command, Command::Refused(r) if r.errno == Errno::Einval));
        assert_eq!(incoming.payload_len, 0);
    }
}

fn filtered(session: &Session, length: u64, contexts: &[ContextId]) -> Incoming {
    let payload = filter_payload(length, contexts);
    let request = Request::new(command::BLOCK_STATUS, COOKIE, 4096, payload.len() as u64);
    let request = request.with(CommandFlags::PAYLOAD_LEN | CommandFlags::REQ_ONE);
    let input = [
        bytes(Framing::Extended, &request),
        payload,
        b"more".to_vec(),
    ]
    .concat();
    match session.parse(&input) {
        Parsed::Request(incoming) => incoming,
        other => panic!("{other:?}"),
    }
}

/// Point 69.
#[test]
fn block_status_may_name_its_context() {
    let session = with(Framing::Extended, |export| export.size = 1 << 50);
    let incoming = filtered(&session, 1 << 40, &[CONTEXT]);
    let command = Command::BlockStatus {
        offset: 4096,
        length: 1 << 40,
        one: true,
    };
    assert_eq!(incoming.command, command);
    assert_eq!((incoming.header_len, incoming.payload_len), (44, 0));
    assert_eq!(incoming.head.offset, 4096);
}

/// Point 69.
#[test]
fn a_wrong_filter_is_consumed_and_einval() {
    let session = session(Framing::Extended);
    let refused = |incoming: Incoming| match incoming.command {
        Command::Refused(refusal) => {
            assert_eq!(refusal.errno, Errno::Einval);
            incoming.header_len + incoming.payload_len as usize
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(filtered(&session, 512, &[])), 40, "no context");
    assert_eq!(
        refused(filtered(&session, 512, &[ContextId(8)])),
        44,
        "unknown"
    );
    assert_eq!(
        refused(filtered(&session, 512, &[CONTEXT, CONTEXT])),
        48,
        "twice"
    );
    assert_eq!(
        refused(filtered(&session, 0, &[CONTEXT])),
        44,
        "of no bytes"
    );
    assert_eq!(
        refused(filtered(&session, SIZE, &[CONTEXT])),
        44,
        "past the end"
    );
    let without = Session::new(Framing::Extended, None, export("disk"));
    assert_eq!(
        refused(filtered(&without, 512, &[CONTEXT])),
        44,
        "not selected"
    );
}

/// Point 69.
#[test]
fn a_filter_cut_short_is_incomplete() {
    let session = session(Framing::Extended);
    let request = Request::new(command::BLOCK_STATUS, COOKIE, 0, 12);
    let mut input = bytes(Framing::Extended, &request.with(CommandFlags::PAYLOAD_LEN));
    input.extend(filter_payload(512, &[CONTEXT]));
    for end in 0..44 {
        assert_eq!(session.parse(&input[..end]), Parsed::Incomplete);
    }
    assert!(matches!(session.parse(&input), Parsed::Request(_)));
}

/// Points 42, 52.
#[test]
fn enotsup_and_eoverflow_answer_only_their_own_commands() {
    let zeroes = |flags| Command::WriteZeroes {
        offset: 0,
        length: 1,
        flags,
    };
    let (fast, slow) = (WriteFlags::FAST_ZERO, WriteFlags::empty());
    let read = |dont_fragment| Command::Read {
        offset: 0,
        length: 1,
        dont_fragment,
    };
    assert_eq!(Errno::Enotsup.permitted_for(&zeroes(fast)), Errno::Enotsup);
    assert_eq!(Errno::Enotsup.permitted_for(&zeroes(slow)), Errno::Einval);
    assert_eq!(Errno::Enotsup.permitted_for(&Command::Flush), Errno::Einval);
    assert_eq!(
        Errno::Eoverflow.permitted_for(&read(true)),
        Errno::Eoverflow
    );
    assert_eq!(Errno::Eoverflow.permitted_for(&read(false)), Errno::Einval);
    assert_eq!(Errno::Eio.permitted_for(&read(false)), Errno::Eio);
}

/// Point 27.
#[test]
fn block_sizes_are_checked() {
    let ok = |minimum, preferred, maximum| BlockSizes::new(minimum, preferred, maximum).is_ok();
    assert!(ok(1, 512, 512) && ok(65_536, 65_536, u32::MAX) && ok(512, 4096, 12_288));
    assert!(!ok(0, 512, 512) && !ok(3, 512, 768) && !ok(131_072, 131_072, 131_072));
    assert!(!ok(1, 256, 512) && !ok(1, 768, 1024) && !ok(4096, 512, 4096) && !ok(1, 0, 512));
    assert!(!ok(1, 4096, 2048) && !ok(512, 512, 1000) && !ok(1, 512, 0));
    let default = BlockSizes::default();
    assert_eq!(
        (default.minimum(), default.preferred(), default.maximum()),
        (1, 4096, 32 * 1024 * 1024)
    );
}

/// Section "Error values".
#[test]
fn errors_have_their_numbers() {
    use Errno::{Einval, Eio, Enomem, Enospc, Enotsup, Eoverflow, Eperm, Eshutdown};
    let all = [
        Eperm, Eio, Enomem, Einval, Enospc, Eoverflow, Enotsup, Eshutdown,
    ];
    assert_eq!(all.map(Errno::to_wire), [1, 5, 12, 22, 28, 75, 95, 108]);
    assert!(
        all.iter()
            .all(|errno| Errno::from_wire(errno.to_wire()) == Some(*errno))
    );
    assert_eq!(Errno::from_wire(0), None);
    assert_eq!(
        Errno::from_wire(2),
        Some(Einval),
        "an unexpected error is EINVAL"
    );
    assert_eq!(Enospc.to_string(), "ENOSPC");
}
