//! Each `--limit` at its edge: what is within it goes on, what exceeds it has the result that the manual states, and
//! the value that the operator set is the one that counts.

use std::collections::BTreeSet;

use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::{Client, Raw, Server, Transmission, admin, guest, tenancy};

/// A server for a plugin of `tests/guests`, within these limits.
fn limited(plugin: &str, limits: &str, settings: &[&str]) -> Server {
    let plugin = guest(plugin).to_string_lossy().into_owned();
    let options = ["--limit", limits, plugin.as_str()];
    Server::start(options.iter().chain(settings).copied())
}

fn connect(server: &Server) -> Client {
    Client::connect(&server.socket(), Framing::Structured)
}

/// The result of a read of the byte at 512, at which the plugin misbehaves.
fn there(server: &Server) -> Result<Vec<u8>, Errno> {
    connect(server)
        .read(512, 1)
        .map_err(|refused| refused.errno)
}

/// The text of a start that fails.
fn refused(limits: &str, settings: &[&str]) -> String {
    let plugin = guest("bad").to_string_lossy().into_owned();
    let options = [
        "serve", "-U", "-", "--run", "true", "--limit", limits, &plugin,
    ];
    let ran = nbdbox_tests::run(nbdbox_tests::nbdbox(), options.iter().chain(settings));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    ran.stderr
}

/// Limit `memory`: the plugin requests 1 GiB.
#[test]
fn memory_is_given_up_to_the_limit_and_refused_past_it() {
    let settings = ["at=read", "do=grow-politely", "offset=512"];
    let fits = limited("bad", "memory=1100M,cpu=20s", &settings);
    assert_eq!(there(&fits), Ok(vec![0x42]));
    let does_not = limited("bad", "memory=1G,cpu=20s", &settings);
    assert_eq!(there(&does_not), Err(Errno::Enomem));
}

/// Limit `total-memory`: the same, for all instances together.
#[test]
fn memory_of_all_instances_is_given_up_to_the_limit() {
    let settings = ["at=read", "do=grow-politely", "offset=512"];
    let fits = limited("bad", "memory=2G,total-memory=1100M,cpu=20s", &settings);
    assert_eq!(there(&fits), Ok(vec![0x42]));
    let does_not = limited("bad", "memory=2G,total-memory=1G,cpu=20s", &settings);
    assert_eq!(there(&does_not), Err(Errno::Enomem));
}

/// Limit `cpu`: work that ends, and work that doesn't.
#[test]
fn a_call_ends_or_is_stopped_at_its_cpu_time() {
    let slow = ["at=read", "do=slow", "offset=512"];
    assert_eq!(there(&limited("bad", "cpu=20s", &slow)), Ok(vec![0x42]));
    let endless = ["at=read", "do=loop", "offset=512"];
    let server = limited("bad", "cpu=40ms", &endless);
    assert_eq!(there(&server), Err(Errno::Eio));
    let log = server.log();
    let stopped = log.lines().find(|line| line.contains("CPU time")).unwrap();
    // The host doesn't stop it earlier than allowed, by the meter's own figure; a tick is a millisecond.
    let used = stopped.split("cpu=").nth(1).unwrap();
    let milliseconds: f64 = used.split("ms").next().unwrap().parse().unwrap();
    assert!(milliseconds >= 40.0, "{stopped}");
}

/// Limit `open-cpu`: the same, before the server serves.
#[test]
fn an_open_ends_or_is_stopped_at_its_cpu_time() {
    let _opens = limited("bad", "open-cpu=20s,cpu=1ms", &["at=open", "do=slow"]);
    let words = refused("open-cpu=40ms,cpu=20s", &["at=open", "do=loop"]);
    assert!(words.contains("CPU time"), "{words}");
}

/// Limit `wall`: a guest that waits, with almost no CPU time.
#[test]
fn waiting_is_bounded_by_the_clock() {
    let wakes = limited("wasi", "wall=60s", &["do=nap"]);
    assert!(connect(&wakes).read(0, 8).is_ok());
    let never = limited("wasi", "wall=300ms", &["do=sleep"]);
    let refused = connect(&never).read(0, 8).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio);
    assert!(never.log().contains("took too long"), "{}", never.log());
}

/// A client with simple replies.
fn transmission(server: &Server) -> Transmission {
    let mut raw = server.connect();
    let _flags = raw.hello(3);
    raw.go("")
}

/// The numbers to which instances have counted, in the order of the replies to this many reads at once.
fn counted(limits: &str, reads: u64) -> Vec<u8> {
    let limits = format!("{limits},cpu=20s");
    let settings = ["mode=parallel", "at=read", "do=counting"];
    let server = limited("bad", &limits, &settings);
    let mut client = transmission(&server);
    for cookie in 0..reads {
        client.request(0, command::READ, cookie, 0, 1);
    }
    let mut reply = || {
        assert_eq!(client.simple_reply().0, 0);
        client.raw.receive(1)[0]
    };
    (0..reads).map(|_| reply()).collect()
}

fn distinct(numbers: &[u8]) -> usize {
    numbers.iter().collect::<BTreeSet<_>>().len()
}

/// Limit `instances`: each instance counts for itself, so one alone counts without a gap, and none of three counts as
/// far.
#[test]
fn no_more_instances_are_made_than_allowed() {
    let mut one = counted("instances=1", 12);
    one.sort_unstable();
    assert_eq!(one, (1..=12).collect::<Vec<u8>>());
    let three = counted("instances=3", 12);
    let first_calls = three.iter().filter(|number| **number == 1).count();
    assert!((2..=3).contains(&first_calls), "{three:?}");
}

/// Limit `requests`: one request at a time needs one instance, however many there may be.
#[test]
fn no_more_requests_are_under_way_than_allowed() {
    let one = counted("instances=8,requests=1", 12);
    assert_eq!(one, (1..=12).collect::<Vec<u8>>(), "in order, and alone");
    let many = counted("instances=8,requests=12", 12);
    assert!(distinct(&many) < 12, "{many:?}");
}

/// Limit `inflight`: one request is always admitted, and a second one only if both fit.
#[test]
fn no_more_bytes_are_under_way_than_allowed() {
    let one = counted("instances=8,inflight=1", 12);
    assert_eq!(one, (1..=12).collect::<Vec<u8>>(), "in order, and alone");
    let many = counted("instances=8,inflight=1M", 12);
    assert!(distinct(&many) < 12, "{many:?}");
}

/// Sends this many reads of `length` bytes at once, and returns how many succeed. The others fail with EIO.
fn served(limits: &str, reads: u64, length: u32) -> usize {
    let server = limited("bad", limits, &[]);
    let mut client = transmission(&server);
    for cookie in 0..reads {
        client.request(0, command::READ, cookie, 0, length);
    }
    let mut reply = || match client.simple_reply().0 {
        0 => client.raw.receive(length as usize).len(),
        error => {
            assert_eq!(error, Errno::Eio.to_wire());
            0
        }
    };
    (0..reads).filter(|_| reply() > 0).count()
}

/// Limit `iops`: the server serves the requests of a burst of 100 ms, and those that may wait.
#[test]
fn no_more_requests_a_second_are_served_than_allowed() {
    assert_eq!(served("iops=none,wall=1s", 40, 512), 40);
    assert_eq!(served("iops=1000000,wall=1s", 40, 512), 40);
    let some = served("iops=4,wall=1s", 40, 512);
    assert!((5..20).contains(&some), "{some}");
}

/// Limit `bandwidth`: the same, for bytes.
#[test]
fn no_more_bytes_a_second_are_served_than_allowed() {
    assert_eq!(served("bandwidth=1G,wall=1s", 40, 16 << 10), 40);
    let some = served("bandwidth=64K,wall=1s", 40, 16 << 10);
    assert!((5..20).contains(&some), "{some}");
}

/// The numbers that the reads of two connections got together.
fn counted_by_two(limits: &str) -> Vec<u8> {
    let limits = format!("{limits},cpu=20s");
    let settings = ["mode=parallel", "at=read", "do=counting"];
    let server = limited("bad", &limits, &settings);
    let mut clients = [transmission(&server), transmission(&server)];
    for cookie in 0..6 {
        for client in &mut clients {
            client.request(0, command::READ, cookie, 0, 1);
        }
    }
    let mut numbers = Vec::new();
    for client in &mut clients {
        for _ in 0..6 {
            assert_eq!(client.simple_reply().0, 0);
            numbers.extend(client.raw.receive(1));
        }
    }
    numbers.sort_unstable();
    numbers
}

/// Limit `total-requests`: one at a time on all connections needs one instance.
#[test]
fn no_more_requests_are_under_way_on_all_connections_than_allowed() {
    let one = counted_by_two("instances=8,total-requests=1");
    assert_eq!(one, (1..=12).collect::<Vec<u8>>(), "alone");
    let many = counted_by_two("instances=8,total-requests=12");
    assert!(distinct(&many) < 12, "{many:?}");
}

/// Limit `total-inflight`: one request is always admitted, and a second one only if both fit.
#[test]
fn no_more_bytes_are_under_way_on_all_connections_than_allowed() {
    let one = counted_by_two("instances=8,total-inflight=1");
    assert_eq!(one, (1..=12).collect::<Vec<u8>>(), "alone");
    let many = counted_by_two("instances=8,total-inflight=1M");
    assert!(distinct(&many) < 12, "{many:?}");
}

/// Limit `extents`: the map that a client gets in one reply, for a disk with holes everywhere.
#[test]
fn no_more_extents_are_kept_than_allowed() {
    let size = 1 << 20;
    for most in [1, 7] {
        let limits = format!("extents={most}");
        let server = Server::plugin("sparse", &["size=1M", "runlength=4K", "--limit", &limits]);
        let mut client = connect(&server);
        let first = client.status(0, size, CommandFlags::empty()).unwrap();
        assert_eq!(first.len(), most);
        // The reply is shorter but right: the next request goes on at its end.
        let all = client.map(0, size, size);
        assert!(
            all.len() > 7 && all.iter().any(|extent| extent.is_hole()),
            "{all:?}"
        );
    }
    let server = Server::plugin(
        "sparse",
        &["size=1M", "runlength=4K", "--limit", "extents=1000"],
    );
    let all = connect(&server)
        .status(0, size, CommandFlags::empty())
        .unwrap();
    assert!(all.len() > 7, "{all:?}");
}

/// Limit `mapping`: the host uses the mapping that a plugin reported as far as the limit allows, however small that is,
/// and not at all without one. The bytes of the blob differ from those that the plugin reads.
#[test]
fn a_mapping_is_remembered_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let blob = folder.path().join("blob");
    std::fs::write(&blob, vec![7; 1 << 20]).unwrap();
    let grant = format!("b={}:ro", blob.display());
    for (deed, limit, expected) in [
        ("do=map", "16M", 7),
        ("do=map", "4K", 7),
        ("do=map", "0", 0x42),
        ("do=scattered", "16K", 7),
        ("do=scattered", "2K", 0x42),
    ] {
        let limits = format!("mapping={limit},cpu=20s");
        let settings = ["--blob", &grant, "blob=b", "at=locate", deed];
        let server = limited("bad", &limits, &settings);
        let mut client = connect(&server);
        for offset in [512, 0, 700_000, 512] {
            assert_eq!(client.read(offset, 1), Ok(vec![expected]), "{deed} {limit}");
        }
    }
}

/// Limit `log`: the host cuts a flood to the lines of one second; with a limit of 0 the log has none.
#[test]
fn no_more_is_logged_than_allowed() {
    let flood = ["at=read", "do=log", "offset=512"];
    let lines = |limits: &str| {
        let server = limited("bad", limits, &flood);
        assert_eq!(there(&server), Ok(vec![0x42]));
        let log = server.log();
        log.lines().filter(|line| line.contains("flood")).count()
    };
    assert_eq!(lines("log=0,cpu=20s"), 0);
    let (little, much) = (lines("log=1K,cpu=20s"), lines("log=64M,cpu=20s"));
    assert!(little > 0 && little < 1000, "{little} lines");
    assert_eq!(much, 10_000);
}

/// Limit `connections`: the server serves the next client when another has gone.
#[test]
fn no_more_connections_are_let_in_than_allowed() {
    let server = limited("bad", "connections=2", &[]);
    let first = connect(&server);
    let mut second = connect(&server);
    let mut third = server.connect();
    // The client is in the backlog: the server sends it nothing while it answers the others.
    for _ in 0..200 {
        assert!(second.read(0, 1).is_ok());
    }
    assert!(third.has_nothing_to_receive());
    drop(first);
    let _flags = third.hello(3);
}

/// Limits `idle` and `handshake`: silence ends a connection, but only if the limit is set.
#[test]
fn silence_is_allowed_for_so_long() {
    let patient = limited("bad", "idle=never,handshake=60s", &[]);
    let (mut silent, mut quiet) = (patient.connect(), transmission(&patient));

    let server = limited("bad", "idle=1s,handshake=1s", &[]);
    let (mut late, mut idle) = (server.connect(), transmission(&server));
    assert!(
        idle.raw.is_closed(),
        "the server closes a connection without requests"
    );
    let _greeting = late.receive(18);
    assert!(late.is_closed(), "the server closes a silent handshake");

    // The other server's clients have been silent for longer than that.
    assert!(quiet.raw.has_nothing_to_receive());
    quiet.request(0, command::READ, 1, 0, 1);
    assert_eq!(quiet.simple_reply(), (0, 1));
    let _flags = silent.hello(3);
}

/// Limit `stall`: half a write ends its connection when another one waits for it, but not before this time.
#[test]
fn stopping_half_way_is_allowed_for_so_long() {
    let stopped_and_waiting = |stall: &str| {
        let more = format!("settings = {{ size = \"1M\" }}\nlimits = {{ stall = \"{stall}\" }}");
        let tenant = tenancy::tenant("alice", "requests = 1");
        let export = tenancy::export("alice", "disk", "memory", &more);
        let server = Server::hosting(&[admin::ADMIN, &tenant, &export].concat());
        let connect = || {
            let mut raw = Raw::connect(&server.folder().join("alice"));
            let _flags = raw.hello(3);
            raw.go("disk")
        };
        let (mut stops, mut waits) = (connect(), connect());
        stops.request(0, command::WRITE, 1, 0, 4096);
        stops.raw.send(&[7; 2048]);
        let labels = [("tenant", "alice")];
        let under_way = || {
            admin::sample(
                &admin::get(&server, "/metrics"),
                "nbdbox_tenant_requests",
                &labels,
            )
        };
        while under_way() != Some(1.0) {}
        waits.request(0, command::READ, 2, 0, 512);
        (server, stops, waits)
    };
    let (server, mut stops, mut waits) = stopped_and_waiting("200ms");
    assert_eq!(waits.simple_reply(), (0, 2));
    assert!(stops.raw.is_closed());
    let log = server.stop().log;
    assert_eq!(
        log.matches("doesn't send the rest of a write").count(),
        1,
        "{log}"
    );

    let (server, mut stops, mut waits) = stopped_and_waiting("10min");
    for _ in 0..20 {
        let _figures = admin::get(&server, "/metrics");
    }
    assert!(waits.raw.has_nothing_to_receive());
    stops.raw.send(&[7; 2048]);
    assert_eq!(stops.simple_reply(), (0, 1));
    assert_eq!(waits.simple_reply(), (0, 2));
}

/// The tests above cover each limit of the manual's table.
#[test]
fn every_limit_is_tested_at_its_edge() {
    let manual = include_str!("../../../host/CLI.md");
    let table = manual.split("| `--limit` | Default").nth(1).unwrap();
    let keys = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| `"));
    // Limits that need several tenants or exports, or a slow disk, have their tests there.
    let sources = [
        include_str!("limit_edges.rs"),
        include_str!("../fairness/shares.rs"),
        include_str!("../plugins/blobs/slow_disk.rs"),
    ];
    let named: String = sources
        .concat()
        .lines()
        .filter(|line| line.starts_with("/// Limit"))
        .collect();
    let mut count = 0;
    for key in keys.filter_map(|line| line.split('`').next()) {
        assert!(
            named.contains(&format!("`{key}`")),
            "{key} has no test here"
        );
        count += 1;
    }
    assert!(count >= 12, "{count} limits");
}
