//! Another tenant's export costs the host as little as one that doesn't exist: a client learns nothing from the
//! replies, nor from the time that they take.

use nbd_proto::wire::{option, option_reply};
use nbdbox_tests::{Raw, Server, Strace};

use super::scene::three;

/// All calls by which a server looks at files, reads them, or starts a thread or a process.
const CALLS: &str = "%file,clone,clone3,fork,vfork,preadv2,pread64";

/// Often enough to see rare events.
const TIMES: usize = 50;

/// All replies about an export: to a list, to INFO, to a selection of contexts, and to GO.
fn answers(raw: &mut Raw, name: &str) -> Vec<(u32, Vec<u8>)> {
    let (info, meta) = (Raw::info_data(name, &[1, 2, 3]), Raw::meta_data(name, &[]));
    let asked = [
        (option::LIST, &[][..]),
        (option::INFO, &info[..]),
        (option::LIST_META_CONTEXT, &meta[..]),
        (option::SET_META_CONTEXT, &meta[..]),
        (option::GO, &info[..]),
    ];
    let answers = asked.map(|(number, data)| raw.ask(number, data));
    answers.concat()
}

#[test]
fn anothers_export_costs_the_host_what_one_costs_that_there_isnt() {
    // strace slows the server down.
    let server = Server::hosting(&format!("handshake = \"1min\"\n{}", three()));
    let alice = server.folder().join("alice");
    let connect = || {
        let mut raw = Raw::connect(&alice);
        let _ = raw.hello(3);
        assert_eq!(
            raw.ask_one(option::STRUCTURED_REPLY, &[]),
            option_reply::ACK
        );
        raw
    };
    let mut raw = connect();
    let before = server.log();
    let strace = Strace::attach(&server, CALLS);
    let unknown = answers(&mut raw, "nowhere");
    for _ in 0..TIMES {
        // Carol's export, and a name of the same length that no tenant has.
        assert_eq!(answers(&mut raw, "secret"), unknown);
        assert_eq!(answers(&mut raw, "public"), unknown);
    }
    assert_eq!(strace.detach(), "", "no file, no thread, no process");
    assert_eq!(server.log(), before, "the log has no line about it either");
    // The control: what strace and the log show if the server touches an export.
    let strace = Strace::attach(&server, CALLS);
    let own = connect().ask(option::INFO, &Raw::info_data("disk", &[]));
    assert_eq!(own.last().unwrap().0, option_reply::ACK);
    let log = strace.detach();
    assert!(log.contains(".cwasm"), "the code of its plugin: {log}");
}
