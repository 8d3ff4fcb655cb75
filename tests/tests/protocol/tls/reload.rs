//! Certificates that are replaced while the server runs.

use std::fs;

use nbd_proto::Framing;
use nbdbox_tests::Dialog;

use super::scene::{nbdinfo, over_tls, tcp, unix};
use nbdbox_tests::pki::{Authority, localhost, says};

#[test]
fn new_clients_see_a_new_certificate_and_old_ones_stay() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = first.server(&localhost());
    let server = unix("require", folder.path(), "pattern", &["size=1M"]);
    let old = first.nobody();
    let mut before = Dialog::over(over_tls(&server, old.path()), Framing::Structured);
    let bytes = before.read(0, 65_536);
    second.sign_server(folder.path(), &localhost());
    let new = second.nobody();
    let mut after = Dialog::over(over_tls(&server, new.path()), Framing::Structured);
    assert!(after.read(0, 65_536) == bytes);
    assert!(before.read(0, 65_536) == bytes);
}

#[test]
fn files_that_are_of_no_use_change_nothing_and_are_named_once() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let server = tcp("require", folder.path(), "pattern", &["size=1M"]);
    let client = authority.nobody();
    fs::write(folder.path().join("server-cert.pem"), "half a certifi").unwrap();
    for _ in 0..3 {
        let _ = nbdinfo(&server, client.path()).ok();
    }
    let complaints = || server.log().matches("goes on with the certificate").count();
    assert_eq!(complaints(), 1, "{}", server.log());
    // A certificate that doesn't fit the key.
    let other = authority.server(&localhost());
    let from = other.path().join("server-cert.pem");
    fs::copy(from, folder.path().join("server-cert.pem")).unwrap();
    let _ = nbdinfo(&server, client.path()).ok();
    assert_eq!(complaints(), 2, "{}", server.log());
    // Now the key is replaced too.
    let from = other.path().join("server-key.pem");
    fs::copy(from, folder.path().join("server-key.pem")).unwrap();
    let _ = nbdinfo(&server, client.path()).ok();
    assert!(server.log().contains("read again"), "{}", server.log());
}

#[test]
fn a_client_of_a_replaced_authority_is_not_admitted_again() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = first.server(&localhost());
    let more = ["size=1M", "--tls-verify-peer"];
    let server = tcp("require", folder.path(), "pattern", &more);
    let client = first.client(&says("client"));
    let _ = nbdinfo(&server, client.path()).ok();
    second.write(folder.path());
    assert_ne!(nbdinfo(&server, client.path()).code, 0);
    let client = second.client(&says("client"));
    first.write(client.path());
    let _ = nbdinfo(&server, client.path()).ok();
}
