//! `cow`, next to nbdkit's; and that it survives, which nbdkit's doesn't.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Random, Server, nbdbox, plugin, run};

use super::compare::{Pair, content, options, serve};

/// A size that is a multiple of nothing.
const SIZE: usize = (4 << 20) + 12_800;

const BLOCK: u64 = 65_536;

/// A file for the overlay of a disk of `SIZE` bytes.
fn overlay() -> Disk {
    Disk::empty(SIZE as u64 + (1 << 20))
}

fn in_file(overlay: &Disk) -> String {
    format!("cow,blob.overlay={}:rw", overlay.path().display())
}

/// Trims whole blocks of both: neither server promises anything about parts.
fn trim(pair: &mut Pair, random: &mut Random) {
    let blocks = SIZE as u64 / BLOCK;
    for _ in 0..5 {
        let (first, count) = random.range(blocks, 4);
        for client in [&mut pair.ours, &mut pair.theirs] {
            let (offset, length) = (first * BLOCK, count * BLOCK);
            client.trim(offset, length, CommandFlags::empty()).unwrap();
        }
    }
}

#[test]
fn changes_are_the_same_as_nbdkits() {
    let mut random = Random::seeded(7);
    let kept = overlay();
    for filter in ["cow,memory=yes".to_owned(), in_file(&kept)] {
        let bytes = content(&mut random, SIZE);
        let mut pair = Pair::new(&bytes, &filter, &["--filter=cow"], &[]).without_zero();
        pair.assert_same(&mut random);
        for _ in 0..4 {
            pair.change(&mut random, 15);
            trim(&mut pair, &mut random);
            pair.assert_same_bytes(&mut random);
        }
        pair.ours.flush().unwrap();
        let [ours, _] = pair.files();
        assert!(ours == bytes, "{filter}: the layer below was changed");
        assert!(!pair.log().contains("WARN"), "{}", pair.log());
    }
}

#[test]
fn the_map_is_that_of_both_layers_as_nbdkits() {
    let mut random = Random::seeded(8);
    let bytes = content(&mut random, SIZE);
    let mut pair = Pair::new(&bytes, "cow,memory=yes", &["--filter=cow"], &[]).without_zero();
    for _ in 0..10 {
        let (offset, length) = random.range(SIZE as u64, 100_000);
        let data = random.bytes(usize::try_from(length).unwrap());
        for client in [&mut pair.ours, &mut pair.theirs] {
            client.write(offset, &data, CommandFlags::empty()).unwrap();
        }
    }
    pair.assert_same(&mut random);
    trim(&mut pair, &mut random);
    pair.assert_same(&mut random);
}

/// Makes a change on a client's disk and on a model.
fn change(client: &mut Client, model: &mut [u8], random: &mut Random) {
    let (offset, length) = random.range(model.len() as u64, 150_000);
    let place = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
    let flags = [
        CommandFlags::empty(),
        CommandFlags::NO_HOLE,
        CommandFlags::FUA,
    ];
    match random.of(0..4) {
        0 => {
            let flags = flags[usize::try_from(random.of(0..3)).unwrap()];
            client.zero(offset, length, flags).unwrap();
            model[place].fill(0);
        }
        _ => {
            let data = random.bytes(place.len());
            client.write(offset, &data, CommandFlags::empty()).unwrap();
            model[place].copy_from_slice(&data);
        }
    }
}

fn all(client: &mut Client) -> Vec<u8> {
    client.read(0, u32::try_from(SIZE).unwrap()).unwrap()
}

fn connect(server: &Server) -> Client {
    Client::connect(&server.socket(), Framing::Extended)
}

#[test]
fn an_overlay_survives_ends_and_kills() {
    let mut random = Random::seeded(9);
    let bytes = content(&mut random, SIZE);
    let (disk, kept) = (Disk::holding(&bytes), overlay());
    let mut model = bytes.clone();
    // `make long` makes more rounds.
    let rounds = std::env::var("NBDBOX_KILLS").ok();
    for round in 0..rounds.map_or(6, |text| text.parse().unwrap()) {
        let server = serve(&disk, &[&in_file(&kept)]);
        let mut client = connect(&server);
        assert!(all(&mut client) == model, "round {round}");
        for _ in 0..10 {
            change(&mut client, &mut model, &mut random);
        }
        client.flush().unwrap();
        if round % 2 == 0 {
            assert_eq!(server.stop().code, Some(0));
        }
        // In the other rounds the server is killed.
    }
    assert!(disk.bytes() == bytes, "the layer below was changed");
}

#[test]
fn unflushed_writes_are_kept_when_the_server_is_stopped() {
    let mut random = Random::seeded(12);
    let bytes = content(&mut random, SIZE);
    let (disk, kept) = (Disk::holding(&bytes), overlay());
    let server = serve(&disk, &[&in_file(&kept)]);
    let mut client = connect(&server);
    let new = random.bytes(SIZE);
    client.write(0, &new, CommandFlags::empty()).unwrap();
    // The client is still connected.
    assert_eq!(server.stop().code, Some(0));
    let server = serve(&disk, &[&in_file(&kept)]);
    assert!(all(&mut connect(&server)) == new);
}

#[test]
fn unflushed_bytes_are_old_or_new_after_a_kill() {
    let mut random = Random::seeded(10);
    let bytes = content(&mut random, SIZE);
    let (disk, kept) = (Disk::holding(&bytes), overlay());
    let server = serve(&disk, &[&in_file(&kept)]);
    let mut client = connect(&server);
    let new = random.bytes(SIZE);
    let half = SIZE / 2;
    client
        .write(0, &new[..half], CommandFlags::empty())
        .unwrap();
    client.flush().unwrap();
    client
        .write(half as u64, &new[half..], CommandFlags::empty())
        .unwrap();
    drop((client, server));
    let server = serve(&disk, &[&in_file(&kept)]);
    let found = all(&mut connect(&server));
    assert!(found[..half] == new[..half], "what was flushed");
    for (index, block) in found.chunks(usize::try_from(BLOCK).unwrap()).enumerate() {
        let place = index * usize::try_from(BLOCK).unwrap();
        for (at, byte) in block.iter().enumerate() {
            let at = place + at;
            assert!(*byte == bytes[at] || *byte == new[at], "byte {at}");
        }
    }
}

/// The error of a server that refuses to serve.
fn refused(filter: &str, size: &str) -> String {
    let mut words = vec!["serve".to_owned()];
    words.extend(options(&[filter]));
    words.push(plugin("pattern").display().to_string());
    words.extend([format!("size={size}"), "--run".into(), "true".into()]);
    let refused = run(nbdbox(), &words);
    assert_eq!(refused.code, 1, "{refused:?}");
    refused.stderr
}

#[test]
fn an_overlay_of_something_else_is_left_alone() {
    let kept = overlay();
    let size = SIZE.to_string();
    let server = {
        let mut words = options(&[&in_file(&kept)]);
        words.push(plugin("pattern").display().to_string());
        words.push(format!("size={size}"));
        Server::start(words)
    };
    connect(&server).flush().unwrap();
    drop(server);
    let before = kept.bytes();
    assert!(refused(&in_file(&kept), "1M").contains("belongs to a disk of another size"));
    let block = format!("{},block=4K", in_file(&kept));
    assert!(refused(&block, &size).contains("another block size"));
    assert!(kept.bytes() == before);
    let other = Disk::holding(&vec![7; SIZE + (1 << 20)]);
    assert!(refused(&in_file(&other), &size).contains("neither an overlay nor empty"));
    let small = Disk::empty(1 << 20);
    assert!(refused(&in_file(&small), &size).contains("truncate -s"));
    assert!(refused("cow", &size).contains("there is no overlay"));
}

#[test]
fn memory_that_is_full_is_enospc_and_the_disk_goes_on() {
    let mut words = options(&["cow,memory=yes,limit.memory=4MiB"]);
    words.push(plugin("pattern").display().to_string());
    words.push("size=64M".to_owned());
    let server = Server::start(words);
    let mut client = connect(&server);
    let data = vec![1; 1 << 20];
    let mut written = 0;
    let refused = loop {
        match client.write(written, &data, CommandFlags::empty()) {
            Ok(()) => written += 1 << 20,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.errno, nbd_proto::Errno::Enospc);
    assert!(written > 0);
    assert!(client.read(0, 1 << 20).unwrap() == data);
    client.trim(0, written, CommandFlags::empty()).unwrap();
    client
        .write(32 << 20, &data, CommandFlags::empty())
        .unwrap();
}
