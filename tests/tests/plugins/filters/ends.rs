//! A request through layers has one time limit, one budget of calls, and one client.

use std::thread;

use nbd_proto::wire::{command, option};
use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::tenancy::{export, tenant};
use nbdbox_tests::{Client, Raw, Server, Transmission, guest, plugin, until};

/// The metrics' label of the plugin's own layer.
const BASE: &str = "0:bad";

/// Half of the largest disk, in bytes.
const HUGE: u64 = 1 << 61;

/// An export of the bad plugin below filters, of which the first is the outermost, with limits for each layer.
fn stack(limits: &str, bad: &str, filters: &[(&str, &str)]) -> Server {
    let path = |name: &str| match name {
        "retry" | "offset" => plugin(name),
        _ => guest(name),
    };
    let filters: Vec<String> = filters
        .iter()
        .map(|(name, settings)| {
            let path = path(name);
            let path = path.display();
            format!(
                "{{ plugin = \"{path}\", settings = {{ {settings} }}, limits = {{ {limits} }} }}"
            )
        })
        .collect();
    let more = format!(
        "settings = {{ {bad} }}\nlimits = {{ {limits} }}\nfilters = [{}]",
        filters.join(", ")
    );
    let config = [tenant("t", ""), export("t", "disk", "bad", &more)].concat() + ADMIN;
    Server::hosting_with(&config, &["-t", "1"])
}

fn connect(server: &Server) -> Client {
    Client::connect_to(&server.folder().join("t"), "disk", Framing::Extended)
}

fn raw(server: &Server) -> Transmission {
    let mut raw = Raw::connect(&server.folder().join("t"));
    let _flags = raw.hello(3);
    raw.go("disk")
}

/// The reads or writes that the layer with this label has had.
fn asked(server: &Server, operation: &str, layer: &str) -> f64 {
    let metrics = get(server, "/metrics");
    let labels = [("operation", operation), ("layer", layer)];
    sample(&metrics, "nbdbox_layer_operations_total", &labels).unwrap_or_default()
}

/// The number of connected clients.
fn connections(server: &Server) -> f64 {
    let metrics = get(server, "/metrics");
    sample(&metrics, "nbdbox_connections", &[("export", "disk")]).unwrap_or_default()
}

/// `flip` can't zero, so the host writes zeroes out through it.
const NO_ZEROES: [(&str, &str); 2] = [("retry", "retries = 0"), ("flip", "")];

const BAD: &str = "size = \"2305843009213693952\", mode = \"parallel\"";

#[test]
fn zeroes_that_would_be_written_for_ever_end_with_the_request() {
    let server = stack("wall = \"1s\"", BAD, &NO_ZEROES);
    let mut client = connect(&server);
    let writes = thread::spawn(move || client.zero(0, HUGE, CommandFlags::empty()));
    // The server has only one thread.
    let mut other = connect(&server);
    for _ in 0..100 {
        assert_eq!(other.read(0, 1).unwrap(), [!0x42]);
    }
    let refused = writes.join().unwrap().unwrap_err();
    assert_eq!(refused.errno, Errno::Eio);
    assert!(refused.text.contains("took too long"), "{}", refused.text);
    let written = asked(&server, "write", BASE);
    assert_eq!(other.read(0, 1).unwrap(), [!0x42]);
    assert_eq!(asked(&server, "write", BASE), written, "no write follows");
}

#[test]
fn zeroes_are_not_written_for_a_client_that_has_gone() {
    let server = stack("wall = \"60min\"", BAD, &NO_ZEROES);
    let mut client = Raw::connect(&server.folder().join("t"));
    let _flags = client.hello(3);
    client.option(option::EXTENDED_HEADERS, &[]);
    let _agreed = client.option_reply(option::EXTENDED_HEADERS);
    let mut client = client.go("disk");
    client.extended_request(0, command::WRITE_ZEROES, 1, 0, HUGE);
    until("it is asked", || asked(&server, "write", BASE) > 0.0);
    drop(client);
    // The connection ends after its last request.
    until("that many clients are connected", || {
        connections(&server) == 0.0
    });
}

#[test]
fn zeroes_that_are_written_out_count_as_bytes() {
    let limits = "wall = \"1s\", bandwidth = \"1MiB\"";
    let server = stack(limits, "size = \"1G\", mode = \"parallel\"", &NO_ZEROES);
    let mut client = connect(&server);
    let refused = client.zero(0, 64 << 20, CommandFlags::empty()).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio);
    assert!(refused.text.contains("rate"), "{}", refused.text);
    assert!(asked(&server, "write", BASE) < 64.0);
}

#[test]
fn filters_share_the_questions_of_a_request() {
    // Each filter would call the one below 4096 times.
    let server = stack(
        "cpu = \"10s\"",
        "mode = \"parallel\"",
        &[("sly", "do = \"ask\""), ("sly", "do = \"ask\"")],
    );
    let mut client = connect(&server);
    let refused = client.read(4096, 512).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio, "{refused:?}");
    let questions = asked(&server, "read", BASE);
    assert!(questions < 4096.0, "{questions} questions");
    assert_eq!(client.read(8192, 1).unwrap(), [0x42]);
}

#[test]
fn a_filter_gets_no_more_answers_when_the_request_is_out_of_time() {
    // The layer below takes half a second for each call.
    let server = stack(
        "cpu = \"60s\", wall = \"2s\"",
        "mode = \"parallel\", at = \"read\", do = \"slow\"",
        &[("sly", "do = \"ask\"")],
    );
    let mut client = connect(&server);
    let refused = client.read(4096, 512).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio, "{refused:?}");
    assert!(refused.text.contains("took too long"), "{}", refused.text);
    let questions = asked(&server, "read", BASE);
    assert!(questions < 1000.0, "{questions} questions in two seconds");
}

#[test]
fn a_filter_that_keeps_asking_for_a_client_that_has_gone_gets_an_error() {
    let server = stack(
        "cpu = \"60min\", wall = \"60min\"",
        "mode = \"parallel\", at = \"read\", do = \"slow\"",
        &[("sly", "do = \"nag\"")],
    );
    let mut client = raw(&server);
    client.request(0, command::READ, 1, 4096, 512);
    until("it is asked", || asked(&server, "read", BASE) > 0.0);
    drop(client);
    until("that many clients are connected", || {
        connections(&server) == 0.0
    });
    let questions = asked(&server, "read", BASE);
    assert!(questions < 4096.0, "{questions} questions");
}

#[test]
fn requests_of_a_client_that_has_gone_do_not_queue_for_an_instance() {
    let server = stack(
        "cpu = \"60min\", wall = \"60min\", instances = 1",
        "mode = \"parallel\", at = \"read\", do = \"loop\", offset = \"512\"",
        &[],
    );
    let mut loops = raw(&server);
    loops.request(0, command::READ, 1, 512, 1);
    until("that many clients are connected", || {
        connections(&server) == 1.0
    });
    let queued: Vec<Transmission> = (0..60)
        .map(|_| {
            let mut client = raw(&server);
            client.request(0, command::READ, 1, 0, 1);
            client
        })
        .collect();
    until("that many clients are connected", || {
        connections(&server) == 61.0
    });
    drop(queued);
    until("that many clients are connected", || {
        connections(&server) == 1.0
    });
}

#[test]
fn what_is_computed_between_waits_is_cpu_time() {
    let server = stack(
        "cpu = \"100ms\", wall = \"60min\"",
        "mode = \"parallel\"",
        &[("sly", "do = \"nibble\"")],
    );
    let mut client = connect(&server);
    assert_eq!(client.read(4096, 512).unwrap_err().errno, Errno::Eio);
    assert!(server.log().contains("out of CPU time"), "{}", server.log());
}

#[test]
fn a_crash_fails_no_other_request() {
    let server = stack(
        "",
        "mode = \"parallel\", at = \"read\", do = \"trap\", offset = \"512\"",
        &[],
    );
    let mut bad = connect(&server);
    let mut good = connect(&server);
    for _ in 0..6 {
        assert_eq!(bad.read(512, 1).unwrap_err().errno, Errno::Eio);
        // The restart is still pausing.
        assert_eq!(good.read(0, 1).unwrap(), [0x42]);
    }
}
