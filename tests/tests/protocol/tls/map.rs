//! `nbdbox map` over TLS: nbdbox's own client, next to libnbd's.

use std::path::Path;

use nbdbox_tests::pki::{Authority, Says, localhost, says};
use nbdbox_tests::{Peer, Run, Server, nbdbox, run};

use super::scene::{tcp, unix, uri};

fn map(arguments: &[&str]) -> Run {
    run(nbdbox(), ["map"].iter().chain(arguments))
}

fn nbdinfo_map(uri: &str) -> String {
    run("nbdinfo", ["--map", uri]).ok()
}

/// Asserts that the run failed, and that its one line has these words.
fn assert_fails(run: &Run, words: &[&str]) {
    assert_eq!(run.code, 1, "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

/// A unix socket's URI over TLS.
fn secured(plain: &str, client: &Path) -> String {
    let client = client.display();
    let plain = plain.replacen("nbd+unix", "nbds+unix", 1);
    format!("{plain}&tls-certificates={client}")
}

#[test]
fn a_map_over_tls_is_that_of_nbdinfo() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let client = authority.client(&says("client"));
    let more = ["size=64M", "runlength=4K", "--tls-verify-peer"];
    let server = tcp("require", folder.path(), "sparse", &more);
    let uri = uri(&server, client.path());
    assert_eq!(map(&[&uri]).ok(), nbdinfo_map(&uri));
    let server = unix("require", folder.path(), "sparse", &more);
    let uri = secured(&server.uri(), client.path());
    assert_eq!(map(&[&uri]).ok(), nbdinfo_map(&uri));
}

#[test]
fn another_servers_map_over_tls_is_that_of_nbdinfo() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let client = authority.client(&says("client"));
    let certificates = format!("--tls-certificates={}", folder.path().display());
    let options = ["--tls=require", "--tls-verify-peer", &certificates];
    let disk = ["sparse-random", "size=64M", "percent=30"];
    let server = Peer::nbdkit(options.iter().chain(&disk));
    let uri = secured(&server.uri(), client.path());
    assert_eq!(map(&[&uri]).ok(), nbdinfo_map(&uri));
}

/// The options of the command line override the URI's folder.
#[test]
fn authority_and_certificate_can_be_named_one_by_one() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let client = authority.client(&says("client"));
    let more = ["size=1M", "--tls-verify-peer"];
    let server = tcp("require", folder.path(), "sparse", &more);
    let expected = nbdinfo_map(&uri(&server, client.path()));
    let stranger = Authority::new().nobody();
    let file = |name: &str| client.path().join(name).display().to_string();
    let [ca, certificate, key] = ["ca-cert.pem", "client-cert.pem", "client-key.pem"].map(file);
    let named = [
        "--tls-ca",
        &ca,
        "--tls-certificate",
        &certificate,
        "--tls-key",
        &key,
    ];
    for uri in [
        format!("nbds://localhost:{}/", server.port()),
        uri(&server, stranger.path()),
    ] {
        assert_eq!(map(&[&named[..], &[&uri]].concat()).ok(), expected);
    }
}

#[test]
fn a_server_with_a_wrong_certificate_gets_no_request() {
    let authority = Authority::new();
    let client = authority.nobody();
    let expired = Says {
        until: 2021,
        ..localhost()
    };
    for (says, words) in [
        (&says("nobody"), "not valid for name"),
        (&expired, "expired"),
    ] {
        let folder = authority.server(says);
        let server = tcp("on", folder.path(), "sparse", &["size=1M"]);
        let run = map(&[&uri(&server, client.path())]);
        assert_fails(&run, &["TLS failed", words]);
        assert!(!server.log().contains("Disconnected"), "{}", server.log());
    }
    let folder = Authority::new().server(&localhost());
    let server = tcp("on", folder.path(), "sparse", &["size=1M"]);
    let run = map(&[&uri(&server, client.path())]);
    assert_fails(&run, &["TLS failed", "BadSignature"]);
    // The URI has another host than the certificate.
    let folder = authority.server(&localhost());
    let server = tcp("on", folder.path(), "sparse", &["size=1M"]);
    let uri = uri(&server, client.path());
    let _ = map(&[&uri]).ok();
    let run = map(&[&format!("{uri}&tls-hostname=example.com")]);
    assert_fails(&run, &["TLS failed", "not valid for name"]);
}

#[test]
fn a_refusal_of_either_side_is_explained() {
    let authority = Authority::new();
    let (folder, client) = (authority.server(&localhost()), authority.nobody());
    let more = ["size=1M", "--tls-verify-peer"];
    let verifying = tcp("require", folder.path(), "sparse", &more);
    assert_fails(&map(&[&uri(&verifying, client.path())]), &["ertificate"]);
    let plain = format!("nbd://localhost:{}/", verifying.port());
    assert_fails(&map(&[&plain]), &["TLS required"]);
    let off = Server::plugin_over_tcp("sparse", &["size=1M"]);
    let run = map(&[&uri(&off, client.path())]);
    assert_fails(&run, &["the server refused TLS"]);
}

#[test]
fn options_of_tls_are_of_use_only_over_tls() {
    let run = map(&["--tls-ca", "ca.pem", "nbd://localhost/"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("nbds"), "{run:?}");
    let run = map(&["--tls-key", "key.pem", "nbds://localhost/"]);
    assert_eq!(run.code, 2, "{run:?}");
    let run = map(&["--tls-ca", "/none.pem", "nbds://localhost/"]);
    assert_fails(&run, &["/none.pem"]);
}
