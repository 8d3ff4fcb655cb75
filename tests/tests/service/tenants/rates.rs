//! Requests and bytes a second, in counts of requests and not in seconds: after a burst that a rate admits only in
//! minutes or hours, the next request would wait past its wall time, so it fails at once.

use nbd_proto::wire::command;
use nbd_proto::{Errno, Framing};
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::tenancy::{export, tenant, uri};
use nbdbox_tests::{Client, Raw, Refused, Server, nbdsh};

/// No test takes as long, and no request waits as long.
const EXPORT: &str = "settings = { size = \"64M\" }\nlimits = { wall = \"60s\" }";

/// The lowest bandwidth that a limit can have.
const SLOW: &str = "bandwidth = \"4KiB\"";

/// Bytes of more than an hour at that bandwidth.
const HOURS: u32 = 16 << 20;

fn connect(server: &Server, tenant: &str, name: &str) -> Client {
    Client::connect_to(&server.folder().join(tenant), name, Framing::Structured)
}

/// One request always comes through, and the next has to wait until its bytes are paid for.
fn exhaust(client: &mut Client) {
    assert_eq!(client.read(0, HOURS).unwrap().len(), HOURS as usize);
    assert_held_up(&client.read(0, 512));
}

fn assert_held_up(outcome: &Result<Vec<u8>, Refused>) {
    let refused = outcome.as_ref().unwrap_err();
    assert_eq!(refused.errno, Errno::Eio);
    assert!(refused.text.contains("rate limit"), "{}", refused.text);
}

/// Sends this many reads of this many bytes at once. Returns how many succeeded and how many failed with EIO.
fn flood(server: &Server, tenant: &str, name: &str, count: usize, length: usize) -> (usize, usize) {
    let script = format!(
        "\
done = {{}}
def note(index):
    def called(error):
        done[index] = error.value
        return 1
    return called
for index in range({count}):
    h.aio_pread(nbd.Buffer({length}), 0, completion=note(index))
while len(done) < {count}:
    h.poll(-1)
assert set(done.values()) <= {{0, errno.EIO}}, done
assert h.pread(512, 0)
print(list(done.values()).count(0), list(done.values()).count(errno.EIO))
"
    );
    let counts = nbdsh(&uri(server, tenant, name), &script).ok();
    let (good, failed) = counts.trim().split_once(' ').unwrap();
    (good.parse().unwrap(), failed.parse().unwrap())
}

#[test]
fn a_tenants_requests_a_second_are_counted_over_all_its_exports() {
    let config = [
        tenant("alice", "iops = 1"),
        export("alice", "a", "pattern", EXPORT),
        export(
            "alice",
            "b",
            "pattern",
            "settings = { size = \"64M\" }\nlimits = { wall = \"10s\" }",
        ),
        tenant("bob", ""),
        export("bob", "disk", "pattern", EXPORT),
    ];
    let server = Server::hosting(&config.concat());
    let mut raw = Raw::connect(&server.folder().join("alice"));
    let _flags = raw.hello(3);
    let mut client = raw.go("a");
    // The rate admits about 60 of them within the wall time. The others fail at once.
    for cookie in 0..64 {
        client.request(0, command::READ, cookie, 0, 512);
    }
    while client.simple_reply().0 == 0 {
        let _data = client.raw.receive(512);
    }
    assert_held_up(&connect(&server, "alice", "b").read(0, 512));
    let mut bob = connect(&server, "bob", "disk");
    for _ in 0..64 {
        assert!(bob.read(0, 512).is_ok(), "held back with the other");
    }
}

#[test]
fn an_exports_bytes_a_second_are_limited() {
    let limits = format!("settings = {{ size = \"64M\" }}\nlimits = {{ {SLOW}, wall = \"60s\" }}");
    let config = [
        tenant("alice", ""),
        export("alice", "slow", "pattern", &limits),
        export("alice", "free", "pattern", EXPORT),
    ];
    let server = Server::hosting(&config.concat());
    exhaust(&mut connect(&server, "alice", "slow"));
    // It's the export's rate, and not the connection's.
    assert_held_up(&connect(&server, "alice", "slow").read(0, 512));
    let mut free = connect(&server, "alice", "free");
    for _ in 0..4 {
        assert!(free.read(0, HOURS).is_ok(), "held back with the other");
    }
}

#[test]
fn a_tenants_bytes_a_second_are_counted_over_all_its_exports() {
    let config = [
        tenant("alice", SLOW),
        export("alice", "a", "pattern", EXPORT),
        export("alice", "b", "pattern", EXPORT),
        tenant("bob", ""),
        export("bob", "disk", "pattern", EXPORT),
    ];
    let server = Server::hosting(&config.concat());
    exhaust(&mut connect(&server, "alice", "a"));
    assert_held_up(&connect(&server, "alice", "b").read(0, 512));
    let mut bob = connect(&server, "bob", "disk");
    for _ in 0..4 {
        assert!(bob.read(0, HOURS).is_ok(), "held back with the other");
    }
}

#[test]
fn a_request_that_would_wait_past_the_wall_time_gets_eio_and_the_connection_lives() {
    let limits = "settings = { size = \"64M\" }\nlimits = { iops = 1, wall = \"2s\" }";
    let config = [
        tenant("alice", ""),
        export("alice", "a", "pattern", limits),
        ADMIN.to_owned(),
    ];
    let server = Server::hosting(&config.concat());
    let (good, failed) = flood(&server, "alice", "a", 64, 512);
    assert!(good >= 2, "requests that wait are served: {good}");
    assert!(failed >= 1, "the others fail at once: {failed}");
    let figures = get(&server, "/metrics");
    let waits = sample(&figures, "nbdbox_rate_wait_seconds_count", &[]);
    assert!((1.0..=64.0).contains(&waits.unwrap()), "{waits:?}");
    let share = [("outcome", "share")];
    let refused = sample(&figures, "nbdbox_operations_total", &share);
    assert_eq!(refused, Some(f64::from(u32::try_from(failed).unwrap())));
}

#[test]
fn a_reload_changes_the_rate_of_connected_clients() {
    let with = |rate: &str| {
        [
            tenant("alice", rate),
            export("alice", "a", "pattern", EXPORT),
        ]
        .concat()
    };
    let server = Server::hosting(&with(""));
    let mut client = connect(&server, "alice", "a");
    for _ in 0..2 {
        assert!(client.read(0, HOURS).is_ok());
    }
    server.reload(&with(SLOW));
    exhaust(&mut client);
    server.reload(&with(""));
    assert!(client.read(0, HOURS).is_ok());
}
