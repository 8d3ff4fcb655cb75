//! `swab`, next to nbdkit's.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Peer, Random, Server, plugin};

use super::compare::{Pair, content, options};

/// A size that isn't a multiple of 64-bit words.
const SIZE: usize = (4 << 20) + 12_803;

/// Makes the same changes to whole words of both.
fn change(pair: &mut Pair, random: &mut Random, word: u64) {
    let words = pair.theirs.size() / word;
    for _ in 0..15 {
        let (first, count) = random.range(words, 20_000);
        let (offset, length) = (first * word, count * word);
        let bytes = random.bytes(usize::try_from(length).unwrap());
        let what = random.of(0..3);
        for client in [&mut pair.ours, &mut pair.theirs] {
            let done = match what {
                0 => client.zero(offset, length, CommandFlags::empty()),
                1 => client.write(offset, &bytes, CommandFlags::FUA),
                _ => client.write(offset, &bytes, CommandFlags::empty()),
            };
            done.unwrap();
        }
    }
}

fn assert_same(pair: &mut Pair, random: &mut Random, word: u64) {
    let size = pair.theirs.size();
    assert_eq!(pair.ours.size(), size);
    for _ in 0..60 {
        let (first, count) = random.range(size / word, 40_000);
        let (offset, length) = (first * word, u32::try_from(count * word).unwrap());
        let reads = [&mut pair.ours, &mut pair.theirs].map(|client| client.read(offset, length));
        assert!(reads[0] == reads[1], "{length} bytes at {offset}");
    }
    let maps = [&mut pair.ours, &mut pair.theirs].map(|client| client.map(0, size, size));
    assert_eq!(maps[0], maps[1]);
}

#[test]
fn words_are_turned_as_nbdkits_are() {
    for (bits, word) in [(8, 1), (16, 2), (32, 4), (64, 8)] {
        let mut random = Random::seeded(bits);
        let bytes = content(&mut random, SIZE);
        let filter = format!("swab,swab-bits={bits}");
        let setting = format!("swab-bits={bits}");
        let mut pair = Pair::new(&bytes, &filter, &["--filter=swab"], &[&setting]);
        assert_same(&mut pair, &mut random, word);
        if bits == 8 {
            // Bytes that were written through nbdkit's filter differ from those that were sent.
            continue;
        }
        change(&mut pair, &mut random, word);
        assert_same(&mut pair, &mut random, word);
        for client in [&mut pair.ours, &mut pair.theirs] {
            client.flush().unwrap();
        }
        let [ours, theirs] = pair.files();
        assert!(ours == theirs, "{bits}: what came below");
    }
}

#[test]
fn parts_of_words_are_refused_as_nbdkits_are() {
    let bytes = vec![1; 4096];
    let mut pair = Pair::new(
        &bytes,
        "swab,swab-bits=32",
        &["--filter=swab"],
        &["swab-bits=32"],
    );
    for (offset, length) in [(0, 2), (2, 4), (4, 7)] {
        let errnos = [&mut pair.ours, &mut pair.theirs].map(|client| {
            let read = client.read(offset, length).unwrap_err().errno;
            let bytes = vec![0; length as usize];
            let write = client.write(offset, &bytes, CommandFlags::empty());
            (read, write.unwrap_err().errno)
        });
        assert_eq!(errnos[0], errnos[1], "{length} bytes at {offset}");
    }
}

/// Runs of odd lengths: a word at the border of a hole is data.
#[test]
fn a_word_with_a_byte_in_it_is_data() {
    let settings = ["size=300007", "runlength=777"];
    let mut words = options(&["swab,swab-bits=64"]);
    words.push(plugin("sparse").display().to_string());
    words.extend(settings.map(str::to_owned));
    let server = Server::start(words);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let size = client.size();
    let map = client.map(0, size, size);
    assert!(map.iter().any(nbdbox_tests::Extent::is_zero));
    for extent in map.iter().filter(|extent| extent.is_zero()) {
        let length = u32::try_from(extent.length).unwrap();
        let read = client.read(extent.offset, length).unwrap();
        assert!(read.iter().all(|byte| *byte == 0), "{extent:?}");
    }
}

#[test]
fn the_pattern_is_little_endian_then() {
    let mut words = options(&["swab,swab-bits=64"]);
    words.push(plugin("pattern").display().to_string());
    words.push("size=1M".to_owned());
    let server = Server::start(words);
    let peer = Peer::nbdkit(["--filter=swab", "pattern", "size=1M", "swab-bits=64"]);
    let [ours, theirs] = [server.socket(), peer.socket()]
        .map(|socket| Client::connect(&socket, Framing::Structured).read(4096, 65_536));
    assert!(ours == theirs);
}
