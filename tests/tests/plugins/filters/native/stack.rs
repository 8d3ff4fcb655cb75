//! Built-in filters anywhere in a stack, and in a configuration.

use std::fs;

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Random, Server, plugin};
use tempfile::TempDir;

use super::super::compare::{content, options, serve};

const SIZE: usize = 2 << 20;

#[test]
fn between_sandboxed_filters_nothing_is_different() {
    let mut random = Random::seeded(1);
    let bytes = content(&mut random, SIZE);
    let (disk, plain) = (Disk::holding(&bytes), Disk::holding(&bytes));
    let stack = [
        "delay,rdelay=1ms",
        "truncate,truncate=2M",
        "fua,fuamode=emulate",
        "offset,offset=64K",
        "nozero,zeromode=emulate",
        "noextents",
        "cacheextents",
        "notrim",
    ];
    let filtered = serve(&disk, &stack);
    let plain_server = serve(&plain, &["truncate,truncate=2M", "offset,offset=64K"]);
    let mut clients = [&filtered, &plain_server]
        .map(|server| Client::connect(&server.socket(), Framing::Structured));
    let size = clients[0].size();
    for _ in 0..40 {
        let (offset, length) = random.range(size - 65_536, 100_000);
        let new = random.bytes(usize::try_from(length).unwrap());
        let zeroes = random.of(0..3) == 0;
        let flags = match random.of(0..3) {
            0 => CommandFlags::FUA,
            _ => CommandFlags::empty(),
        };
        for client in &mut clients {
            let done = match zeroes {
                true => client.zero(offset, length, flags),
                false => client.write(offset, &new, flags),
            };
            done.unwrap();
        }
        let (offset, length) = random.range(size, 100_000);
        let length = u32::try_from(length).unwrap();
        let reads = clients.each_mut().map(|client| client.read(offset, length));
        assert!(reads[0] == reads[1], "{length} bytes at {offset}");
    }
    drop(clients);
    assert!(disk.bytes() == plain.bytes());
    let log = filtered.stop().log;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn unflushed_writes_are_durable_below_when_the_client_has_left() {
    let disk = Disk::holding(&[0; 1 << 20]);
    let server = serve(&disk, &["delay,wdelay=1ms", "cache", "fua"]);
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    client.write(0, &[7; 512], CommandFlags::empty()).unwrap();
    drop(client);
    drop(server.stop());
    assert_eq!(disk.bytes()[..512], [7; 512]);
}

#[test]
fn nine_filters_are_too_many_whoevers_they_are() {
    let mut words = vec!["serve".to_owned()];
    words.extend(options(&["notrim"; 9]));
    words.extend(["--run".to_owned(), "true".to_owned()]);
    words.push(plugin("pattern").display().to_string());
    let ran = nbdbox_tests::run(nbdbox_tests::nbdbox(), words);
    assert!(
        ran.stderr
            .contains("there are 9 filters; at most 8 are allowed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_configuration_names_them_too() {
    let folder = TempDir::with_prefix("nbdbox-native-").unwrap();
    let log = folder.path().join("log");
    let config = format!(
        r#"
        [[listener]]
        unix = "FOLDER/socket"
        name = "here"

        [tenant.alice]
        clients = [{{ listener = "here" }}]

        [[tenant.alice.export]]
        name = ""
        plugin = "{}"
        settings = {{ size = "4M" }}
        filters = [
            {{ plugin = "log", settings = {{ logfile = "{}" }} }},
            {{ plugin = "{}", settings = {{ offset = "1M" }} }},
            {{ plugin = "noextents" }},
        ]
        "#,
        plugin("pattern").display(),
        log.display(),
        plugin("offset").display()
    );
    let server = Server::hosting(&config);
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    assert_eq!(client.read(0, 8).unwrap(), (1_u64 << 20).to_be_bytes());
    drop(client);
    drop(server.stop());
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("connection=1 Connect export=\"\" size=0x300000"),
        "{log}"
    );
    assert!(log.contains("connection=1 ...Read id=1 return=0"), "{log}");
}
