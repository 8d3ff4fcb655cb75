//! Four tenants misbehave, each in another way; the fifth gets its share. (`make shares` measures it.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nbd_proto::wire::command;
use nbd_proto::{Errno, Framing};
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::tenancy::{export, tenant};
use nbdbox_tests::{Client, Raw, Server, Transmission};

use crate::crew::{Crew, Stop, beside, cores, workshop};

/// Reads until `stop` is set, and expects only errors. Returns their number.
fn fail(server: &Server, tenant: &str, stop: &AtomicBool) -> usize {
    let socket = server.folder().join(tenant);
    let mut client = Client::connect_to(&socket, "evil", Framing::Structured);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let refused = client.read(0, 512).unwrap_err();
        assert_eq!(refused.errno, Errno::Eio, "{}", refused.text);
        count += 1;
    }
    count
}

/// Requests many bytes, and takes none of them.
fn dawdle(server: &Server) -> Transmission {
    let mut raw = Raw::connect(&server.folder().join("dawdles"));
    let _flags = raw.hello(3);
    let mut client = raw.go("evil");
    for cookie in 0..32 {
        client.request(0, command::READ, cookie, 0, 1 << 20);
    }
    client
}

/// The seconds for which a tenant's guests have had a thread so far.
fn guest_seconds(figures: &str, tenant: &str) -> f64 {
    let labels = [("tenant", tenant)];
    sample(figures, "nbdbox_guest_cpu_seconds_total", &labels).unwrap_or(0.0)
}

/// All tenants, with their weights.
const TENANTS: [(&str, u32); 5] = [
    ("loops", 100),
    ("allocates", 100),
    ("floods", 100),
    ("dawdles", 100),
    ("fifth", 200),
];

/// The share of the cores that the fifth's weight promises.
fn promised() -> f64 {
    let all: u32 = TENANTS.iter().map(|(_, weight)| weight).sum();
    f64::from(TENANTS[4].1) / f64::from(all)
}

/// The scene, with this many instances for each crew.
fn scene(many: usize) -> Server {
    let config = TENANTS.map(|(name, weight)| {
        let limits = format!("cpu-weight = {weight}, instances = {}", many + 1);
        let evil = |plugin, settings| {
            let settings = format!("settings = {{ {settings} }}");
            export(name, "evil", plugin, &settings)
        };
        let export = match name {
            "loops" => evil("bad", "at = \"read\", do = \"loop\""),
            "allocates" => evil("bad", "at = \"read\", do = \"grow\""),
            "dawdles" => evil("pattern", "size = \"64M\""),
            _ => workshop(name, "work", many, 100),
        };
        tenant(name, &limits) + &export
    });
    Server::hosting(&(config.concat() + ADMIN))
}

#[test]
#[ignore = "compares shares of the cores: make shares"]
fn while_others_loop_allocate_flood_and_dawdle_a_fifth_gets_its_share() {
    let _alone = crate::alone();
    let most = 60 * cores();
    let (few, many) = (4 * cores(), 8 * cores());
    let server = scene(many);
    let _slow: Vec<_> = (0..4).map(|_| dawdle(&server)).collect();
    let mut flood = Crew::hire(&server, "floods", "work", many);
    let mut fifth = Crew::hire(&server, "fifth", "work", few);
    let before = get(&server, "/metrics");
    let stop = AtomicBool::new(false);
    let theirs = thread::scope(|scope| {
        let attacks = ["loops", "allocates"].map(|name| {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || fail(server, name, stop))
        });
        let all = Stop(&stop);
        let theirs = beside(&mut fifth, &mut flood, most);
        drop(all);
        for attack in attacks {
            assert!(
                attack.join().unwrap() > 0,
                "the attack went on all the time"
            );
        }
        theirs
    });
    let after = get(&server, "/metrics");
    let used = |name| guest_seconds(&after, name) - guest_seconds(&before, name);
    let all: f64 = TENANTS.iter().map(|(name, _)| used(name)).sum();
    let part = used("fifth") / all;
    assert!(part >= 0.8 * promised(), "{part} of the guests' time");
    // Both crews compute all the time, so a fifth with twice the reads of the flood has its promised share.
    assert!(4 * 2 * theirs <= 5 * most, "{most} against {theirs}");
    let waits = [("tenant", "floods")];
    let waited = sample(&after, "nbdbox_core_wait_seconds_count", &waits);
    assert!(waited.unwrap() > 0.0, "the flood had to wait");
}
