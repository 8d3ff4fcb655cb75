//! Metadata contexts in the handshake (points 31–37 of `CHECKLIST.md`).

use nbd_proto::wire::{BASE_ALLOCATION, command, option, option_reply};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Chunk, Dialog, Raw, Server};

const EINVAL: u32 = Errno::Einval.to_wire();

fn sparse() -> Server {
    Server::plugin("sparse", &["size=1M", "--export", "disk"])
}

fn structured(server: &Server) -> Raw {
    let mut raw = Raw::negotiating(server);
    raw.agree(Framing::Structured);
    raw
}

/// The error of a BLOCK_STATUS after this handshake; 0 if it succeeds.
fn status_error(raw: Raw, export: &str) -> u32 {
    let mut transmission = raw.go(export);
    transmission.request(0, command::BLOCK_STATUS, 1, 0, 4096);
    let (flags, kind, _, payload) = transmission.chunk();
    let chunk = Chunk {
        flags,
        kind,
        offset: None,
        payload,
    };
    if chunk.kind == nbd_proto::wire::chunk::BLOCK_STATUS {
        return 0;
    }
    assert_eq!(chunk.kind, nbd_proto::wire::chunk::ERROR, "{chunk:?}");
    // The connection stays usable.
    transmission.request(0, command::READ, 2, 0, 16);
    assert_eq!(transmission.chunk().2, 2);
    u32::from_be_bytes([0, 0, 0, chunk.payload[3]])
}

/// Point 31: SET_META_CONTEXT before structured replies is ERR_INVALID.
#[test]
fn set_before_structured_replies_is_invalid() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let data = Raw::meta_data("disk", &[BASE_ALLOCATION]);
    assert_eq!(
        raw.ask_one(option::SET_META_CONTEXT, &data),
        option_reply::ERR_INVALID
    );
    raw.assert_negotiating();
}

/// Point 31: such a SET selects nothing for later.
#[test]
fn set_before_structured_replies_selects_nothing() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let data = Raw::meta_data("disk", &[BASE_ALLOCATION]);
    let _ = raw.ask_one(option::SET_META_CONTEXT, &data);
    raw.agree(Framing::Structured);
    assert_eq!(status_error(raw, "disk"), EINVAL);
}

/// Point 32: an option that ends too early, at any byte, is ERR_INVALID.
#[test]
fn a_short_option_is_invalid() {
    let server = sparse();
    let mut raw = structured(&server);
    let whole = Raw::meta_data("disk", &[BASE_ALLOCATION, "x-y:z"]);
    for number in [option::LIST_META_CONTEXT, option::SET_META_CONTEXT] {
        for end in 0..whole.len() {
            let kind = raw.ask_one(number, &whole[..end]);
            assert_eq!(kind, option_reply::ERR_INVALID, "{end} bytes");
        }
    }
    raw.assert_negotiating();
}

/// Point 32: lengths of names and queries beyond the option are ERR_INVALID.
#[test]
fn lengths_beyond_the_option_are_invalid() {
    let server = sparse();
    let mut raw = structured(&server);
    for number in [option::LIST_META_CONTEXT, option::SET_META_CONTEXT] {
        for length in [26u32, 0x7fff_ffff, u32::MAX] {
            // The length of the export's name, and that of the query.
            for at in [0, 12] {
                let mut data = Raw::meta_data("disk", &[BASE_ALLOCATION]);
                data[at..at + 4].copy_from_slice(&length.to_be_bytes());
                let kind = raw.ask_one(number, &data);
                assert_eq!(kind, option_reply::ERR_INVALID, "{length} at {at}");
            }
        }
    }
    raw.assert_negotiating();
}

/// Point 32: a number of queries that doesn't fit the length is ERR_INVALID.
#[test]
fn a_wrong_number_of_queries_is_invalid() {
    let server = sparse();
    let mut raw = structured(&server);
    for number in [option::LIST_META_CONTEXT, option::SET_META_CONTEXT] {
        for count in [0u32, 2, 5] {
            let mut data = Raw::meta_data("disk", &[BASE_ALLOCATION]);
            data[8..12].copy_from_slice(&count.to_be_bytes());
            let kind = raw.ask_one(number, &data);
            assert_eq!(kind, option_reply::ERR_INVALID, "{count} queries");
        }
    }
    raw.assert_negotiating();
}

/// Point 32: an absurd number of queries is an error of any kind.
#[test]
fn four_billion_queries_are_an_error() {
    let server = sparse();
    let mut raw = structured(&server);
    for number in [option::LIST_META_CONTEXT, option::SET_META_CONTEXT] {
        let mut data = Raw::meta_data("disk", &[]);
        data[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        let kind = raw.ask_one(number, &data);
        assert_ne!(kind & option_reply::ERROR, 0);
    }
    raw.assert_negotiating();
}

/// Point 32: queries for an unknown export are ERR_UNKNOWN.
#[test]
fn contexts_of_an_unknown_export_are_unknown() {
    let server = sparse();
    let mut raw = structured(&server);
    for number in [option::LIST_META_CONTEXT, option::SET_META_CONTEXT] {
        let kind = raw.ask_one(number, &Raw::meta_data("nosuch", &[BASE_ALLOCATION]));
        assert_eq!(kind, option_reply::ERR_UNKNOWN);
    }
    raw.assert_negotiating();
}

/// Point 33: LIST without queries lists all contexts, with the id 0.
#[test]
fn list_without_queries_is_all() {
    let server = sparse();
    let listed = structured(&server).contexts(option::LIST_META_CONTEXT, "disk", &[]);
    assert_eq!(listed, [(0, BASE_ALLOCATION.to_owned())]);
}

/// Point 33: in LIST, `base:` stands for every context of that namespace.
#[test]
fn list_takes_the_wildcard() {
    let server = sparse();
    let mut raw = structured(&server);
    for queries in [
        &["base:"][..],
        &["base:", BASE_ALLOCATION],
        &["nosuch:", "base:"],
    ] {
        let listed = raw.contexts(option::LIST_META_CONTEXT, "disk", queries);
        assert_eq!(listed, [(0, BASE_ALLOCATION.to_owned())], "{queries:?}");
    }
}

/// Point 33: LIST with queries that match nothing lists nothing.
#[test]
fn list_ignores_what_it_does_not_know() {
    let server = sparse();
    let mut raw = structured(&server);
    for query in [
        "",
        "base",
        "base:nosuch",
        "base:allocation2",
        "qemu:",
        ":allocation",
    ] {
        let listed = raw.contexts(option::LIST_META_CONTEXT, "disk", &[query]);
        assert_eq!(listed, [], "{query}");
    }
}

/// Point 34: in SET `base:` selects nothing.
#[test]
fn set_does_not_take_the_wildcard() {
    let server = sparse();
    let mut raw = structured(&server);
    assert_eq!(
        raw.contexts(option::SET_META_CONTEXT, "disk", &["base:"]),
        []
    );
    assert_eq!(status_error(raw, "disk"), EINVAL);
}

/// Point 34: SET ignores unknown namespaces and names, and selects the known one.
#[test]
fn set_ignores_what_it_does_not_know() {
    let server = sparse();
    let mut raw = structured(&server);
    let queries = [
        "nosuch:x",
        "base:nosuch",
        "",
        BASE_ALLOCATION,
        "qemu:dirty-bitmap:x",
    ];
    let selected = raw.contexts(option::SET_META_CONTEXT, "disk", &queries);
    assert_eq!(selected.len(), 1);
    assert_eq!(selected[0].1, BASE_ALLOCATION);
    assert_eq!(status_error(raw, "disk"), 0);
}

/// Point 34: a context that a client requests twice is selected once.
#[test]
fn set_selects_a_context_once() {
    let server = sparse();
    let mut raw = structured(&server);
    let twice = [BASE_ALLOCATION, BASE_ALLOCATION];
    assert_eq!(
        raw.contexts(option::SET_META_CONTEXT, "disk", &twice).len(),
        1
    );
}

/// Point 35: another SET replaces the selection.
#[test]
fn set_replaces_the_previous_set() {
    let server = sparse();
    for queries in [&[][..], &["base:nosuch"]] {
        let mut raw = structured(&server);
        assert!(raw.select_allocation("disk").is_some());
        assert_eq!(raw.contexts(option::SET_META_CONTEXT, "disk", queries), []);
        assert_eq!(status_error(raw, "disk"), EINVAL);
    }
}

/// Point 35: a SET that fails, for any reason, empties the selection.
#[test]
fn a_failed_set_forgets_the_previous_set() {
    let server = sparse();
    let malformed = b"\xff\xff\xff\xff".to_vec();
    let unknown = Raw::meta_data("nosuch", &[BASE_ALLOCATION]);
    let too_many = Raw::meta_data("disk", &[BASE_ALLOCATION; 3000]);
    let too_long = vec![0; 100_000];
    for data in [malformed, unknown, too_many, too_long] {
        let mut raw = structured(&server);
        assert!(raw.select_allocation("disk").is_some());
        let kind = raw.ask_one(option::SET_META_CONTEXT, &data);
        assert_ne!(kind & option_reply::ERROR, 0, "{} bytes", data.len());
        assert_eq!(status_error(raw, "disk"), EINVAL);
    }
}

/// Point 35: LIST doesn't change the selection.
#[test]
fn list_keeps_the_set() {
    let server = sparse();
    let mut raw = structured(&server);
    assert!(raw.select_allocation("disk").is_some());
    let _ = raw.contexts(option::LIST_META_CONTEXT, "disk", &["nosuch:"]);
    assert_eq!(status_error(raw, "disk"), 0);
}

/// Point 36: contexts are void if the last SET named another export, known or not.
#[test]
fn contexts_are_void_for_another_export() {
    let server = sparse();
    for other in ["", "nosuch", "Disk", "disk2"] {
        let mut raw = structured(&server);
        assert!(raw.select_allocation("disk").is_some());
        let _ = raw.ask(
            option::SET_META_CONTEXT,
            &Raw::meta_data(other, &[BASE_ALLOCATION]),
        );
        assert_eq!(status_error(raw, "disk"), EINVAL, "{other}");
    }
}

/// Point 36: contexts hold until GO, whatever options come between.
#[test]
fn contexts_survive_other_options() {
    let server = sparse();
    let mut raw = structured(&server);
    assert!(raw.select_allocation("disk").is_some());
    let _ = raw.ask_one(option::GO, &Raw::info_data("nosuch", &[]));
    let _ = raw.ask(option::INFO, &Raw::info_data("disk", &[]));
    let _ = raw.ask_one(99, &[]);
    raw.assert_negotiating();
    assert_eq!(status_error(raw, "disk"), 0);
}

/// Point 37: BLOCK_STATUS without a context is EINVAL, and the connection stays usable.
#[test]
fn block_status_without_a_context_is_einval() {
    let server = sparse();
    assert_eq!(status_error(structured(&server), "disk"), EINVAL);
}

/// Point 37: the same with simple replies.
#[test]
fn block_status_with_simple_replies_is_einval() {
    let server = Server::plugin("sparse", &["size=1M"]);
    let mut dialog = Dialog::open(&server, Framing::Simple);
    assert_eq!(dialog.ask(0, command::BLOCK_STATUS, 0, 4096).error, EINVAL);
    dialog.assert_in_step();
}
