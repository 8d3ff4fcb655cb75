//! A filter of nbdbox and one of nbdkit, each over a copy of one file.

use std::fs;
use std::path::Path;

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Extent, Peer, Random, Server, plugin};

/// A file that both servers serve, each from a copy of its own.
pub(crate) struct Pair {
    pub(crate) ours: Client,
    pub(crate) theirs: Client,
    our_disk: Disk,
    their_disk: Disk,
    /// The servers, which run until the pair is dropped.
    server: Server,
    _peer: Peer,
    they_zero: bool,
}

impl Pair {
    /// Starts nbdbox with one `--filter`, and nbdkit with its options and settings.
    pub(crate) fn new(bytes: &[u8], filter: &str, options: &[&str], settings: &[&str]) -> Self {
        let (our_disk, their_disk) = (sparse(bytes), sparse(bytes));
        let server = serve(&our_disk, &[filter]);
        let mut words: Vec<String> = options.iter().map(|&word| word.to_owned()).collect();
        words.push("file".to_owned());
        words.push(their_disk.path().display().to_string());
        words.extend(settings.iter().map(|&word| word.to_owned()));
        let peer = Peer::nbdkit(&words);
        Self {
            ours: Client::connect(&server.socket(), Framing::Extended),
            theirs: Client::connect(&peer.socket(), Framing::Structured),
            our_disk,
            their_disk,
            server,
            _peer: peer,
            they_zero: true,
        }
    }

    /// Checks that the sizes, the bytes of random reads, and the maps are the same.
    pub(crate) fn assert_same(&mut self, random: &mut Random) {
        let size = self.theirs.size();
        assert_eq!(self.ours.size(), size, "size");
        self.assert_same_bytes(random);
        let maps = [&mut self.ours, &mut self.theirs].map(|client| client.map(0, size, size));
        assert_eq!(maps[0], maps[1], "map");
        assert!(maps[0].len() > 3, "a map with little in it: {:?}", maps[0]);
        for _ in 0..20 {
            let (offset, length) = random.range(size, 400_000);
            let cut = |client: &mut Client| client.map(offset, length, length);
            let maps: [Vec<Extent>; 2] = [cut(&mut self.ours), cut(&mut self.theirs)];
            assert_eq!(maps[0], maps[1], "map of {length} bytes at {offset}");
        }
    }

    /// Checks that all bytes are the same, in reads of random lengths.
    pub(crate) fn assert_same_bytes(&mut self, random: &mut Random) {
        let size = self.theirs.size();
        for at in (0..size).step_by(1 << 20) {
            let length = u32::try_from((1 << 20).min(size - at)).unwrap();
            self.assert_same_read(at, length);
        }
        for longest in [700, 9000, 300_000] {
            for _ in 0..20 {
                let (offset, length) = random.range(size, longest);
                self.assert_same_read(offset, u32::try_from(length).unwrap());
            }
        }
    }

    fn assert_same_read(&mut self, offset: u64, length: u32) {
        let ours = self.ours.read(offset, length).unwrap();
        let theirs = self.theirs.read(offset, length).unwrap();
        assert!(ours == theirs, "{length} bytes at {offset}");
    }

    /// For filters of nbdkit that can't zero: nbdkit gets a write of zeroes.
    pub(crate) fn without_zero(mut self) -> Self {
        self.they_zero = false;
        self
    }

    /// Makes the same random changes to both, and checks that both return the same errors.
    pub(crate) fn change(&mut self, random: &mut Random, count: usize) {
        let size = self.theirs.size();
        for _ in 0..count {
            let (offset, length) = random.range(size, 200_000);
            let bytes = random.bytes(usize::try_from(length).unwrap());
            let flags = match random.of(0..4) {
                0 => CommandFlags::FUA,
                _ => CommandFlags::empty(),
            };
            let what = random.of(0..3);
            let change = |client: &mut Client, zero: bool| match what {
                0 if zero => client.zero(offset, length, flags),
                0 => client.write(offset, &vec![0; bytes.len()], flags),
                _ => client.write(offset, &bytes, flags),
            };
            let theirs = change(&mut self.theirs, self.they_zero);
            let answers = [change(&mut self.ours, true), theirs];
            let errnos = answers.map(|answer| answer.map_err(|refused| refused.errno));
            assert_eq!(errnos[0], errnos[1], "{what}: {length} bytes at {offset}");
        }
    }

    /// The bytes of the files below.
    pub(crate) fn files(&self) -> [Vec<u8>; 2] {
        [self.our_disk.bytes(), self.their_disk.bytes()]
    }

    pub(crate) fn log(&self) -> String {
        self.server.log()
    }
}

/// Serves a file with filters over it, each as a value of `--filter`.
pub(crate) fn serve(disk: &Disk, filters: &[&str]) -> Server {
    let grant = format!("disk={}:rw", disk.path().display());
    let mut words = vec!["--blob".to_owned(), grant];
    words.extend(options(filters));
    words.push(plugin("file").display().to_string());
    Server::start(words)
}

/// The filters that are built into the host.
const NATIVE: [&str; 11] = [
    "blocksize-policy",
    "delay",
    "error",
    "exitlast",
    "exitwhen",
    "fua",
    "log",
    "nocache",
    "noextents",
    "notrim",
    "nozero",
];

/// The value of `--filter` for each: names of example plugins, or of built-in filters.
pub(crate) fn options(filters: &[&str]) -> Vec<String> {
    let option = |filter: &&str| {
        let (name, rest) = filter.split_at(filter.find(',').unwrap_or(filter.len()));
        if NATIVE.contains(&name) {
            return ["--filter".to_owned(), (*filter).to_owned()];
        }
        let file = match name {
            "sly" | "flip" => nbdbox_tests::guest(name),
            _ => plugin(name),
        };
        ["--filter".to_owned(), format!("{}{rest}", file.display())]
    };
    filters.iter().flat_map(option).collect()
}

/// A file whose long stretches of zeroes are holes.
fn sparse(bytes: &[u8]) -> Disk {
    let disk = Disk::empty(bytes.len() as u64);
    write_sparse(&disk.path(), bytes);
    disk
}

fn write_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().write(true).open(path).unwrap();
    for (index, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, index as u64 * 4096).unwrap();
        }
    }
}

/// Random data and holes.
pub(crate) fn content(random: &mut Random, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for _ in 0..size.div_ceil(200_000) {
        let (offset, length) = random.range(size as u64, 90_000);
        let offset = usize::try_from(offset).unwrap();
        let data = random.bytes(usize::try_from(length).unwrap());
        bytes[offset..offset + data.len()].copy_from_slice(&data);
    }
    bytes
}
