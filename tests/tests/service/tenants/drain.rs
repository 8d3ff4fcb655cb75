//! The end of a server whose clients don't finish.

use nbd_proto::Errno;
use nbd_proto::wire::command;
use nbdbox_tests::{Exit, Raw, Server, Transmission};

use super::scene::export;

/// A disk on which a read at 0 never ends.
fn hosting(drain: &str) -> Server {
    let more = "settings = { at = \"read\", do = \"wait\", offset = 0, mode = \"parallel\" }\n\
                limits = { cpu = \"1min\", wall = \"1min\" }";
    let config = [
        format!("drain = \"{drain}\"\n"),
        "[[listener]]\nname = \"all\"\nunix = \"FOLDER/socket\"\n".to_owned(),
        "[tenant.alice]\nclients = [{ listener = \"all\" }]\n".to_owned(),
        export("alice", "disk", "bad", more),
        export("alice", "big", "pattern", "settings = { size = \"32M\" }"),
    ];
    Server::hosting(&config.concat())
}

/// Starts a read that never ends.
fn wait_for_ever(server: &Server) -> Transmission {
    let mut transmission = Raw::negotiating(server).go("disk");
    transmission.request(0, command::READ, 1, 0, 512);
    // The reply to the second request shows that the first is in flight.
    transmission.request(0, command::READ, 2, 4096, 512);
    assert_eq!(transmission.simple_reply(), (0, 2));
    let _ = transmission.raw.receive(512);
    transmission
}

fn assert_cut_off(exit: &Exit, connections: usize) {
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    let words = format!("{connections} connections didn't end in time");
    assert!(exit.log.contains(&words), "{}", exit.log);
}

#[test]
fn a_new_request_gets_eshutdown_while_another_is_under_way() {
    let server = hosting("3s");
    let mut transmission = wait_for_ever(&server);
    server.begin_to_stop();
    for cookie in 3..6 {
        transmission.request(0, command::READ, cookie, 4096, 512);
        let eshutdown = Errno::Eshutdown.to_wire();
        assert_eq!(transmission.simple_reply(), (eshutdown, cookie));
    }
    // The read goes on until the deadline.
    assert!(transmission.raw.is_closed());
    assert_cut_off(&server.ended(), 1);
}

#[test]
fn clients_that_never_finish_are_cut_off_at_the_deadline() {
    let server = hosting("1s");
    let mut waiting = wait_for_ever(&server);
    // A client that doesn't read the reply to its request.
    let mut deaf = Raw::negotiating(&server).go("big");
    deaf.request(0, command::READ, 1, 0, 32 << 20);
    assert_eq!(deaf.simple_reply(), (0, 1));
    server.begin_to_stop();
    assert!(waiting.raw.is_closed());
    assert_cut_off(&server.ended(), 2);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = hosting("60min");
    let mut waiting = wait_for_ever(&server);
    server.begin_to_stop();
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(waiting.raw.is_closed());
}
