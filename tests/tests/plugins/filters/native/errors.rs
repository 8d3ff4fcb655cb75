//! `error`: which calls fail, and with which error.

use std::fs;

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::Client;

use super::Pair;

type Answer = Result<(), Errno>;

/// The outcome of each kind of call: read, write, trim, zero, block status, flush.
fn answers(client: &mut Client) -> [Answer; 6] {
    let none = CommandFlags::empty();
    [
        client.read(0, 512).map(drop),
        client.write(0, &[1; 512], none),
        client.trim(0, 512, none),
        client.zero(0, 512, none),
        client.status(0, 512, none).map(drop),
        client.flush(),
    ]
    .map(|answer| answer.map_err(|refused| refused.errno))
}

fn both(settings: &[&str]) -> Pair {
    let ours = [&["error"], settings].concat().join(",");
    Pair::new(&[&ours], &["error"], settings)
}

#[test]
fn calls_fail_as_nbdkits_do() {
    for settings in [
        &[][..],
        &["error-rate=100%"],
        &["error-rate=1", "error=ENOSPC"],
        &["error-rate=100%", "error=ESHUTDOWN", "error-pread-rate=0"],
        &["error=EPERM", "error-pwrite-rate=100%", "error-zero-rate=1"],
        &[
            "error-trim-rate=1",
            "error-trim=ENOMEM",
            "error-pread=EINVAL",
        ],
        &["error-extents-rate=100%", "error-extents=EINVAL"],
    ] {
        let pair = both(settings);
        let [ours, theirs] = [pair.ours.socket(), pair.theirs.socket()]
            .map(|socket| answers(&mut Client::connect(&socket, Framing::Structured)));
        assert_eq!(ours, theirs, "{settings:?}");
    }
}

#[test]
fn calls_fail_while_there_is_a_file() {
    let pair = both(&["error-rate=100%", "error-file=FOLDER/inject"]);
    let sockets = [pair.ours.socket(), pair.theirs.socket()];
    let mut clients = sockets.map(|socket| Client::connect(&socket, Framing::Structured));
    let files = pair.in_folders("inject");
    for fails in [false, true, false] {
        for file in &files {
            if fails {
                fs::write(file, "").unwrap();
            } else {
                let _ = fs::remove_file(file);
            }
        }
        for client in &mut clients {
            assert_eq!(client.read(0, 512).is_err(), fails);
        }
    }
}

#[test]
fn some_calls_fail_at_a_rate_between() {
    let pair = both(&["error-pread-rate=50%"]);
    let mut client = Client::connect(&pair.ours.socket(), Framing::Structured);
    let failed = (0..200).filter(|_| client.read(0, 512).is_err()).count();
    assert!((20..180).contains(&failed), "{failed} of 200");
}

#[test]
fn an_injected_error_is_nobodys_fault() {
    let pair = both(&["error-rate=100%"]);
    let mut client = Client::connect(&pair.ours.socket(), Framing::Structured);
    let refused = client.read(0, 512).unwrap_err();
    assert_eq!(refused.text, "injected by the filter `error`");
    assert!(!pair.ours.log().contains("WARN"), "{}", pair.ours.log());
}
