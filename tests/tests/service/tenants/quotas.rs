//! The limits of a tenant, at their edge.

use nbd_proto::wire::command;
use nbdbox_tests::{Raw, Server, nbdsh, run};

use super::scene::{Reader, export, info, tenant, three, uri};

const SIZE: &str = "settings = { size = \"1M\" }";

#[test]
fn a_tenants_connections_are_counted_over_all_its_exports() {
    let config = [
        tenant("alice", "connections = 2"),
        export("alice", "a", "pattern", SIZE),
        export("alice", "b", "pattern", SIZE),
        tenant("bob", ""),
        export("bob", "disk", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let one = Reader::start(&server, "alice", "a");
    let two = Reader::start(&server, "alice", "b");
    let third = info(&server, "alice", "a", "--size");
    assert_ne!(third.code, 0);
    assert!(
        third.stderr.contains("server policy prevents"),
        "{}",
        third.stderr
    );
    assert_eq!(info(&server, "bob", "disk", "--size").ok(), "1048576\n");
    assert!(one.stop() > 0);
    assert_eq!(info_when_free(&server), "1048576\n");
    assert!(two.stop() > 0);
}

/// The place of a client that has gone is free when the server has seen that it has gone.
fn info_when_free(server: &Server) -> String {
    loop {
        let run = info(server, "alice", "a", "--size");
        if run.code == 0 {
            return run.stdout;
        }
        assert!(
            run.stderr.contains("server policy prevents"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn an_exports_connections_have_a_limit_of_their_own() {
    let config = [
        tenant("alice", ""),
        export(
            "alice",
            "a",
            "pattern",
            &format!("{SIZE}\nlimits = {{ connections = 1 }}"),
        ),
        export("alice", "b", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let reader = Reader::start(&server, "alice", "a");
    assert!(
        info(&server, "alice", "a", "--size")
            .stderr
            .contains("server policy prevents")
    );
    assert_eq!(info(&server, "alice", "b", "--size").ok(), "1048576\n");
    assert!(reader.stop() > 0);
}

#[test]
fn exports_share_their_tenants_instances_and_give_them_back() {
    let config = [
        tenant("alice", "instances = 1"),
        export("alice", "a", "pattern", SIZE),
        export("alice", "b", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let reader = Reader::start(&server, "alice", "a");
    let second = info(&server, "alice", "b", "--size");
    assert_ne!(second.code, 0);
    assert!(
        server.log().contains("the tenant has no instance left"),
        "{}",
        server.log()
    );
    assert!(reader.stop() > 0);
    // Nobody is connected to `a` any more, so its instance makes room.
    while info(&server, "alice", "b", "--size").code != 0 {}
}

#[test]
fn a_parallel_export_makes_do_with_the_instances_that_there_are() {
    let config = [
        tenant("alice", "instances = 1"),
        export("alice", "a", "pattern", SIZE),
    ];
    let server = Server::hosting(&config.concat());
    let out = server.folder().join("copy");
    let copy = run(
        "nbdcopy",
        [
            "--connections=4",
            "--requests=16",
            "--request-size=65536",
            &uri(&server, "alice", "a"),
            out.to_str().unwrap(),
        ],
    );
    let _ = copy.ok();
    assert_eq!(std::fs::metadata(out).unwrap().len(), 1 << 20);
}

#[test]
fn requests_beyond_a_tenants_share_wait_and_all_are_answered() {
    let config = [
        tenant("alice", "requests = 1, inflight = \"64KiB\""),
        export("alice", "a", "pattern", "settings = { size = \"8M\" }"),
    ];
    let server = Server::hosting(&config.concat());
    let readers: Vec<_> = (0..3)
        .map(|_| Reader::start(&server, "alice", "a"))
        .collect();
    let out = server.folder().join("copy");
    let copy = run(
        "nbdcopy",
        [
            "--connections=4",
            "--requests=64",
            &uri(&server, "alice", "a"),
            out.to_str().unwrap(),
        ],
    );
    let _ = copy.ok();
    for reader in readers {
        assert!(reader.stop() > 0);
    }
}

/// The numbers that six reads at once of each of two exports got. Every instance counts for itself.
fn counted(limits: &str) -> [Vec<u8>; 2] {
    let counting = "settings = { at = \"read\", do = \"counting\", mode = \"parallel\" }\n\
                    limits = { instances = 8, cpu = \"20s\" }";
    let config = [
        tenant("alice", limits),
        export("alice", "a", "bad", counting),
        export("alice", "b", "bad", counting),
    ];
    let server = Server::hosting(&config.concat());
    let mut clients = ["a", "b"].map(|name| {
        let mut raw = Raw::connect(&server.folder().join("alice"));
        let _flags = raw.hello(3);
        raw.go(name)
    });
    for cookie in 0..6 {
        for client in &mut clients {
            client.request(0, command::READ, cookie, 0, 1);
        }
    }
    clients.each_mut().map(|client| {
        let mut reply = || {
            assert_eq!(client.simple_reply().0, 0);
            client.raw.receive(1)[0]
        };
        (0..6).map(|_| reply()).collect()
    })
}

/// The numbers that an instance returns if it serves an export alone.
const ALONE: [u8; 6] = [1, 2, 3, 4, 5, 6];

/// Limit `requests` of a tenant: one request at a time needs one instance for each export.
#[test]
fn no_more_requests_of_a_tenant_are_under_way_than_allowed() {
    assert_eq!(counted("requests = 1"), [ALONE; 2]);
    let many = counted("requests = 12");
    assert!(many.iter().any(|one| one[..] != ALONE), "{many:?}");
}

/// Limit `inflight` of a tenant: one request is always admitted, and a second one only if both fit.
#[test]
fn no_more_bytes_of_a_tenant_are_under_way_than_allowed() {
    assert_eq!(counted("inflight = 1"), [ALONE; 2]);
    let many = counted("inflight = \"1MiB\"");
    assert!(many.iter().any(|one| one[..] != ALONE), "{many:?}");
}

#[test]
fn a_tenants_mappings_are_counted_over_all_its_instances() {
    let config = [
        tenant("alice", "mappings = 16"),
        export("alice", "a", "pattern", SIZE),
        export("alice", "b", "pattern", SIZE),
        three().replace("alice", "dave"),
    ];
    let server = Server::hosting(&config.concat());
    let reader = Reader::start(&server, "alice", "a");
    assert_ne!(info(&server, "alice", "b", "--size").code, 0);
    assert_eq!(info(&server, "bob", "disk", "--size").code, 0);
    assert!(reader.stop() > 0);
    let log = server.stop().log;
    assert!(log.contains("the tenant has no mappings"), "{log}");
}

#[test]
fn a_tenants_memory_is_shared_by_its_instances() {
    let config = [
        tenant("alice", "memory = \"40MiB\""),
        export("alice", "a", "memory", "settings = { size = \"24M\" }"),
        export("alice", "b", "memory", "settings = { size = \"24M\" }"),
        three().replace("alice", "dave"),
    ];
    let server = Server::hosting(&config.concat());
    let fill = "h.pwrite(bytearray([1]) * (24 << 20), 0)";
    let write = |name| nbdsh(&uri(&server, "alice", name), fill);
    let _ = write("a").ok();
    let second = write("b");
    assert_ne!(second.code, 0);
    let small = "h.pwrite(bytearray([1]) * (1 << 20), 0)";
    let _ = nbdsh(&uri(&server, "bob", "disk"), small).ok();
}
