//! The clients that people use.

use std::fs;

use nbdbox_tests::run;

use super::scene::{nbdinfo, qemu, qemu_img_info, tcp, uri};
use nbdbox_tests::pki::{Authority, localhost, says};

#[test]
fn nbdinfo_speaks_tls() {
    let authority = Authority::new();
    let (server, client) = (authority.server(&localhost()), authority.nobody());
    for mode in ["on", "require"] {
        let server = tcp(mode, server.path(), "pattern", &["size=1M"]);
        let said = nbdinfo(&server, client.path()).ok();
        assert!(said.contains("protocol: newstyle-fixed with TLS"), "{said}");
        assert!(said.contains("export-size: 1048576"), "{said}");
    }
}

#[test]
fn a_client_in_plain_text_is_served_only_where_tls_is_not_required() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    for (mode, served) in [("on", true), ("require", false)] {
        let server = tcp(mode, folder.path(), "pattern", &["size=1M"]);
        let address = format!("localhost:{}", server.port());
        let info = run("nbdinfo", [format!("nbd://{address}/")]);
        assert_eq!(info.code == 0, served, "{}", info.stderr);
        let qemu = run("qemu-img", ["info", &format!("nbd://{address}")]);
        assert_eq!(qemu.code == 0, served, "{}", qemu.stderr);
        assert_eq!(qemu.stderr.to_lowercase().contains("tls"), !served);
    }
}

#[test]
fn without_tls_a_client_that_wants_it_is_refused() {
    let client = Authority::new().nobody();
    let server = nbdbox_tests::Server::plugin_over_tcp("pattern", &["size=1M"]);
    assert_ne!(nbdinfo(&server, client.path()).code, 0);
}

/// Bytes of any size are the same over TLS and without it.
#[test]
fn nbdcopy_reads_and_writes_the_same_bytes_as_in_plain_text() {
    let authority = Authority::new();
    let (folder, client) = (authority.server(&localhost()), authority.nobody());
    let source = tcp("on", folder.path(), "pattern", &["size=48M"]);
    let plain = source.folder().join("plain");
    let secured = source.folder().join("secured");
    let plain_uri = format!("nbd://localhost:{}/", source.port());
    let _ = run("nbdcopy", [&plain_uri, plain.to_str().unwrap()]).ok();
    let source_uri = uri(&source, client.path());
    let _ = run("nbdcopy", [&source_uri, secured.to_str().unwrap()]).ok();
    let expected = fs::read(&plain).unwrap();
    assert!(expected == fs::read(&secured).unwrap(), "read over TLS");

    let more = ["size=48M", "--limit", "memory=64M,wall=60s"];
    let target = tcp("require", folder.path(), "memory", &more);
    let target_uri = uri(&target, client.path());
    let _ = run("nbdcopy", [plain.to_str().unwrap(), &target_uri]).ok();
    let _ = run("nbdcopy", [&target_uri, secured.to_str().unwrap()]).ok();
    assert!(expected == fs::read(&secured).unwrap(), "written over TLS");
}

#[test]
fn qemu_img_speaks_tls() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let client = authority.client(&says("qemu"));
    let server = tcp(
        "require",
        folder.path(),
        "pattern",
        &["size=1M", "--tls-verify-peer"],
    );
    let said = qemu_img_info(&server, client.path()).ok();
    assert!(said.contains("1 MiB (1048576 bytes)"), "{said}");
}

#[test]
fn qemu_nbd_lists_over_tls() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let client = authority.client(&says("qemu"));
    let more = ["size=1M", "--tls-verify-peer", "--export=disk"];
    let server = tcp("require", folder.path(), "pattern", &more);
    let [credentials, _] = qemu(&server, client.path());
    let port = server.port().to_string();
    let address = ["--list", "--bind", "localhost", "--port", &port];
    let secured = ["--object", &credentials, "--tls-creds", "tls0"];
    let said = run("qemu-nbd", [&address[..], &secured].concat()).ok();
    assert!(said.contains("export: 'disk'"), "{said}");
    assert!(said.contains("size:  1048576"), "{said}");
    assert_ne!(run("qemu-nbd", address).code, 0, "in plain text");
}

/// As with nbdkit, the URI that `--run` gets has all that a client of libnbd needs.
#[test]
fn the_uri_of_run_speaks_tls() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let arguments = [
        "serve".to_owned(),
        "--tls=require".to_owned(),
        format!("--tls-certificates={}", folder.path().display()),
        "--run=nbdinfo \"$uri\"".to_owned(),
        nbdbox_tests::plugin("pattern").display().to_string(),
        "size=1M".to_owned(),
    ];
    let said = run(nbdbox_tests::nbdbox(), arguments).ok();
    assert!(said.contains("protocol: newstyle-fixed with TLS"), "{said}");
}
