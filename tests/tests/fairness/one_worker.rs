//! Many tenants whose guests compute on a single thread: each gets its turns, whatever other tenants' clients do.

use std::sync::atomic::AtomicBool;
use std::thread;

use nbd_proto::Framing;
use nbd_proto::wire::command;
use nbdbox_tests::tenancy::{export, tenant};
use nbdbox_tests::{Client, Raw, Server};

use crate::crew::{Crew, Stop, beside, workshop};

const TENANTS: usize = 10;

/// The connections of each tenant.
const CREW: usize = 3;

/// The reads of the slowest tenant.
const MOST: usize = 8;

/// Requests work and hangs up, again and again. The guests wait for their turn, and compute for nobody.
fn desert(server: &Server, tenant: &str) {
    for _ in 0..10 {
        let mut raw = Raw::connect(&server.folder().join(tenant));
        let _flags = raw.hello(3);
        let mut client = raw.go("work");
        for cookie in 0..3 {
            client.request(0, command::READ, cookie, 0, 1);
        }
    }
}

#[test]
#[ignore = "compares shares of the cores: make shares"]
fn many_tenants_on_one_worker_all_have_their_turns() {
    let _alone = crate::alone();
    let names: Vec<String> = (0..TENANTS).map(|number| format!("t{number}")).collect();
    let config = names.iter().map(|name| {
        let work = workshop(name, "work", CREW, 100);
        tenant(name, "") + &work
    });
    let server = Server::hosting_with(&config.collect::<String>(), &["--threads", "1"]);
    let mut crews: Vec<Crew> = names
        .iter()
        .map(|name| Crew::hire(&server, name, "work", CREW))
        .collect();
    let stop = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        for name in ["t0", "t1"] {
            let server = &server;
            scope.spawn(move || desert(server, name));
        }
        let (last, others) = crews.split_last_mut().unwrap();
        let stop = &stop;
        let others: Vec<_> = others
            .iter_mut()
            .map(|crew| scope.spawn(move || crew.work(usize::MAX, stop)))
            .collect();
        let all = Stop(stop);
        let _ = last.work(MOST, stop);
        drop(all);
        let join = |one: thread::ScopedJoinHandle<'_, usize>| one.join().unwrap();
        others.into_iter().map(join).collect::<Vec<_>>()
    });
    // Each tenant has the same number of turns. At the end every connection may have one more in flight.
    assert!(
        done.iter().all(|done| *done <= 2 * (MOST + CREW)),
        "{done:?}"
    );
    // No connection has kept a place.
    for name in &names {
        let mut client = Client::connect_to(&server.folder().join(name), "work", Framing::Simple);
        assert!(client.read(0, 1).is_ok());
    }
}

/// The host stops a call for its own time, not for the time that others compute. Otherwise a neighbour could make an
/// export fail, for good if its memory is the disk.
#[test]
fn waiting_for_the_cores_does_not_count_as_wall_time() {
    let _alone = crate::alone();
    let work = "settings = { at = \"read\", do = \"work\", mode = \"parallel\" }\n\
                limits = { cpu = \"10s\", wall = \"1s\" }";
    let config = [
        tenant("alice", "cpu-weight = 1"),
        export("alice", "work", "bad", work),
        tenant("mallory", "cpu-weight = 100"),
        workshop("mallory", "work", 8, 100),
    ];
    let server = Server::hosting_with(&config.concat(), &["--threads", "1"]);
    let mut alice = Crew::hire(&server, "alice", "work", 1);
    let mut mallory = Crew::hire(&server, "mallory", "work", 8);
    // Each of her ticks waits for 100 of theirs; a call that the host stopped would fail.
    let _ = beside(&mut alice, &mut mallory, 2);
    assert!(!server.log().contains("took too long"), "{}", server.log());
}
