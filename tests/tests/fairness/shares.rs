//! The most that a tenant gets per second.

use std::thread;
use std::time::Instant;

use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::tenancy::{export, tenant, uri};
use nbdbox_tests::{Server, nbdsh};

use crate::crew::{Crew, beside, cores, filtered_workshop, workshop};

const SIZE: &str = "settings = { size = \"64M\" }";

/// Reads this often, and this many bytes at a time. Returns the seconds that it took.
fn read(server: &Server, tenant: &str, name: &str, count: usize, length: usize) -> f64 {
    let script = format!(
        "import time\nstart = time.monotonic()\nfor i in range({count}): h.pread({length}, 0)\n\
         print(time.monotonic() - start)"
    );
    let took = nbdsh(&uri(server, tenant, name), &script).ok();
    took.trim().parse().unwrap()
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
    let _alone = crate::alone();
    let config = [
        tenant("alice", "iops = 20"),
        export("alice", "a", "pattern", SIZE),
        export("alice", "b", "pattern", SIZE),
        tenant("bob", ""),
        export("bob", "disk", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let start = Instant::now();
    thread::scope(|scope| {
        for name in ["a", "b"] {
            let server = &server;
            scope.spawn(move || read(server, "alice", name, 15, 512));
        }
    });
    // 30 requests at 20 a second, without the burst at the beginning; or one burst for each export if they don't
    // overlap.
    let both = start.elapsed().as_secs_f64();
    assert!(both > 1.1, "only {both} s");
    let free = read(&server, "bob", "disk", 1000, 512);
    assert!(free < 1000.0 / 20.0, "held back with the other: {free} s");
}

#[test]
fn an_exports_bytes_a_second_are_limited() {
    let _alone = crate::alone();
    let limits = format!("{SIZE}\nlimits = {{ bandwidth = \"4MiB\" }}");
    let config = [
        tenant("alice", ""),
        export("alice", "slow", "pattern", &limits),
        export("alice", "free", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let took = read(&server, "alice", "slow", 8, 1 << 20);
    // 8 MiB; the burst is 0.4 MiB, and nothing waits for the last read's debt.
    assert!(took > 1.5, "only {took} s");
    let free = read(&server, "alice", "free", 64, 1 << 20);
    assert!(free < 64.0 / 4.0, "held back with the other: {free} s");
}

#[test]
fn a_tenants_bytes_a_second_are_counted_over_all_its_exports() {
    let _alone = crate::alone();
    const LENGTH: usize = 16 << 10;
    let limits = format!("{SIZE}\nlimits = {{ wall = \"1s\" }}");
    let config = [
        tenant("alice", "bandwidth = \"64KiB\""),
        export("alice", "a", "pattern", &limits),
        export("alice", "b", "pattern", &limits),
        tenant("bob", ""),
        export("bob", "disk", "pattern", &limits),
    ];
    let server = Server::hosting(&config.concat());
    let (good, _) = flood(&server, "alice", "a", 20, LENGTH);
    assert!((1..20).contains(&good), "{good} at 4 a second");
    // The bytes of her first export count towards the second.
    let (good, _) = flood(&server, "alice", "b", 20, LENGTH);
    assert!((1..20).contains(&good), "{good} at 4 a second");
    let (good, failed) = flood(&server, "bob", "disk", 20, LENGTH);
    assert_eq!((good, failed), (20, 0), "held back with the other");
}

#[test]
fn a_request_that_would_wait_past_the_wall_time_gets_eio_and_the_connection_lives() {
    let _alone = crate::alone();
    let limits = format!("{SIZE}\nlimits = {{ iops = 4, wall = \"1s\" }}");
    let config = [
        tenant("alice", ""),
        export("alice", "a", "pattern", &limits),
        ADMIN.to_owned(),
    ];
    let server = Server::hosting(&config.concat());
    let (good, failed) = flood(&server, "alice", "a", 64, 512);
    assert!(good >= 4, "requests that wait are served: {good}");
    assert!(failed >= 32, "the others fail at once: {failed}");
    let figures = get(&server, "/metrics");
    let waits = sample(&figures, "nbdbox_rate_wait_seconds_count", &[]);
    assert!((1.0..=64.0).contains(&waits.unwrap()), "{waits:?}");
    let share = [("outcome", "share")];
    let refused = sample(&figures, "nbdbox_operations_total", &share);
    assert_eq!(refused, Some(f64::from(u32::try_from(failed).unwrap())));
}

#[test]
fn a_reload_changes_the_rate_of_connected_clients() {
    let _alone = crate::alone();
    let with = |iops: &str| [tenant("alice", iops), export("alice", "a", "pattern", SIZE)].concat();
    let server = Server::hosting(&with(""));
    let _ = read(&server, "alice", "a", 1, 512);
    server.reload(&with("iops = 10"));
    let took = read(&server, "alice", "a", 11, 512);
    assert!(took > 0.8, "only {took} s");
    server.reload(&with(""));
    let free = read(&server, "alice", "a", 1000, 512);
    assert!(free < 100.0, "{free} s");
}

#[test]
fn cores_are_shared_by_tenants_however_many_connections_they_have() {
    let _alone = crate::alone();
    const MINE: usize = 60;
    let greedy = 8 * cores();
    let config = [
        tenant("alice", ""),
        workshop("alice", "work", 1, 100),
        tenant("mallory", &format!("instances = {}", greedy + 1)),
        workshop("mallory", "work", greedy, 100),
    ];
    let server = Server::hosting(&config.concat());
    let mut alice = Crew::hire(&server, "alice", "work", 1);
    let mut mallory = Crew::hire(&server, "mallory", "work", greedy);
    let theirs = beside(&mut alice, &mut mallory, MINE);
    // If connections shared the cores, it would be 8 to 1 for each core. Tenants share them, so it's 1 to 1, and Alice
    // leaves what one guest can't use.
    assert!(theirs < 4 * cores() * MINE, "{theirs} against {MINE}");
}

#[test]
fn what_a_filter_computes_is_its_tenants_too() {
    let _alone = crate::alone();
    const MINE: usize = 40;
    let greedy = 8 * cores();
    let config = [
        tenant("alice", ""),
        workshop("alice", "work", 1, 100),
        tenant("mallory", &format!("instances = {}", 2 * greedy + 2)),
        filtered_workshop("mallory", "work", greedy),
    ];
    let server = Server::hosting(&config.concat());
    let mut alice = Crew::hire(&server, "alice", "work", 1);
    let mut mallory = Crew::hire(&server, "mallory", "work", greedy);
    let theirs = beside(&mut alice, &mut mallory, MINE);
    // Each read of theirs is at least twice the work of one of hers.
    assert!(theirs < 2 * cores() * MINE, "{theirs} against {MINE}");
}

/// Limit `cpu-weight` of an export: the exports of a tenant share the tenant's time by it.
#[test]
fn cores_are_shared_by_a_tenants_exports_by_their_weights() {
    let _alone = crate::alone();
    let each = 4 * cores();
    let most = 30 * cores();
    let config = [
        tenant("alice", &format!("instances = {}", 2 * each)),
        workshop("alice", "favourite", each, 800),
        workshop("alice", "rest", each, 100),
    ];
    let server = Server::hosting(&config.concat());
    let mut favourite = Crew::hire(&server, "alice", "favourite", each);
    let mut rest = Crew::hire(&server, "alice", "rest", each);
    let theirs = beside(&mut favourite, &mut rest, most);
    // 8 to 1; without weights it would be 1 to 1.
    assert!(theirs < most / 2, "{theirs} against {most}");
}
