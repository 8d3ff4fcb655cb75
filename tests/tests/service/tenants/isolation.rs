//! What each tenant's clients can see.

use std::fs;

use nbdbox_tests::Server;

use super::scene::{export, info, listed, tenant, three};

#[test]
fn a_tenant_sees_its_own_exports_and_no_others() {
    let server = Server::hosting(&three());
    assert_eq!(listed(&server, "alice"), ["disk"]);
    assert_eq!(listed(&server, "carol"), ["secret"]);
    // The names are the same, but each tenant has its own export.
    let size = |tenant| info(&server, tenant, "disk", "--size").ok();
    assert_eq!(size("alice"), "1048576\n");
    assert_eq!(size("bob"), "2097152\n");
}

#[test]
fn another_tenants_export_is_answered_like_an_unknown_one() {
    let server = Server::hosting(&three());
    let words = |name: &str| {
        let run = info(&server, "alice", name, "--size");
        assert_ne!(run.code, 0);
        run.stderr.replace(name, "NAME")
    };
    assert_eq!(words("secret"), words("nowhere"));
    // The server loaded nothing for either of them.
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn nothing_of_a_plugin_is_loaded_before_its_client_asks() {
    // The server notices that a file is no plugin only when a client requests its export.
    let config = [
        tenant("alice", ""),
        export("alice", "broken", "pattern", "").replace(
            nbdbox_tests::plugin("pattern").to_str().unwrap(),
            "FOLDER/nbdbox.toml",
        ),
        export("alice", "disk", "pattern", "settings = { size = \"1M\" }"),
    ];
    let server = Server::hosting(&config.concat());
    assert_eq!(listed(&server, "alice"), ["broken", "disk"]);
    assert!(!server.log().contains("can't open"), "{}", server.log());
    assert_ne!(info(&server, "alice", "broken", "--size").code, 0);
    assert!(
        server.log().contains("it isn't WebAssembly"),
        "{}",
        server.log()
    );
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
}

#[test]
fn a_client_that_no_rule_matches_sees_nothing() {
    let config = three().replace("listener = \"carol\"", "source = \"192.0.2.0/24\"");
    let server = Server::hosting(&config);
    assert!(listed(&server, "carol").is_empty());
    assert_ne!(info(&server, "carol", "secret", "--size").code, 0);
}

#[test]
fn a_client_that_two_tenants_rules_match_sees_nothing_and_the_log_says_so() {
    let config = three().replace("listener = \"bob\"", "listener = \"alice\"");
    let server = Server::hosting(&config);
    assert!(listed(&server, "alice").is_empty());
    assert!(
        server.log().contains("the rules of two tenants"),
        "{}",
        server.log()
    );
}

#[test]
fn a_user_is_known_by_the_uid_that_the_kernel_reports() {
    let own = rustix::process::getuid().as_raw();
    let by = |uid: u32| {
        three().replace(
            "{ listener = \"alice\" }",
            &format!("{{ uid = {uid}, listener = \"alice\" }}"),
        )
    };
    let server = Server::hosting(&by(own));
    assert_eq!(listed(&server, "alice"), ["disk"]);
    let server = Server::hosting(&by(own + 1));
    assert!(listed(&server, "alice").is_empty());
}

#[test]
fn a_secret_reaches_the_plugin_and_never_the_log() {
    let kept = "settings = { size = { file = \"FOLDER/size\" } }";
    let config = [
        tenant("alice", ""),
        export("alice", "disk", "pattern", "settings = { size = \"1M\" }"),
    ]
    .concat();
    let server = Server::hosting(&config);
    fs::write(server.folder().join("size"), "3M\n").unwrap();
    let config = config.replace("settings = { size = \"1M\" }", kept);
    server.reload(&config);
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "3145728\n");
    fs::write(server.folder().join("size"), "hunter2\n").unwrap();
    server.reload(&config);
    assert_ne!(info(&server, "alice", "disk", "--size").code, 0);
    let log = server.log();
    assert!(log.contains("size: its secret value isn't a size"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
