//! Silent clients of one listener or of one tenant, next to clients that send requests.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::wire::{command, option, option_reply};
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::{Neighbour, Raw, Server, Transmission, plugin};

use super::scene::{export, tenant};

const SIZE: &str = "settings = { size = \"1M\" }";

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Alice and Mallory, each with a socket of its own. Silence may last longer than any test.
fn two(connections: usize) -> Server {
    let config = [
        format!("connections = {connections}\nhandshake = \"10min\"\n{ADMIN}"),
        tenant("alice", ""),
        export("alice", "disk", "pattern", SIZE),
        tenant("mallory", ""),
        export("mallory", "disk", "pattern", SIZE),
    ];
    Server::hosting(&config.concat())
}

fn come(server: &Server, tenant: &str) -> Raw {
    Raw::connect(&server.folder().join(tenant))
}

fn choose(server: &Server, tenant: &str) -> Transmission {
    let mut raw = come(server, tenant);
    let _flags = raw.hello(3);
    raw.go("disk")
}

fn assert_serves(mut client: Transmission) {
    client.request(0, command::READ, 1, 0, 512);
    assert_eq!(client.simple_reply(), (0, 1));
}

fn displaced(server: &Server) -> f64 {
    let labels = [("end", "displaced")];
    sample(
        &get(server, "/metrics"),
        "nbdbox_connection_ends_total",
        &labels,
    )
    .unwrap()
}

#[test]
fn silent_clients_of_one_listener_keep_no_other_waiting() {
    let server = two(64);
    let mut silent: Vec<Raw> = (0..300).map(|_| come(&server, "mallory")).collect();
    // The server has admitted the first of them.
    let _hello = silent[0].receive(18);
    assert_serves(choose(&server, "alice"));
    // They don't make each other wait either: the oldest ones are displaced.
    assert_serves(choose(&server, "mallory"));
    assert!(displaced(&server) >= 1.0);
    assert!(silent[0].is_closed());
    let exit = server.stop();
    let told = exit
        .log
        .lines()
        .find(|line| line.contains("choose no export"));
    assert!(
        told.unwrap().contains("listener=\"mallory\""),
        "{}",
        exit.log
    );
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

/// A client that sends INFO without end and chooses no export holds no more than a silent one.
#[test]
fn clients_that_never_choose_make_way_too() {
    let server = two(64);
    let mut undecided: Vec<Raw> = (0..256)
        .map(|_| {
            let mut raw = come(&server, "mallory");
            let _flags = raw.hello(3);
            let replies = raw.ask(option::INFO, &Raw::info_data("disk", &[]));
            assert!(!replies.is_empty());
            raw
        })
        .collect();
    assert_serves(choose(&server, "mallory"));
    assert!(undecided[0].is_closed());
}

/// Of 16 connections half are reserved, four for each of the two tenants. Each may have the other half.
#[test]
fn a_tenant_cannot_take_the_connections_that_are_kept_for_others() {
    let server = two(16);
    let mut held = Vec::new();
    let refused = loop {
        let mut raw = come(&server, "mallory");
        let _flags = raw.hello(3);
        let replies = raw.ask(option::INFO, &Raw::info_data("disk", &[]));
        match replies.last().unwrap() {
            (option_reply::ACK, _) => held.push(raw.go("disk")),
            (kind, _) => break *kind,
        }
    };
    assert_eq!((held.len(), refused), (12, option_reply::ERR_POLICY));
    let alices: Vec<Transmission> = (0..4).map(|_| choose(&server, "alice")).collect();
    alices.into_iter().for_each(assert_serves);
    held.into_iter().for_each(assert_serves);
}

/// A server of a pattern on a socket, with these limits of descriptors.
fn within(descriptors: &str) -> Server {
    let plugin = plugin("pattern").to_string_lossy().into_owned();
    let arguments = ["--limit", "handshake=10min", &plugin, "size=1G"];
    Server::within_descriptors(descriptors, &arguments)
}

fn soft_limit(server: &Server) -> String {
    let limits = fs::read_to_string(
        Path::new("/proc")
            .join(server.serving_pid().to_string())
            .join("limits"),
    );
    let limits = limits.unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    line.unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let server = within("64:5000");
    assert_eq!(soft_limit(&server), "5000");
    assert!(!server.log().contains("descriptors"), "{}", server.log());
}

/// There are fewer descriptors than clients. The server logs that at the start, and now and then when it happens.
#[test]
fn a_host_without_descriptors_says_so_and_goes_on_when_it_has_some() {
    let server = within("64:64");
    let log = server.log();
    assert!(log.contains("the process may open 64 descriptors"), "{log}");
    let neighbour = Neighbour::start(&server, "");
    let crowd: Vec<Raw> = (0..100).map(|_| server.connect()).collect();
    let lines = || -> Vec<String> {
        let log = server.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("can't accept a connection"));
        lines.map(str::to_owned).collect()
    };
    let start = Instant::now();
    while lines().len() < 2 {
        assert!(start.elapsed() < PATIENCE, "{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
    // The second line stands for all failures since the first.
    let times = |line: &str| {
        line.split("times=")
            .nth(1)?
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    };
    assert!(times(&lines()[1]).unwrap() > 2, "{:?}", lines());
    neighbour.goes_on();
    drop(crowd);
    Neighbour::check_read(&mut Neighbour::connect(&server, ""), 4096);
    neighbour.end();
    assert_eq!(server.stop().code, Some(0));
}
