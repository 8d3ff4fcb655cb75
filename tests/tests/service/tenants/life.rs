//! Reload and drain, with clients connected throughout.

use std::fs;

use nbdbox_tests::{Server, nbdsh, plugin, run};

use super::scene::{Reader, export, info, listed, tenant, three, uri};

#[test]
fn a_client_of_an_unchanged_export_doesnt_notice_a_reload() {
    let server = Server::hosting(&three());
    let reader = Reader::start(&server, "carol", "secret");
    for size in ["3M", "4M", "5M"] {
        // Lines move, and another export changes.
        let config = format!(
            "# {size}\n{}",
            three().replace("\"1M\"", &format!("\"{size}\""))
        );
        server.reload(&config);
    }
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "5242880\n");
    assert!(reader.stop() > 0);
    assert!(
        server
            .log()
            .contains("0 exports added, 1 changed, 0 removed, 2 kept")
    );
}

#[test]
fn new_exports_appear_and_removed_ones_finish_their_connections() {
    let server = Server::hosting(&three());
    let reader = Reader::start(&server, "alice", "disk");
    let new = export("alice", "new", "pattern", "settings = { size = \"7M\" }");
    let config = three().replace(
        "name = \"disk\"\nplugin = \"",
        "name = \"gone\"\nplugin = \"",
    ) + &new;
    server.reload(&config);
    assert_eq!(listed(&server, "alice"), ["gone", "new"]);
    assert_eq!(info(&server, "alice", "new", "--size").ok(), "7340032\n");
    assert_ne!(info(&server, "alice", "disk", "--size").code, 0);
    assert!(reader.stop() > 0);
}

#[test]
fn connections_keep_the_plugin_that_they_began_with() {
    let server = Server::hosting(&three());
    let reader = Reader::start(&server, "alice", "disk");
    // Another plugin under the same name, with other bytes.
    let config = three().replacen("pattern.wasm", "memory.wasm", 1);
    server.reload(&config);
    let zeroes = "assert h.pread(4096, 0) == bytearray(4096)";
    let _ = nbdsh(&uri(&server, "alice", "disk"), zeroes).ok();
    assert!(reader.stop() > 0);
}

#[test]
fn a_hangup_brings_a_plugin_whose_file_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disk.wasm");
    fs::copy(plugin("pattern"), &file).unwrap();
    let disk = format!(
        "[[tenant.alice.export]]\nname = \"disk\"\nplugin = \"{}\"\nsettings = {{ size = \"1M\" }}\n",
        file.display()
    );
    let server = Server::hosting(&(tenant("alice", "") + &disk));
    let reader = Reader::start(&server, "alice", "disk");
    // Replaced in one step, as a package manager does. The configuration is unchanged, so the server doesn't notice.
    let next = folder.path().join("next");
    fs::copy(plugin("memory"), &next).unwrap();
    fs::rename(&next, &file).unwrap();
    let _ = run("kill", ["-HUP", &server.pid().to_string()]).ok();
    while !server
        .log()
        .contains("reloaded (SIGHUP): 0 exports added, 1 changed")
    {
        assert!(
            !server.log().contains("the previous one stays in force"),
            "{}",
            server.log()
        );
    }
    let zeroes = "assert h.pread(4096, 0) == bytearray(4096)";
    let _ = nbdsh(&uri(&server, "alice", "disk"), zeroes).ok();
    assert!(reader.stop() > 0);
}

#[test]
fn a_configuration_with_errors_changes_nothing_and_all_errors_are_reported() {
    let server = Server::hosting(&three());
    let broken = three()
        .replace("[tenant.bob]", "[tenant.bob]\nsize = 3")
        .replace("\"1M\"", "\"9M\"")
        + "nmae = 1\n";
    server.reload(&broken);
    let log = server.log();
    assert!(log.contains("tenant.bob.size: unknown key"), "{log}");
    assert!(
        log.contains("tenant.carol.export.nmae: unknown key"),
        "{log}"
    );
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
}

#[test]
fn a_removed_listener_closes_and_its_clients_stay() {
    let both = tenant("alice", "").replace(
        "[tenant",
        "[[listener]]\nname = \"extra\"\nunix = \"FOLDER/extra\"\n[tenant",
    );
    let both = both.replace("[{", "[{ listener = \"extra\" }, {")
        + &export("alice", "disk", "pattern", "settings = { size = \"1M\" }");
    let server = Server::hosting(&both);
    let reader = Reader::start(&server, "extra", "disk");
    server.reload(&both.replace(
        "[[listener]]\nname = \"extra\"\nunix = \"FOLDER/extra\"\n",
        "",
    ));
    assert_ne!(info(&server, "extra", "disk", "--size").code, 0);
    assert!(!server.folder().join("extra").exists());
    assert!(reader.stop() > 0);
}

#[test]
fn a_drain_answers_requests_in_flight_and_refuses_the_rest() {
    let server = Server::hosting(&format!("drain = \"5s\"\n{}", three()));
    // After complete replies, the client gets the end as an error or a closed connection, depending on the kernel.
    let script = "\
import os, signal
first = h.pread(4096, 0)
os.kill(PID, signal.SIGTERM)
rounds = 0
try:
    while True:
        assert h.pread(4096, 0) == first
        rounds += 1
except nbd.Error as error:
    print(error.errno or 'closed')
";
    let script = script.replace("PID", &server.pid().to_string());
    let told = nbdsh(&uri(&server, "alice", "disk"), &script).ok();
    let exit = server.ended();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(exit.log.contains("stopping"), "{}", exit.log);
    assert!(
        ["ESHUTDOWN", "ENOTCONN", "ECONNRESET", "EPIPE", "closed"].contains(&told.trim()),
        "{told}"
    );
}
