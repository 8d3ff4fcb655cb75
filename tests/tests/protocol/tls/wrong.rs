//! Wrong certificates: their owners aren't served, and no other client notices.

use std::path::Path;

use nbdbox_tests::{Run, Server, nbdbox, plugin, run};

use super::scene::{nbdinfo, qemu_img_info, tcp};
use nbdbox_tests::pki::{Authority, Says, localhost, says};

/// A server that requires certificates of its own authority.
fn verifying(authority: &Authority, server: &Says) -> (tempfile::TempDir, Server) {
    let folder = authority.server(server);
    let more = ["size=1M", "--tls-verify-peer"];
    let server = tcp("require", folder.path(), "pattern", &more);
    (folder, server)
}

/// Asserts that nbdinfo and qemu-img fail with this folder, and that a client with a right folder succeeds after that.
fn assert_refused(authority: &Authority, server: &Server, client: &Path) {
    assert_ne!(nbdinfo(server, client).code, 0, "nbdinfo");
    assert_ne!(qemu_img_info(server, client).code, 0, "qemu-img");
    let right = authority.client(&says("right"));
    let _ = nbdinfo(server, right.path()).ok();
    let _ = qemu_img_info(server, right.path()).ok();
    let log = server.log();
    assert!(log.contains("the TLS handshake failed"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

#[test]
fn a_client_whose_certificate_has_expired_is_refused() {
    let authority = Authority::new();
    let (_folder, server) = verifying(&authority, &localhost());
    let expired = authority.client(&Says {
        until: 2021,
        ..says("late")
    });
    assert_refused(&authority, &server, expired.path());
    let log = server.log();
    assert!(log.contains("certificate expired"), "{log}");
}

#[test]
fn a_client_of_another_authority_is_refused() {
    let authority = Authority::new();
    let (_folder, server) = verifying(&authority, &localhost());
    let stranger = Authority::new().client(&says("stranger"));
    // The client itself trusts the server.
    authority.write(stranger.path());
    assert_refused(&authority, &server, stranger.path());
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (_folder, server) = verifying(&authority, &localhost());
    assert_refused(&authority, &server, authority.nobody().path());
}

/// A server's certificate isn't one for a client.
#[test]
fn a_client_with_a_servers_certificate_is_refused() {
    let authority = Authority::new();
    let (folder, server) = verifying(&authority, &localhost());
    let thief = authority.nobody();
    for end in ["cert", "key"] {
        let own = folder.path().join(format!("server-{end}.pem"));
        std::fs::copy(own, thief.path().join(format!("client-{end}.pem"))).unwrap();
    }
    assert_refused(&authority, &server, thief.path());
}

/// Clients detect the errors of a server's certificate.
#[test]
fn clients_refuse_a_server_that_is_expired_unknown_or_called_something_else() {
    let authority = Authority::new();
    let client = authority.client(&says("client"));
    let expired = Says {
        until: 2021,
        ..localhost()
    };
    let wrong_name = Says {
        names: vec![rcgen::SanType::DnsName("example.com".try_into().unwrap())],
        ..localhost()
    };
    for says in [&expired, &wrong_name] {
        let (_folder, server) = verifying(&authority, says);
        assert_ne!(nbdinfo(&server, client.path()).code, 0);
        assert_ne!(qemu_img_info(&server, client.path()).code, 0);
    }
    let other = Authority::new();
    let (_folder, server) = verifying(&other, &localhost());
    assert_ne!(nbdinfo(&server, client.path()).code, 0);
    assert_ne!(qemu_img_info(&server, client.path()).code, 0);
}

#[test]
fn check_reads_certificates_and_keys() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let files = folder.path().display();
    let config = format!(
        "[[listener]]\nname = \"lan\"\ntcp = \"127.0.0.1:0\"\ntls = \"on\"\n\
         certificate = \"{files}/server-cert.pem\"\nkey = \"{files}/server-key.pem\"\n\
         [tenant.alice]\nclients = [{{ listener = \"lan\" }}]\n"
    );
    let path = folder.path().join("nbdbox.toml");
    let check = || run(nbdbox(), ["check".as_ref(), path.as_os_str()]);
    std::fs::write(&path, &config).unwrap();
    let _ = check().ok();
    let wrong = config.replace("server-key", "server-cert");
    std::fs::write(&path, wrong).unwrap();
    let checked = check();
    assert_eq!(checked.code, 1, "{checked:?}");
    let words = "nbdbox.toml:1: ";
    assert!(checked.stderr.contains(words), "{checked:?}");
    assert!(
        checked.stderr.contains("can't read a private key"),
        "{checked:?}"
    );
}

fn serve(options: &[&str]) -> Run {
    let plugin = plugin("pattern").display().to_string();
    let all = [&["serve", "-U", "-", &plugin, "size=1M"], options].concat();
    run(nbdbox(), all)
}

#[test]
fn errors_of_certificates_are_reported_before_the_server_listens() {
    let authority = Authority::new();
    let folder = authority.nobody();
    let certificates = format!("--tls-certificates={}", folder.path().display());
    let refused = |options: &[&str], words: &str| {
        let ran = serve(options);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    };
    refused(&["--tls=on"], "--tls-certificates");
    refused(&["--tls=on", &certificates], "server-cert.pem");
    authority.sign_server(folder.path(), &localhost());
    let key = folder.path().join("server-key.pem");
    std::fs::write(&key, "no key\n").unwrap();
    refused(&["--tls=require", &certificates], "server-key.pem");
    // A key that belongs to another certificate.
    let other = authority.server(&localhost());
    std::fs::copy(other.path().join("server-key.pem"), key).unwrap();
    refused(&["--tls=require", &certificates], "can't be used together");
    let certificates = format!("--tls-certificates={}", other.path().display());
    std::fs::remove_file(other.path().join("ca-cert.pem")).unwrap();
    let verify = "--tls-verify-peer";
    refused(&["--tls=require", &certificates, verify], "ca-cert.pem");
    assert_eq!(serve(&[&certificates]).code, 2, "usage: it needs --tls");
}
