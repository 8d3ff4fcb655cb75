//! The values that a configuration file yields, and the messages for mistakes in it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::Path;
use std::time::Duration;

use nbdbox_config::config::{self, Address, ClientRule, Config, Problems, Source, Tls, Value};
use nbdbox_config::grant::Access;
use nbdbox_config::policy::OnFailure;
use nbdbox_config::reference::Reference;

/// The smallest valid configuration.
const LEAST: &str = r#"
[[listener]]
tcp = "127.0.0.1:10809"

[tenant.alice]
clients = [{ uid = 1000 }]

[[tenant.alice.export]]
name = "disk"
plugin = "file.wasm"
"#;

fn parse(text: &str) -> Result<Config, Problems> {
    config::parse(&[Source {
        path: Path::new("conf/nbdbox.toml"),
        text,
    }])
}

/// The messages for [`LEAST`] with `more` before it.
fn wrong(more: &str) -> Vec<String> {
    let problems = parse(&format!("{more}\n{LEAST}")).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_least_configuration_has_the_defaults_for_the_rest() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.drain, Duration::from_secs(10));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].tls, Tls::Off);
    assert_eq!(config.listeners[0].name, "127.0.0.1:10809");
    let [tenant] = &config.tenants[..] else {
        panic!("one tenant")
    };
    assert_eq!(tenant.limits, Default::default());
    let export = &tenant.exports[0];
    assert_eq!(export.limits, Default::default());
    assert_eq!(export.policy, Default::default());
    assert_eq!(export.plugin, Reference::Path("conf/file.wasm".into()));
    assert_eq!(export.place.to_string(), "conf/nbdbox.toml:8");
}

#[test]
fn sizes_of_the_server_are_checked() {
    let text = "memory = \"1MiB\"\ncache = { size = \"much\" }\n";
    let problems = parse(text).unwrap_err();
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for words in ["memory: `1MiB`: 16 MiB or more is expected", "cache.size: "] {
        assert!(lines.iter().any(|line| line.contains(words)), "{lines:?}");
    }
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        drain = "3s"
        handshake = "500ms"
        connections = 7
        memory = "3GiB"
        cache = { path = "cache", size = 1048576 }
        [admin]
        tcp = "127.0.0.1:9809"
        [[listener]]
        name = "web"
        tcp = "[::]:10809"
        tls = "require"
        certificate = "cert.pem"
        key = "/etc/key.pem"
        client-ca = "ca.pem"
        [[listener]]
        unix = "/run/nbd.sock"
        mode = "0660"
        owner = "nbd:disk"
        [[listener]]
        vsock = 10809
        cid = 2
        [[listener]]
        inherited = "nbd"
        [tenant.bob]
        clients = [
            { subject = "CN=bob", listener = "web" },
            { san = "bob.example.com" },
            { source = "192.0.2.0/24" },
            { source = "::1" },
        ]
        limits = { memory = "128MiB", connections = 4, requests = "9" }
        [[tenant.bob.export]]
        name = ""
        description = "Bob's disk"
        plugin = "/lib/qcow2.wasm"
        sha256 = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
        immutable = true
        on-failure = "fail"
        extents-on-error = "error"
        settings = { size = "1G", count = 7, fast = true, password = { file = "secret" }, token = { env = "TOKEN" } }
        blobs = { disk = "/srv/bob.img:rw", base = { path = "base.img", access = "map-only" } }
        limits = { cpu = "50ms", idle = "never", instances = 2 }
        "#,
    )
    .unwrap();
    assert_eq!(config.connections, 7);
    assert_eq!(config.memory, Some(3 << 30));
    assert_eq!(config.cache.path.as_deref(), Some(Path::new("conf/cache")));
    assert_eq!(config.cache.size, Some(1 << 20));
    assert_eq!(config.handshake, Duration::from_millis(500));
    assert_eq!(config.listeners.len(), 4);
    assert!(matches!(&config.listeners[0].tls, Tls::Require(files)
        if files.certificate == Path::new("conf/cert.pem") && files.key == Path::new("/etc/key.pem")));
    assert!(
        matches!(&config.listeners[1].address, Address::Unix { mode: Some(0o660), owner: Some(owner), .. }
        if owner.user.as_deref() == Some("nbd") && owner.group.as_deref() == Some("disk"))
    );
    let tenant = &config.tenants[0];
    assert_eq!(tenant.clients.len(), 4);
    assert_eq!(
        tenant.clients[3],
        ClientRule {
            source: Some("::1/128".parse().unwrap()),
            ..ClientRule::default()
        }
    );
    assert_eq!(tenant.limits.memory, 128 << 20);
    assert_eq!(tenant.limits.requests, 9);
    let export = &tenant.exports[0];
    assert!(export.policy.read_only && export.policy.immutable);
    assert_eq!(export.policy.on_failure, OnFailure::Fail);
    let keys: Vec<_> = export.settings.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, ["size", "count", "fast", "password", "token"]);
    assert_eq!(export.settings[1].1, Value::Plain("7".into()));
    assert_eq!(export.settings[3].1, Value::File("conf/secret".into()));
    assert_eq!(export.settings[4].1, Value::Env("TOKEN".into()));
    let access: Vec<_> = export.blobs.iter().map(|blob| blob.access).collect();
    assert_eq!(access, [Access::MapOnly, Access::ReadWrite]);
    assert_eq!(export.limits.instances, 2);
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_lines() {
    let problems = parse(
        r#"drain = 10
        conections = 3
        [[listener]]
        tcp = "localhost"
        unix = "/run/x"
        [tenant.alice]
        clients = [{ source = "10.0.0.1/8" }, {}]
        limits = { memory = "1X", disks = 3 }
        [[tenant.alice.export]]
        plugin = "a.wasm"
        on-failure = "panic"
        [[tenant.alice.export]]
        name = "b"
        sha256 = "abc"
        limits = { cpu = 5 }
        "#,
    )
    .unwrap_err();
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        (1, "drain: expected a text in quotes, found an integer"),
        (
            2,
            "conections: unknown key; the keys here are admin, cache, connections",
        ),
        (3, "listener: exactly one of tcp, unix, vsock and inherited"),
        (
            7,
            "tenant.alice.clients.source: `10.0.0.1/8` has bits set beyond its prefix: 10.0.0.0/8",
        ),
        (7, "tenant.alice.clients: an empty rule would match"),
        (
            8,
            "tenant.alice.limits.disks: unknown key; the keys here are",
        ),
        (8, "tenant.alice.limits.memory: `1X`"),
        (9, "tenant.alice.export.name: it is missing"),
        (
            11,
            "tenant.alice.export.on-failure: `panic`: it must be one of restart, fail",
        ),
        (12, "tenant.alice.export.plugin: it is missing"),
        (14, "tenant.alice.export.sha256: 64 hexadecimal digits"),
        (
            15,
            "tenant.alice.export.limits.cpu: expected a text in quotes",
        ),
    ];
    for (line, text) in expected {
        let start = format!("conf/nbdbox.toml:{line}: {text}");
        assert!(
            lines.iter().any(|line| line.starts_with(&start)),
            "{start}\n{problems}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{problems}");
}

#[test]
fn broken_toml_is_reported_with_its_line_and_the_rest_is_checked() {
    let lines = wrong("drain = \nconnections = 0");
    assert!(lines[0].starts_with("conf/nbdbox.toml:1: "), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains(":2: connections: a number from 1")),
        "{lines:?}"
    );
}

#[test]
fn the_folder_is_one_configuration() {
    let source = |path, text| Source {
        path: Path::new(path),
        text,
    };
    let server = "[[listener]]\ntcp = \"127.0.0.1:1\"\n";
    let alice = "[tenant.alice]\nclients = [{ uid = 1 }]\n[[tenant.alice.export]]\nname = \"a\"\nplugin = \"a.wasm\"\n";
    let more = "[[tenant.alice.export]]\nname = \"b\"\nplugin = \"a.wasm\"\n";
    let files = [
        source("d/0.toml", server),
        source("d/1.toml", alice),
        source("d/2.toml", more),
    ];
    let config = config::parse(&files).unwrap();
    assert_eq!(config.tenants[0].exports.len(), 2);

    let files = [
        source("d/0.toml", server),
        source("d/1.toml", alice),
        source("d/2.toml", alice),
    ];
    let problems = config::parse(&files).unwrap_err().to_string();
    assert!(
        problems.contains("d/2.toml:2: tenant.alice.clients: another file sets it already"),
        "{problems}"
    );
    assert!(
        problems.contains("another export is called `a`: see d/1.toml:3"),
        "{problems}"
    );
}

#[test]
fn a_tenant_needs_rules_for_clients() {
    let lines = wrong("[tenant.carol]\n");
    assert!(
        lines[0].contains("tenant.carol: `clients` is missing"),
        "{lines:?}"
    );
    assert!(wrong("[tenant.carol]\nclients = []\n")[0].contains("it is empty: add a rule"));
    assert!(wrong("[tenant.\"../x\"]\nclients = [{ uid = 1 }]\n")[0].contains("a name of 1 to 64"));
}

#[test]
fn files_of_tls_belong_to_a_listener_that_speaks_it() {
    let lines = wrong("[[listener]]\ntcp = \"127.0.0.1:1\"\ncertificate = \"c\"\n");
    assert!(
        lines[0].contains("listener.certificate: it requires tls"),
        "{lines:?}"
    );
    let lines = wrong("[[listener]]\ntcp = \"127.0.0.1:1\"\ntls = \"on\"\ncertificate = \"c\"\n");
    assert!(
        lines[0].contains("listener.tls: TLS needs a certificate and its key"),
        "{lines:?}"
    );
}

#[test]
fn the_admin_listener_is_for_this_machine_only() {
    let lines = wrong("[admin]\ntcp = \"0.0.0.0:9809\"\n");
    assert!(
        lines[0].contains("admin.tcp: only a loopback address"),
        "{lines:?}"
    );
}

#[test]
fn numbers_that_no_integer_holds_are_refused() {
    for number in ["9223372036854775808", "99999999999999999999999999", "-1"] {
        let lines = wrong(&format!("connections = {number}"));
        assert!(
            lines[0].starts_with("conf/nbdbox.toml:1: connections: "),
            "{lines:?}"
        );
    }
}

#[test]
fn the_schema_has_a_description_for_every_key() {
    fn look(schema: &serde_json::Value, path: &str) {
        let properties = schema["properties"].as_object();
        for (key, value) in properties.into_iter().flatten() {
            let path = format!("{path}.{key}");
            let words = value["description"].as_str().unwrap_or_default();
            assert!(words.len() > 10, "{path} has no description");
            look(value, &path);
            look(&value["items"], &path);
            look(&value["additionalProperties"], &path);
        }
    }
    let schema = config::schema();
    look(&schema, "");
    assert_eq!(schema["additionalProperties"], false);
    let export =
        &schema["properties"]["tenant"]["additionalProperties"]["properties"]["export"]["items"];
    assert_eq!(export["additionalProperties"], false);
    assert_eq!(
        export["properties"]["limits"]["properties"]["memory"]["type"][0],
        "string"
    );
}

#[test]
fn quoted_text_cant_control_a_terminal() {
    let lines = wrong("\"a\\u001b[2Jb\" = 1");
    assert!(lines[0].contains("a\u{fffd}[2Jb: unknown key"), "{lines:?}");
    assert!(!lines.concat().contains(char::is_control));
}
