//! The identity that a certificate gives a client, and what the client sees of a server with many tenants.

use std::path::Path;

use nbd_proto::wire::{option, option_reply};
use nbdbox_tests::{Raw, Server, plugin};
use rcgen::SanType;

use super::scene::over_tls;
use nbdbox_tests::pki::{Authority, Says, localhost, says};

/// Alice is known by her subject, and Bob by a name. No client with a certificate gets Carol's export.
fn config(folder: &Path) -> String {
    let folder = folder.display();
    let export = |tenant: &str, name: &str, size: &str| {
        let plugin = plugin("pattern");
        let plugin = plugin.display();
        format!(
            "[[tenant.{tenant}.export]]\nname = \"{name}\"\nplugin = \"{plugin}\"\n\
             settings = {{ size = \"{size}\" }}\n"
        )
    };
    format!(
        "[[listener]]\nname = \"secured\"\nunix = \"FOLDER/socket\"\ntls = \"on\"\n\
         certificate = \"{folder}/server-cert.pem\"\nkey = \"{folder}/server-key.pem\"\n\
         client-ca = \"{folder}/ca-cert.pem\"\n\
         [tenant.alice]\nclients = [{{ subject = \"CN=alice,O=Example\" }}]\n{}\
         [tenant.bob]\nclients = [{{ san = \"spiffe://example.com/bob\" }}]\n{}\
         [tenant.carol]\nclients = [{{ source = \"192.0.2.1\" }}]\n{}",
        export("alice", "disk", "1M"),
        export("bob", "disk", "2M"),
        export("carol", "secret", "4M"),
    )
}

fn bob() -> Says {
    Says {
        names: vec![SanType::URI("spiffe://example.com/bob".try_into().unwrap())],
        ..says("somebody")
    }
}

/// The names in the list that a client gets.
fn listed(raw: &mut Raw) -> Vec<String> {
    let replies = raw.ask(option::LIST, &[]);
    let names = replies
        .iter()
        .filter(|(kind, _)| *kind == option_reply::SERVER);
    names
        .map(|(_, data)| {
            let length = u32::from_be_bytes(data[..4].try_into().unwrap());
            String::from_utf8(data[4..][..length as usize].to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn a_certificates_names_decide_whose_exports_a_client_gets() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let server = Server::hosting(&config(folder.path()));
    for (who, size) in [(says("alice"), 1 << 20), (bob(), 2 << 20)] {
        let client = authority.client(&who);
        let mut raw = over_tls(&server, client.path());
        assert_eq!(listed(&mut raw), ["disk"]);
        assert_eq!(raw.go("disk").size, size);
    }
}

/// A whole refusal: every byte of the replies to INFO and GO, without the name in them.
fn refusals(raw: &mut Raw, name: &str) -> Vec<(u32, Vec<u8>)> {
    let data = Raw::info_data(name, &[]);
    let mut replies = raw.ask(option::INFO, &data);
    replies.extend(raw.ask(option::GO, &data));
    replies
}

#[test]
fn another_tenants_export_is_answered_byte_by_byte_like_an_unknown_one() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let server = Server::hosting(&config(folder.path()));
    let alice = authority.client(&says("alice"));
    let mut raw = over_tls(&server, alice.path());
    let unknown = refusals(&mut raw, "nosuch");
    assert_eq!(unknown.len(), 2);
    assert!(
        unknown
            .iter()
            .all(|(kind, _)| *kind == option_reply::ERR_UNKNOWN)
    );
    assert_eq!(refusals(&mut raw, "secret"), unknown);
    assert!(!server.log().contains("secret"), "{}", server.log());
}

/// A client without a certificate, or with one that no rule matches, has no tenant.
#[test]
fn strangers_see_nothing() {
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    let server = Server::hosting(&config(folder.path()));
    let mut plain = Raw::negotiating(&server);
    assert!(listed(&mut plain).is_empty());
    let unknown = refusals(&mut plain, "nosuch");
    assert_eq!(refusals(&mut plain, "disk"), unknown);
    // A comma in a name doesn't separate: this one attribute only looks like Alice's two.
    for name in ["mallory", "alice,O=Example", "Alice"] {
        let client = authority.client(&says(name));
        let mut raw = over_tls(&server, client.path());
        assert!(listed(&mut raw).is_empty(), "{name}");
        assert_eq!(refusals(&mut raw, "disk"), unknown, "{name}");
    }
}

/// Rules as the operator wrote them, and names in clients' certificates. Some names have the text of the rule, but are
/// of another kind.
#[test]
fn a_name_in_a_certificate_cannot_pass_for_another_kind() {
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    let email = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let authority = Authority::new();
    let folder = authority.server(&localhost());
    for (rule, fits, others) in [
        (
            "bob.example.com",
            vec![dns("bob.example.com"), dns("Bob.Example.COM")],
            vec![
                email("bob.example.com"),
                uri("bob.example.com"),
                dns("bob.example.co"),
            ],
        ),
        (
            "bob@example.com",
            vec![email("bob@example.com")],
            vec![
                dns("bob@example.com"),
                uri("bob@example.com"),
                email("Bob@example.com"),
            ],
        ),
        (
            "spiffe://example.com/bob",
            vec![uri("spiffe://example.com/bob")],
            vec![
                dns("spiffe://example.com/bob"),
                email("spiffe://example.com/bob"),
                uri("spiffe://example.com/Bob"),
            ],
        ),
        (
            "URI:bob:1",
            vec![uri("bob:1")],
            vec![
                dns("bob:1"),
                email("bob:1"),
                uri("URI:bob:1"),
                dns("URI:bob:1"),
            ],
        ),
    ] {
        let config = config(folder.path()).replace("spiffe://example.com/bob", rule);
        let server = Server::hosting(&config);
        let listed = |name: &SanType| {
            let names = vec![name.clone()];
            let client = authority.client(&Says {
                names,
                ..says("somebody")
            });
            listed(&mut over_tls(&server, client.path()))
        };
        for name in &fits {
            assert_eq!(listed(name), ["disk"], "{rule}: {name:?}");
        }
        for name in &others {
            assert!(listed(name).is_empty(), "{rule}: {name:?}");
        }
    }
}
