//! The admin listener itself: only for this machine, only for reading, and bounded.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use nbd_proto::Errno;
use nbd_proto::wire::command;
use nbdbox_tests::{Raw, Server, guest, nbdbox, nbdsh, plugin, run};

use super::scene::{ADMIN, curl, export, get, hosting, mallorys, socket, tenant, value};

#[test]
fn a_server_that_drains_is_not_well_and_says_what_it_refuses() {
    let wait = "at = \"read\", do = \"wait\", offset = 0, mode = \"parallel\"";
    let long = "limits = { cpu = \"1min\", wall = \"1min\" }";
    let server = mallorys("", &[export("disk", &guest("bad"), wait, long)]);
    let mut client = Raw::negotiating(&server).go("disk");
    client.request(0, command::READ, 1, 0, 512);
    // The reply to the second request shows that the first is in flight.
    client.request(0, command::READ, 2, 4096, 512);
    assert_eq!(client.simple_reply(), (0, 2));
    let _ = client.raw.receive(512);
    let text = get(&server, "/metrics");
    let mallory = [("tenant", "mallory")];
    for (name, expected) in [
        ("tenant_requests", 1.0),
        ("tenant_connections", 1.0),
        ("connections", 1.0),
    ] {
        let value = value(&text, &format!("nbdbox_{name}"), &mallory);
        assert_eq!(value, expected, "{name}");
    }
    assert!(value(&text, "nbdbox_tenant_inflight_bytes", &mallory) >= 512.0);
    assert_eq!(value(&text, "nbdbox_sockets", &[]), 1.0);
    assert_eq!(get(&server, "/healthz"), "ok\n");

    server.begin_to_stop();
    let status = ["-w", " %{http_code}", "http://localhost/healthz"];
    let health = curl(&socket(&server), &status).ok();
    assert_eq!(
        health.split_whitespace().collect::<Vec<_>>(),
        ["stopping", "503"]
    );
    client.request(0, command::READ, 3, 4096, 512);
    assert_eq!(client.simple_reply(), (Errno::Eshutdown.to_wire(), 3));
    let text = get(&server, "/metrics");
    let refused = [("operation", "read"), ("outcome", "shutdown")];
    assert_eq!(value(&text, "nbdbox_operations_total", &refused), 1.0);
    // At the next request the listener answers at once.
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn an_export_that_fails_makes_the_server_no_less_well() {
    let bad = "at = \"open\", do = \"trap\"";
    let server = mallorys("", &[export("disk", &guest("bad"), bad, "")]);
    assert_ne!(nbdsh(&server.uri_of("disk"), "").code, 0);
    assert_eq!(
        value(&get(&server, "/metrics"), "nbdbox_failed_opens_total", &[]),
        1.0
    );
    assert_eq!(get(&server, "/healthz"), "ok\n");
}

#[test]
fn its_socket_is_for_the_operator_alone() {
    let server = hosting();
    let path = socket(&server);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(get(&server, "/healthz"), "ok\n");
}

#[test]
fn it_only_answers_get() {
    let server = hosting();
    let status = |arguments: &[&str]| {
        let all = ["-o", "/dev/null", "-w", "%{http_code} %header{allow}"];
        let all: Vec<&str> = all.iter().chain(arguments).copied().collect();
        curl(&socket(&server), &all).ok().trim_end().to_owned()
    };
    let metrics = "http://localhost/metrics";
    assert_eq!(status(&[metrics]), "200");
    assert_eq!(status(&["-d", "x=1", metrics]), "405 GET");
    assert_eq!(status(&["-X", "DELETE", metrics]), "405 GET");
    assert_eq!(status(&["http://localhost/etc/passwd"]), "404");
    assert_eq!(status(&["http://127.0.0.1:9809/healthz"]), "200");
    assert_eq!(status(&["http://rebound.example/metrics"]), "421");
    let long = format!("X-Long: {}", "x".repeat(64 << 10));
    assert_eq!(status(&["-H", &long, metrics]), "431");
}

#[test]
fn clients_that_dribble_or_never_read_hold_nobody_up() {
    let server = hosting();
    let mut idle = Vec::new();
    for request in [
        "",
        "GET /metr",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(socket(&server)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        idle.push(stream);
    }
    assert!(get(&server, "/metrics").ends_with("# EOF\n"));
    // A request that makes no sense gets an error, and doesn't end the listener.
    let mut stream = UnixStream::connect(socket(&server)).unwrap();
    stream.write_all(&[0xff; 4096]).unwrap();
    let mut answer = String::new();
    // A reset may have cut off the rest of the request.
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    assert_eq!(get(&server, "/healthz"), "ok\n");
}

#[test]
fn an_address_that_others_can_reach_is_refused_in_words() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "localhost:9809"] {
        let plugin = plugin("pattern");
        let serve = [
            "serve",
            "--admin",
            address,
            plugin.to_str().unwrap(),
            "size=1M",
        ];
        let ran = run(nbdbox(), serve);
        assert_eq!(ran.code, 2, "{address}: {}", ran.stderr);
        assert!(ran.stderr.contains("loopback address"), "{}", ran.stderr);
    }
}

#[test]
fn the_command_line_has_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let pattern = plugin("pattern");
    let arguments = ["--admin", path.to_str().unwrap(), pattern.to_str().unwrap()];
    let server = Server::start(arguments.into_iter().chain(["size=1M"]));
    let exports = curl(&path, &["--fail", "http://localhost/exports"]).ok();
    let exports: serde_json::Value = serde_json::from_str(&exports).unwrap();
    assert_eq!(exports["exports"][0]["size"], 1 << 20);
    assert_eq!(exports["exports"][0]["plugin"], "pattern");
    assert_eq!(exports["exports"][0]["tenant"], "");
    assert_eq!(server.stop().code, Some(0));
    assert!(!path.exists(), "the socket is removed with the server");
}

#[test]
fn it_comes_and_goes_with_the_configuration() {
    let alice = tenant("alice", "disk", &plugin("pattern"), "size = \"1M\"");
    let server = Server::hosting(&alice);
    assert!(!socket(&server).exists());
    server.reload(&format!("{alice}{ADMIN}"));
    assert_eq!(get(&server, "/healthz"), "ok\n");
    server.reload(&alice);
    assert!(!socket(&server).exists());
}
