//! Four tenants misbehave, each in another way; the fifth gets its share. (`make shares` measures it.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nbd_proto::wire::command;
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Raw, Server, Transmission};

use crate::crew::{Crew, Stop, beside, cores, workshop};
use crate::scene::{export, tenant};

/// Reads until somebody says so, and gets nothing but errors. Returns how many.
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

/// Asks for much, and takes nothing of it.
fn dawdle(server: &Server) -> Transmission {
    let mut raw = Raw::connect(&server.folder().join("dawdles"));
    let _flags = raw.hello(3);
    let mut client = raw.go("evil");
    for cookie in 0..32 {
        client.request(0, command::READ, cookie, 0, 1 << 20);
    }
    client
}

#[test]
fn while_others_loop_allocate_flood_and_dawdle_a_fifth_gets_its_share() {
    let most = 60 * cores();
    let (few, many) = (4 * cores(), 8 * cores());
    let evil = |name: &str, deed: &str| {
        let settings = format!("settings = {{ at = \"read\", do = \"{deed}\" }}");
        tenant(name, "") + &export(name, "evil", "bad", &settings)
    };
    let config = [
        evil("loops", "loop"),
        evil("allocates", "grow"),
        tenant("floods", &format!("instances = {many}")),
        workshop("floods", "work", many, 100),
        tenant("dawdles", ""),
        export(
            "dawdles",
            "evil",
            "pattern",
            "settings = { size = \"64M\" }",
        ),
        tenant("fifth", &format!("instances = {few}")),
        workshop("fifth", "work", few, 100),
    ];
    let server = Server::hosting(&config.concat());
    let _slow: Vec<_> = (0..4).map(|_| dawdle(&server)).collect();
    let mut flood = Crew::hire(&server, "floods", "work", many);
    let mut fifth = Crew::hire(&server, "fifth", "work", few);
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
            assert!(attack.join().unwrap() > 0, "it went on all the time");
        }
        theirs
    });
    // Both compute all the time: a fifth that gets as much as the flood has what it's promised.
    assert!(4 * theirs <= 5 * most, "{most} against {theirs}");
}
