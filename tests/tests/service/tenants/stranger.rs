//! Another tenant's export costs the host as little as one that doesn't exist: whoever asks learns nothing
//! from what is said, nor from how long it takes.

use nbd_proto::wire::{option, option_reply};
use nbdbox_tests::{Raw, Server, Strace};

use super::scene::three;

/// All by which a server looks at files, reads them, or has something done by a thread or a process.
const CALLS: &str = "%file,clone,clone3,fork,vfork,preadv2,pread64";

/// Often enough to see what happens now and then.
const TIMES: usize = 50;

/// Everything that is said to who asks for an export: listed, described, mapped, chosen.
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
    // strace makes it slow.
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
        // Carol's, of as many letters; and of a name that nobody has.
        assert_eq!(answers(&mut raw, "secret"), unknown);
        assert_eq!(answers(&mut raw, "public"), unknown);
    }
    assert_eq!(strace.detach(), "", "no file, no thread, no process");
    assert_eq!(server.log(), before, "not a word in the log either");
    // What would be seen if anything of an export were touched.
    let strace = Strace::attach(&server, CALLS);
    let own = connect().ask(option::INFO, &Raw::info_data("disk", &[]));
    assert_eq!(own.last().unwrap().0, option_reply::ACK);
    let log = strace.detach();
    assert!(log.contains(".cwasm"), "the code of its plugin: {log}");
}
