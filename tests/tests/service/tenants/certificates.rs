//! Three tenants that are known by their certificates, of whom one is hostile. The test goes through a server's whole
//! life with real clients, from the first connection to the drain.

use std::fs;
use std::path::Path;

use nbdbox_tests::pki::{Authority, Says, localhost, says};
use nbdbox_tests::{Disk, Random, Run, Server, nbdsh, run, shell};
use rcgen::SanType;
use tempfile::TempDir;

use super::scene::{Reader, export};

/// Where Bob's partition begins on his disk, and its size, in bytes.
const START: usize = 2048 * 512;
const LENGTH: usize = 8192 * 512;

/// A server with TLS, and the certificates of its clients.
struct Scene {
    server: Server,
    authority: Authority,
    _certificates: TempDir,
    /// The part of the configuration that stays the same.
    listener: String,
    disk: Disk,
    alice: TempDir,
    bob: TempDir,
    mallory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let authority = Authority::new();
        let certificates = authority.server(&localhost());
        let listener = listener(certificates.path());
        let disk = partitioned();
        let named = SanType::Rfc822Name("bob@example.com".try_into().unwrap());
        let bob = Says {
            names: vec![named],
            ..says("somebody")
        };
        Self {
            server: Server::hosting(&config(&listener, &disk, &evil())),
            alice: authority.client(&says("alice")),
            bob: authority.client(&bob),
            mallory: authority.client(&says("mallory")),
            authority,
            _certificates: certificates,
            listener,
            disk,
        }
    }

    /// The free port on which the server listens.
    fn port(&self) -> u16 {
        let log = self.server.log();
        let (_, rest) = log.split_once("lan listens on 127.0.0.1 port ").unwrap();
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    /// The URI of an export, for the owner of a certificates' folder.
    fn uri(&self, who: &TempDir, name: &str) -> String {
        let (port, folder) = (self.port(), who.path().display());
        format!("nbds://localhost:{port}/{name}?tls-certificates={folder}")
    }

    fn nbdinfo(&self, who: &TempDir, name: &str) -> Run {
        run("nbdinfo", ["--size", &self.uri(who, name)])
    }

    /// The names in the list that a client gets.
    fn listed(&self, who: &TempDir) -> Vec<String> {
        let json = run("nbdinfo", ["--list", "--json", &self.uri(who, "")]).ok();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let exports = json["exports"].as_array().unwrap();
        let names = exports.iter().map(|export| export["export-name"].as_str());
        names.map(|name| name.unwrap().to_owned()).collect()
    }

    /// Runs `qemu-img info` with QEMU's own TLS.
    fn qemu_img(&self, who: &TempDir, name: &str) -> Run {
        let (port, folder) = (self.port(), who.path().display());
        let credentials = format!("tls-creds-x509,id=tls0,dir={folder},endpoint=client");
        let image = format!("driver=nbd,host=localhost,port={port},export={name},tls-creds=tls0");
        let arguments = ["info", "--object", &credentials, "--image-opts", &image];
        run("qemu-img", arguments)
    }
}

fn listener(certificates: &Path) -> String {
    let folder = certificates.display();
    format!(
        "[[listener]]\nname = \"lan\"\ntcp = \"127.0.0.1:0\"\ntls = \"require\"\n\
         certificate = \"{folder}/server-cert.pem\"\nkey = \"{folder}/server-key.pem\"\n\
         client-ca = \"{folder}/ca-cert.pem\"\n"
    )
}

/// A disk of random bytes with one partition.
fn partitioned() -> Disk {
    let disk = Disk::holding(&Random::seeded(8).bytes(START + LENGTH + (1 << 20)));
    let table = format!("start={}, size={}", START / 512, LENGTH / 512);
    let sfdisk = "PATH=$PATH:/sbin sfdisk -q -X dos --wipe never";
    let _ = shell(&format!(
        "echo '{table}' | {sfdisk} {}",
        disk.path().display()
    ))
    .ok();
    disk
}

/// Alice's disk is a plugin in Rust, and Bob's a partition, by a plugin in C.
fn config(listener: &str, disk: &Disk, mallorys: &str) -> String {
    let disk = disk.path().display().to_string();
    let tenant = |name: &str, rule: &str| format!("[tenant.{name}]\nclients = [{{ {rule} }}]\n");
    [
        listener,
        &tenant("alice", "subject = \"CN=alice,O=Example\""),
        &export("alice", "disk", "pattern", "settings = { size = \"4M\" }"),
        &tenant("bob", "san = \"bob@example.com\""),
        &export(
            "bob",
            "disk",
            "partition",
            &format!("blobs = {{ disk = \"{disk}\" }}"),
        ),
        &tenant(
            "mallory",
            "subject = \"CN=mallory,O=Example\", listener = \"lan\"",
        ),
        mallorys,
    ]
    .concat()
}

/// What Mallory's plugins do at a read.
const DEEDS: [&str; 5] = ["loop", "trap", "grow", "recurse", "short"];

fn evil() -> String {
    let exports = DEEDS.map(|deed| {
        let settings = format!("settings = {{ at = \"read\", do = \"{deed}\", size = \"1M\" }}");
        export("mallory", deed, "bad", &settings)
    });
    exports.concat()
}

#[test]
fn three_tenants_with_certificates_live_through_an_attack_a_reload_and_a_drain() {
    let scene = Scene::new();
    each_sees_its_own(&scene);
    let readers = [&scene.alice, &scene.bob].map(|who| Reader::of(&scene.uri(who, "disk")));
    mallory_attacks(&scene);
    the_configuration_changes(&scene);
    for reader in readers {
        assert!(reader.stop() > 0);
    }
    each_has_its_own_bytes(&scene);
    the_server_drains(scene);
}

fn each_sees_its_own(scene: &Scene) {
    assert_eq!(scene.listed(&scene.alice), ["disk"]);
    assert_eq!(scene.listed(&scene.bob), ["disk"]);
    assert_eq!(scene.listed(&scene.mallory).len(), DEEDS.len());
    let size = |who| scene.nbdinfo(who, "disk").ok();
    assert_eq!(size(&scene.alice), "4194304\n");
    assert_eq!(size(&scene.bob), format!("{LENGTH}\n"));
    let said = scene.qemu_img(&scene.alice, "disk").ok();
    assert!(said.contains("4 MiB (4194304 bytes)"), "{said}");
}

fn each_has_its_own_bytes(scene: &Scene) {
    let copy = scene.server.folder().join("copy");
    let _ = run(
        "nbdcopy",
        [&scene.uri(&scene.bob, "disk"), copy.to_str().unwrap()],
    )
    .ok();
    assert!(fs::read(&copy).unwrap() == scene.disk.bytes()[START..START + LENGTH]);
    // The pattern: every eight bytes are their own offset.
    let offsets =
        "assert h.pread(16, 4088) == (4088).to_bytes(8, 'big') + (4096).to_bytes(8, 'big')";
    let _ = nbdsh(&scene.uri(&scene.alice, "disk"), offsets).ok();
}

fn mallory_attacks(scene: &Scene) {
    let mallory = &scene.mallory;
    for deed in DEEDS {
        let attack = nbdsh(&scene.uri(mallory, deed), "h.pread(4096, 0)");
        assert_ne!(attack.code, 0, "{deed}");
        assert!(attack.stderr.contains("Input/output error"), "{attack:?}");
    }
    // Another tenant's export, and one that doesn't exist.
    let refused = |name: &str| {
        let info = scene.nbdinfo(mallory, name);
        assert_ne!(info.code, 0);
        assert_ne!(scene.qemu_img(mallory, name).code, 0);
        info.stderr.replace(name, "NAME")
    };
    assert_eq!(refused("disk"), refused("nowhere"));
    // Alice's name in a certificate of Mallory's own authority. Her client trusts the server, which doesn't trust her
    // authority.
    let forged = Authority::new().client(&says("alice"));
    scene.authority.write(forged.path());
    assert_ne!(scene.nbdinfo(&forged, "disk").code, 0);
    // This one attribute only looks like Alice's two.
    let alike = scene.authority.client(&says("alice,O=Example"));
    assert_ne!(scene.nbdinfo(&alike, "disk").code, 0);
    assert!(scene.listed(&alike).is_empty());
    let plain = format!("nbd://localhost:{}/disk", scene.port());
    assert_ne!(run("nbdinfo", [plain]).code, 0);
}

/// Bob gets another export, and Mallory's tenant is removed.
fn the_configuration_changes(scene: &Scene) {
    let new = export("bob", "new", "memory", "settings = { size = \"2M\" }");
    let config = config(&scene.listener, &scene.disk, "")
        .replace("[tenant.mallory]", &format!("{new}[tenant.mallory]"));
    scene.server.reload(&config);
    let log = scene.server.log();
    assert!(
        log.contains("1 exports added, 0 changed, 5 removed, 2 kept"),
        "{log}"
    );
    assert_eq!(scene.listed(&scene.bob), ["disk", "new"]);
    assert!(scene.listed(&scene.mallory).is_empty());
    assert_ne!(scene.nbdinfo(&scene.mallory, "trap").code, 0);
    let written = "h.pwrite(b'bob' * 1024, 512); h.flush(); assert h.pread(6, 512) == b'bobbob'";
    let _ = nbdsh(&scene.uri(&scene.bob, "new"), written).ok();
}

/// A client that reads all the time gets complete and correct replies, and then the end.
fn the_server_drains(scene: Scene) {
    let script = "\
import os, signal
first = h.pread(65536, 0)
os.kill(PID, signal.SIGTERM)
try:
    while True:
        assert h.pread(65536, 0) == first
except nbd.Error as error:
    print(error.errno or 'closed')
";
    let script = script.replace("PID", &scene.server.pid().to_string());
    let told = nbdsh(&scene.uri(&scene.alice, "disk"), &script).ok();
    let ends = ["ESHUTDOWN", "ENOTCONN", "ECONNRESET", "EPIPE", "closed"];
    assert!(ends.contains(&told.trim()), "{told}");
    let exit = scene.server.ended();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(exit.log.contains("stopping"), "{}", exit.log);
}
