//! What a reload changes about listeners, and the changes that it logs as impossible.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nbdbox_tests::pki::{Authority, localhost};
use nbdbox_tests::{Server, run};

use super::scene::{Reader, info, three, uri};

#[test]
fn changes_that_need_a_restart_are_logged() {
    let server = Server::hosting(&three());
    let changed = "log-format = \"json\"\nconnections = 7\nhandshake = \"3s\"\ndrain = \"4s\"\n";
    let config = [changed, &three()].concat();
    server.reload(&config.replacen("/alice\"", "/alice\"\nmode = \"0600\"", 1));
    let log = server.log();
    let words = "take effect only when the server restarts: \
                 log-format, connections, handshake, drain, mode and owner of alice";
    assert!(log.contains(words), "{log}");
    // Changes that need no restart take effect. Once a key has its old value, the log doesn't name it again.
    server.reload(&three());
    assert_eq!(
        server
            .log()
            .matches("only when the server restarts")
            .count(),
        1
    );
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
}

#[test]
fn a_listener_that_stays_cannot_get_another_name() {
    let server = Server::hosting(&three());
    let config = three().replacen("name = \"alice\"", "name = \"carla\"", 1);
    server.reload(&config.replacen("listener = \"alice\"", "listener = \"carla\"", 1));
    let log = server.log();
    assert!(log.contains("alice can't change its name"), "{log}");
    assert!(log.contains("the previous one stays in force"), "{log}");
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
}

/// The sockets of two tenants change places.
#[test]
fn names_cannot_be_swapped_under_clients() {
    let server = Server::hosting(&three());
    let config = three().replace("FOLDER/alice", "FOLDER/x");
    let config = config.replace("FOLDER/bob", "FOLDER/alice");
    server.reload(&config.replace("FOLDER/x", "FOLDER/bob"));
    assert!(server.log().contains("the previous one stays in force"));
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
    assert_eq!(info(&server, "bob", "disk", "--size").ok(), "2097152\n");
}

#[test]
fn a_listener_requires_tls_of_new_clients_after_a_reload() {
    let authority = Authority::new();
    let (folder, client) = (authority.server(&localhost()), authority.nobody());
    let server = Server::hosting(&three());
    let reader = Reader::start(&server, "alice", "disk");
    let files = folder.path().display();
    let tls = format!(
        "/alice\"\ntls = \"require\"\ncertificate = \"{files}/server-cert.pem\"\n\
         key = \"{files}/server-key.pem\"\n"
    );
    let config = three().replacen("/alice\"", &tls, 1);
    // A certificate that doesn't exist changes nothing.
    server.reload(&config.replace("server-cert", "no-cert"));
    assert!(server.log().contains("no-cert.pem"), "{}", server.log());
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
    server.reload(&config);
    let plain = info(&server, "alice", "disk", "--size");
    assert!(plain.stderr.contains("requires TLS"), "{plain:?}");
    let plain = uri(&server, "alice", "disk").replace("nbd+", "nbds+");
    let secured = format!("{plain}&tls-certificates={}", client.path().display());
    assert_eq!(run("nbdinfo", ["--size", &secured]).ok(), "1048576\n");
    assert!(reader.stop() > 0);
}

#[test]
fn a_sockets_mode_stays_until_the_next_start() {
    let server = Server::hosting(&three().replacen("/alice\"", "/alice\"\nmode = \"0600\"", 1));
    let mode = || {
        let metadata = fs::metadata(server.folder().join("alice")).unwrap();
        metadata.permissions().mode() & 0o777
    };
    server.reload(&three().replacen("/alice\"", "/alice\"\nmode = \"0666\"", 1));
    assert_eq!(mode(), 0o600);
    assert!(server.log().contains("mode and owner of alice"));
}
