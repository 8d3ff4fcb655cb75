//! `cacheextents`, `readahead`, `retry` and `blocksize` change nothing except the calls to the layer below; next to
//! nbdkit's.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Random, Server, guest};

use super::compare::{Pair, content, options, serve};

const SIZE: usize = 4 << 20;

/// Makes the same changes and reads as with nbdkit's filter of this name, with its setting.
fn like_nbdkit(seed: u64, name: &str, ours: &str, theirs: &[&str]) {
    let mut random = Random::seeded(seed);
    let bytes = content(&mut random, SIZE);
    let filter = format!("{name}{ours}");
    let mut pair = Pair::new(&bytes, &filter, &[&format!("--filter={name}")], theirs);
    pair.assert_same(&mut random);
    for _ in 0..3 {
        pair.change(&mut random, 15);
        pair.assert_same(&mut random);
    }
    let [ours, theirs] = pair.files();
    assert!(ours == theirs, "{filter}: what came below");
}

#[test]
fn remembered_extents_are_the_same_as_nbdkits() {
    like_nbdkit(11, "cacheextents", ",region=64K", &[]);
    like_nbdkit(12, "cacheextents", "", &[]);
}

#[test]
fn what_is_read_ahead_is_the_same_as_nbdkits() {
    like_nbdkit(13, "readahead", ",window=64K", &[]);
}

#[test]
fn what_is_retried_is_the_same_as_nbdkits() {
    like_nbdkit(14, "retry", "", &[]);
}

#[test]
fn whole_blocks_below_are_the_same_as_nbdkits() {
    for (seed, block, most) in [(15, "512", "64K"), (16, "4096", "1M"), (17, "64K", "128K")] {
        let ours = format!(",minblock={block},maxdata={most}");
        let settings = [format!("minblock={block}"), format!("maxdata={most}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        like_nbdkit(seed, "blocksize", &ours, &settings);
    }
}

/// How often the layer below was asked for extents.
fn questions(server: &Server) -> usize {
    server.log().matches("asked for").count()
}

#[test]
fn a_region_is_asked_about_once_until_it_is_changed() {
    let mut random = Random::seeded(18);
    let disk = Disk::holding(&content(&mut random, SIZE));
    let server = serve(&disk, &["cacheextents,region=1M", "sly,do=tell"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let size = SIZE as u64;
    let mut ask = |client: &mut Client| {
        for _ in 0..30 {
            let (offset, length) = random.range(size, 200_000);
            let _ = client
                .status(offset, length, CommandFlags::empty())
                .unwrap();
            let _ = client
                .status(offset, length, CommandFlags::REQ_ONE)
                .unwrap();
        }
    };
    ask(&mut client);
    let _ = client.map(0, size, size);
    assert_eq!(questions(&server), 4);
    client
        .write(1 << 20, &[1; 512], CommandFlags::empty())
        .unwrap();
    let _ = client.map(0, size, size);
    ask(&mut client);
    assert_eq!(questions(&server), 5);
}

#[test]
fn a_layer_that_crashes_now_and_then_is_outlasted() {
    let mut words = options(&["retry"]);
    words.push(guest("bad").display().to_string());
    let settings = ["mode=parallel", "at=read", "do=trap", "after=3"];
    words.extend(settings.map(str::to_owned));
    let server = Server::start(words);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    for at in 0..20 {
        assert_eq!(client.read(at * 512, 512).unwrap(), vec![0x42; 512]);
    }
    let log = server.log();
    assert!(
        log.contains("the plugin trapped") && log.contains("repeating a failed request, attempt 1"),
        "{log}"
    );
}

#[test]
fn a_lasting_error_is_returned_after_the_last_retry() {
    let mut words = options(&["retry,retries=2,retry-delay=1"]);
    words.push(guest("bad").display().to_string());
    words.extend(["at=read", "do=explain"].map(str::to_owned));
    let server = Server::start(words);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let refused = client.read(0, 512).unwrap_err();
    assert_eq!(refused.errno, nbd_proto::Errno::Eio);
    assert_eq!(
        server.log().matches("repeating a failed request").count(),
        2
    );
}

#[test]
fn blocks_below_are_no_clients_affair() {
    let mut words = options(&["blocksize"]);
    words.push(guest("bad").display().to_string());
    words.extend(["at=describe", "do=blocks-of-512"].map(str::to_owned));
    let server = Server::start(words);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    for (offset, length) in [
        (1, 1),
        (511, 2),
        (513, 4000),
        (0, 1 << 20),
        (7, (1 << 20) - 7),
    ] {
        let read = client.read(offset, length).unwrap();
        assert_eq!(read, vec![0x42; length as usize], "{offset}");
    }
}
