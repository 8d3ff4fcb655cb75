//! `data` against nbdkit's plugin of the same name: the same texts make the same disks.

use nbd_proto::Framing;
use nbdbox_tests::{Client, Disk, Extent, Peer, Random, Server, nbdbox, plugin, run};

use super::operation::Operation;

/// Both servers, with the disk of `words`. In these, `FILE` is a file of 50,000 bytes: a path for nbdkit, and a blob
/// for nbdbox.
struct Pair {
    ours: Client,
    theirs: Client,
    _server: Server,
    _peer: Peer,
    _file: Disk,
}

impl Pair {
    fn new(words: &[&str]) -> Self {
        let file = Disk::holding(&Random::seeded(9).bytes(50_000));
        let path = file.path().display().to_string();
        let with = |name: &str| {
            words
                .iter()
                .map(|word| word.replace("FILE", name))
                .collect()
        };
        let (ours, theirs): (Vec<String>, Vec<String>) = (with("disk"), with(&path));
        let mut arguments = vec!["--blob".to_owned(), format!("disk={path}")];
        arguments.push(plugin("data").display().to_string());
        arguments.extend(ours);
        let server = Server::start(arguments);
        let peer = Peer::nbdkit(std::iter::once("data".to_owned()).chain(theirs));
        Self {
            ours: Client::connect(&server.socket(), Framing::Extended),
            theirs: Client::connect(&peer.socket(), Framing::Structured),
            _server: server,
            _peer: peer,
            _file: file,
        }
    }

    fn assert_same(&mut self, what: &str) {
        let size = self.theirs.size();
        assert_eq!(self.ours.size(), size, "{what}: size");
        for at in (0..size).step_by(1 << 20) {
            let length = u32::try_from((1 << 20).min(size - at)).unwrap();
            let same = self.ours.read(at, length) == self.theirs.read(at, length);
            assert!(same, "{what}: {length} bytes at {at}");
        }
    }

    fn maps(&mut self) -> [Vec<Extent>; 2] {
        [&mut self.ours, &mut self.theirs].map(|client| {
            let size = client.size();
            client.map(0, size, size)
        })
    }
}

/// Texts that show each part of the language.
const TEXTS: [&[&str]; 28] = [
    &["data=0 1 2 3 @0x1fe 0x55 0xaa"],
    &["data=0 1 2 3 @^0x200 @-2 le16:0xaa55"],
    &["data=010 0x10 10 255 08"],
    &["data=@512"],
    &["data=1 @+70000 2 @-3 3 4"],
    &["data=be16:1 le16:1 be32:0x01020304 le32:7 be64:1 le64:0xffffffffffffffff"],
    &["data=\"Hello \\\"you\\\"\\n\\x00\\xff\\t\\\\\\a\\b\\f\\r\\v\""],
    &["data=1 # 2 3\n4"],
    &["data=(1 2)*3 7*100000 (\"Hello\")*20000"],
    &["data=( 0x55 0xAA )*2048"],
    &["data=(\"Hello\")*2000", "size=8192"],
    &["data=(1 2 3 4)[1:3] (1 2 3 4)[:2] (1 2 3 4)[2:] (1 2 3 4)[:] (1 2)[1:1]"],
    &["data=(1 2 @+3 (3 4)*2)*5 [3:20]*3"],
    &["data=0xff*16 @4 ( @4 1 ) 2"],
    &["data=( 0x55 0xAA ) -> \\boot ( @0x1fe \\boot ) -> \\sector \\sector \\sector"],
    &["data=1 -> \\a ( \\a 2 -> \\a \\a ) \\a"],
    &["data=1 -> \\a \\a -> \\b 2 -> \\a \\b \\a"],
    &["data=$pattern*16", "pattern=0x55 0xAA"],
    &[
        "data=$pattern*16 @^4096 $word",
        "pattern=$word 1",
        "word=\"w\" @+2",
    ],
    &["data=<FILE @^512 <FILE[:100]*3 <FILE[49990:]"],
    &["data=( <FILE )[7:40000]*2 1"],
    &["data=3 <FILE @1000 9*10"],
    &["data=1*0 @0 (2*3)*0 (@100000 1)*4"],
    &["data=(1 @+40000)*10 @+1000000 5"],
    &["data=1 2 3", "size=100000"],
    &["raw=Hello, world!"],
    &["raw=Hello, world!", "size=5"],
    &["base64=aGVsbG8gbmJka2l0IHVzZXI=", "size=1M"],
];

#[test]
fn each_text_is_the_same_disk() {
    for words in TEXTS {
        let mut pair = Pair::new(words);
        pair.assert_same(&format!("{words:?}"));
        let [ours, theirs] = pair.maps();
        assert_eq!(ours, theirs, "{words:?}: map");
    }
}

#[test]
fn what_nbdkit_refuses_is_refused() {
    for text in [
        "256",
        "x",
        "(1",
        "1)",
        "*2",
        "@1*2",
        "(1 2)[1:3]",
        "(1 2)[2:1]",
        "@-1",
        "1 @+2 @-4",
        "@^3",
        "\\none",
        "(1 -> \\a) \\a",
        "$none",
        "\"open",
        "\"\\u0041\"",
        "le16:65536",
        "le15:1",
        "<",
        "1 - 2",
        "-> \\a",
        "1*x",
    ] {
        let (path, data) = (plugin("data"), format!("data={text}"));
        let ours = [
            "serve".as_ref(),
            "--run".as_ref(),
            "true".as_ref(),
            path.as_os_str(),
            data.as_ref(),
        ];
        let ours = run(nbdbox(), ours);
        let theirs = run("nbdkit", ["-U", "-", "data", &data, "--run", "true"]);
        assert!(theirs.code != 0, "{text}: nbdkit takes it");
        assert!(ours.code != 0, "{text}: nbdbox takes it");
        assert!(ours.stderr.contains("data=: "), "{text}: {}", ours.stderr);
    }
}

/// A random text without a zero byte.
fn text(random: &mut Random, depth: u32) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.of(0..5) {
        let item = match random.of(0..if depth > 0 { 9 } else { 5 }) {
            0 => format!("{} 0x{:x}", random.of(1..256), random.of(1..256)),
            1 => format!("@+{}", random.of(0..50_000)),
            2 => format!("@^{}", 1 << random.of(0..17)),
            3 => format!("{}*{}", random.of(1..256), random.of(1..100_000)),
            4 => format!("<FILE[{}:{}]", random.of(0..100), random.of(100..50_000)),
            5 => format!(
                "( 1 {} )*{}",
                self::text(random, depth - 1),
                random.of(1..6)
            ),
            6 => format!("( 1 {} )[1:]", self::text(random, depth - 1)),
            7 => format!("( 1 {} )[:1]", self::text(random, depth - 1)),
            _ => format!("( 1 {} ) -> \\n \\n @+5 \\n", self::text(random, depth - 1)),
        };
        text = format!("{text} {item}");
    }
    text
}

#[test]
fn texts_by_chance_are_the_same_disks() {
    let mut random = Random::seeded(1);
    for _ in 0..25 {
        let text = format!("data={}", text(&mut random, 3));
        let mut pair = Pair::new(&[&text, "size=3M"]);
        pair.assert_same(&text);
        let maps = pair.maps();
        // Zeroes that nbdkit has written out are holes in nbdbox.
        let zeroes = maps.map(|map| {
            let mut spans: Vec<(bool, u64)> = Vec::new();
            for extent in map {
                match spans.last_mut() {
                    Some((zero, length)) if *zero == extent.is_zero() => *length += extent.length,
                    _ => spans.push((extent.is_zero(), extent.length)),
                }
            }
            spans
        });
        assert_eq!(zeroes[0], zeroes[1], "{text}: map");
    }
}

#[test]
fn what_is_written_to_both_is_read_from_both() {
    let mut random = Random::seeded(2);
    let mut pair = Pair::new(&["data=(1 2 <FILE @+100000 7*1000)*10", "size=2000001"]);
    for _ in 0..100 {
        let operation = Operation::random(&mut random, 2_000_001, 100_000, 1);
        operation.send(&mut pair.ours);
        operation.send(&mut pair.theirs);
    }
    pair.assert_same("after changes");
}

#[test]
fn a_disk_of_exabytes_takes_no_memory() {
    let size = 6_u64 << 60;
    let server = Server::plugin(
        "data",
        &[
            "--limit",
            "memory=4M",
            "data=( 0x55 0xAA )*3458764513820540928",
        ],
    );
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.size(), size);
    assert_eq!(client.read(size - 3, 3).unwrap(), [0xaa, 0x55, 0xaa]);
    assert_eq!(client.map(0, size, size).len(), 1);
    let zeroed = client.zero(1, size - 2, nbd_proto::CommandFlags::empty());
    zeroed.unwrap();
    assert_eq!(client.read(size - 3, 3).unwrap(), [0, 0, 0xaa]);
    assert_eq!(client.read(0, 2).unwrap(), [0x55, 0]);
}
