//! Images in a folder, which QEMU's tools make, and which both they and nbdbox read.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nbd_proto::Framing;
use nbd_proto::wire::StateFlags;
use nbdbox_tests::{Client, Extent, Peer, Random, Server, qemu_io, run};
use tempfile::TempDir;

/// The most bytes of one read: some images limit requests to this.
const STEP: u64 = 1 << 20;

/// A folder of images. Dropping it removes the folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::with_prefix("nbdbox-images-").unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `qemu-img create -f FORMAT OPTIONS… NAME SIZE`.
    pub(crate) fn create(&self, format: &str, options: &[&str], name: &str, size: u64) {
        let (path, size) = (self.path(name), size.to_string());
        let mut words = vec!["create", "-q", "-f", format];
        words.extend(options);
        words.extend([path.to_str().unwrap(), &size]);
        let _ = run("qemu-img", words).ok();
    }

    /// Runs commands of `qemu-io`, each of which must succeed.
    pub(crate) fn change(&self, format: &str, name: &str, commands: &[String]) {
        let _ = qemu_io(format, self.path(name).to_str().unwrap(), commands);
    }

    /// Overwrites bytes of a file.
    pub(crate) fn patch(&self, name: &str, offset: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    /// Cuts a file to this length.
    pub(crate) fn cut(&self, name: &str, length: u64) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_len(length).unwrap();
    }

    /// Runs `qemu-img WORDS…`, in which `@NAME` stands for a file's path.
    pub(crate) fn qemu_img(&self, words: &str) {
        let words = words.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        let _ = run("qemu-img", words).ok();
    }

    /// Serves images. `grants` are NAME=FILE:ACCESS.
    pub(crate) fn serve(&self, plugin: &str, grants: &[&str], settings: &[&str]) -> Server {
        let mut words = Vec::new();
        for grant in grants {
            let (blob, file) = grant.split_once('=').unwrap();
            let folder = self.0.path().display();
            words.extend(["--blob".to_owned(), format!("{blob}={folder}/{file}")]);
        }
        words.extend(settings.iter().map(|&setting| setting.to_owned()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Server::plugin(plugin, &words)
    }

    /// Starts `qemu-nbd -r OPTIONS… NAME`.
    pub(crate) fn qemu_nbd(&self, options: &[&str], name: &str) -> Peer {
        let path = self.path(name);
        let mut words = vec!["-r"];
        words.extend(options);
        words.push(path.to_str().unwrap());
        Peer::qemu_nbd(words)
    }
}

/// Commands for `qemu-io` that leave data, zeroes and gaps, on blocks and off them.
pub(crate) fn changes(random: &mut Random, size: u64, count: usize) -> Vec<String> {
    let change = |random: &mut Random| {
        let (offset, length) = random.range(size, 200_000);
        match random.of(0..6) {
            0 => format!("write -z {offset} {length}"),
            1 => format!("write -z -u {offset} {length}"),
            pattern => format!("write -P {} {offset} {length}", 0x20 + pattern),
        }
    };
    (0..count).map(|_| change(random)).collect()
}

/// Asserts that two servers have the same bytes and the same map. Reads at random offsets too.
pub(crate) fn assert_same(what: &str, ours: &Path, theirs: &Path, random: &mut Random) {
    let mut ours = Client::connect(ours, Framing::Extended);
    let mut theirs = Client::connect(theirs, Framing::Structured);
    let size = theirs.size();
    assert_eq!(ours.size(), size, "{what}: size");
    let map = without_file_holes(theirs.map(0, size, size));
    let got = ours.map(0, size, size);
    let differs = got.iter().zip(&map).find(|(ours, theirs)| ours != theirs);
    assert_eq!(differs, None, "{what}: map");
    assert_eq!(got.len(), map.len(), "{what}: map");
    // All clusters of an image may be allocated if they are few and large.
    let little = map.len() <= 3 && !what.contains("2M") && !what.contains("raw=on");
    assert!(!little, "{what}: a map with little in it: {map:?}");
    assert_bytes(what, ours, theirs, size, random);
}

/// Asserts that two servers have the same bytes. Reads at random offsets too.
pub(crate) fn assert_same_bytes(what: &str, ours: &Path, theirs: &Path, random: &mut Random) {
    let ours = Client::connect(ours, Framing::Extended);
    let theirs = Client::connect(theirs, Framing::Structured);
    let size = theirs.size();
    assert_eq!(ours.size(), size, "{what}: size");
    assert_bytes(what, ours, theirs, size, random);
}

/// Asserts that two servers report the same ranges as zeroes.
pub(crate) fn assert_same_zeroes(what: &str, ours: &Path, theirs: &Path) {
    let zeroes = |mut client: Client| {
        let size = client.size();
        let map = client.map(0, size, size);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for extent in map.iter().filter(|extent| extent.is_zero()) {
            let end = extent.offset + extent.length;
            match ranges.last_mut() {
                Some(last) if last.1 == extent.offset => last.1 = end,
                _ => ranges.push((extent.offset, end)),
            }
        }
        ranges
    };
    let ours = zeroes(Client::connect(ours, Framing::Extended));
    let theirs = zeroes(Client::connect(theirs, Framing::Structured));
    assert_eq!(ours, theirs, "{what}");
}

fn assert_bytes(what: &str, mut ours: Client, mut theirs: Client, size: u64, random: &mut Random) {
    let whole: Vec<u8> = (0..size)
        .step_by(1 << 20)
        .flat_map(|at| theirs.read(at, piece(at, size)).unwrap())
        .collect();
    for at in (0..size).step_by(1 << 20) {
        let got = ours.read(at, piece(at, size)).unwrap();
        let place = usize::try_from(at).unwrap();
        assert!(
            got == whole[place..place + got.len()],
            "{what}: 1 MiB at {at}"
        );
    }
    for longest in [700, 9000, 300_000] {
        for _ in 0..20 {
            let (offset, length) = random.range(size, longest);
            let got = ours.read(offset, u32::try_from(length).unwrap()).unwrap();
            let place = usize::try_from(offset).unwrap();
            let same = got == whole[place..place + got.len()];
            assert!(same, "{what}: {length} bytes at {offset}");
        }
    }
}

/// QEMU reports "allocated, but zero" if it takes an image for preallocated and its file has a hole at an allocated
/// cluster. nbdbox reports data there.
fn without_file_holes(map: Vec<Extent>) -> Vec<Extent> {
    let mut plain: Vec<Extent> = Vec::new();
    for mut extent in map {
        if extent.flags == StateFlags::ZERO {
            extent.flags = StateFlags::empty();
        }
        match plain.last_mut() {
            Some(last) if last.flags == extent.flags => last.length += extent.length,
            _ => plain.push(extent),
        }
    }
    plain
}

fn piece(at: u64, size: u64) -> u32 {
    u32::try_from(STEP.min(size - at)).unwrap()
}

/// Writes bytes of which some compress and some don't.
pub(crate) fn write_mixed(path: &Path, random: &mut Random, size: usize) {
    let mut bytes = vec![0; size];
    for _ in 0..20 {
        let (offset, length) = random.range(size as u64, 150_000);
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        if random.of(0..3) == 0 {
            let noise = random.bytes(range.len());
            bytes[range].copy_from_slice(&noise);
        } else {
            bytes[range].fill(u8::try_from(random.of(1..256)).unwrap());
        }
    }
    fs::write(path, bytes).unwrap();
}
