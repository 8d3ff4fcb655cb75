//! Bad images: refused in words when they are opened, or an errno for the read that meets what is bad.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Random, Server, nbdbox, plugin, run};

use crate::folder::Folder;

const SIZE: u64 = 4 << 20;

/// An image with data in its first clusters; QEMU puts L1 at cluster 3, L2 at 4, data from 5 on.
fn good(folder: &Folder) {
    folder.create("qcow2", &[], "top", SIZE);
    folder.change("qcow2", "top", &["write -P 7 0 200k".to_owned()]);
}

fn patch(folder: &Folder, offset: u64, bytes: &[u8]) {
    let file = File::options()
        .write(true)
        .open(folder.path("top"))
        .unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// What `nbdbox serve` says of the image.
fn refusal(folder: &Folder, setting: Option<&str>) -> String {
    let grant = format!("image={}:ro", folder.path("top").display());
    let module = plugin("qcow2");
    let mut words = vec!["serve", "--blob", &grant, module.to_str().unwrap()];
    words.extend(setting);
    words.extend(["--run", "nbdinfo \"$uri\""]);
    let ran = run(nbdbox(), words);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    ran.stderr
}

#[test]
fn bad_headers_are_refused_in_words() {
    let huge = (1_u64 << 63).to_be_bytes();
    let cases: [(u64, &[u8], &str); 17] = [
        (0, b"QFI\0", "not a qcow2 image"),
        (4, &[0, 0, 0, 9], "version 9"),
        (8, &[0, 0, 0, 0, 1, 0, 0, 0], "backing file's name"),
        (20, &[0, 0, 0, 8], "cluster_bits 8"),
        (20, &[0, 0, 0, 22], "cluster_bits 22"),
        (20, &[0xff; 4], "cluster_bits"),
        (24, &huge, "a disk of 9223372036854775808 bytes"),
        (24, &[0, 1, 0, 0, 0, 0, 0, 0], "too small for the disk"),
        (32, &[0, 0, 0, 1], "encrypted"),
        (32, &[0, 0, 0, 2], "encrypted"),
        (36, &[0xff; 4], "L1 table of 4294967295 entries"),
        (36, &[0, 0, 0, 0], "too small for the disk"),
        (40, &[0x7f; 8], "L1 table at"),
        (40, &[0, 0, 0, 0, 0, 3, 0, 8], "L1 table at"),
        (72, &[0x80, 0, 0, 0, 0, 0, 0, 0x20], "bits [5, 63]"),
        (72, &[0, 0, 0, 0, 0, 0, 0, 8], "compression type"),
        (100, &[0, 0, 0, 7], "a header of 7 bytes"),
    ];
    for (offset, bytes, words) in cases {
        let folder = Folder::new();
        good(&folder);
        patch(&folder, offset, bytes);
        let said = refusal(&folder, None);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn files_cut_short_are_refused() {
    for length in [0, 3, 71, 103, 3 << 16] {
        let folder = Folder::new();
        good(&folder);
        let file = File::options()
            .write(true)
            .open(folder.path("top"))
            .unwrap();
        file.set_len(length).unwrap();
        let said = refusal(&folder, None);
        assert!(
            said.contains("malformed") || said.contains("EIO"),
            "{length}: {said}"
        );
    }
}

#[test]
fn bad_snapshot_tables_are_refused() {
    let cases: [(u64, &[u8], &str); 3] = [
        (60, &[0xff; 4], "snapshots"),
        (64, &[0x7f; 8], "past the end"),
        (72, &[0; 8], "no snapshot"),
    ];
    for (offset, bytes, words) in cases {
        let folder = Folder::new();
        good(&folder);
        folder.qemu_img("snapshot -c one @top");
        patch(&folder, offset, bytes);
        let said = refusal(&folder, Some("snapshot=two"));
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// The image opens; reading what is bad is EIO, with words, and what is good can still be read.
fn assert_bad_read(folder: &Folder, words: &str) {
    let grant = format!("image={}:ro", folder.path("top").display());
    let server = Server::plugin("qcow2", &["--blob", &grant]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let refused = client.read(0, 4096).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio, "{words}");
    assert!(server.log().contains(words), "{words}: {}", server.log());
    let last = client.read(2 << 20, 4096).map(|bytes| bytes.len());
    assert!(matches!(last, Ok(4096) | Err(_)));
}

#[test]
fn bad_tables_are_an_errno_and_a_log_line() {
    let l1 = 3 << 16;
    let l2 = 4 << 16;
    let compressed = (1_u64 << 62 | 1 << 40).to_be_bytes();
    let garbage = (1_u64 << 62 | 3 << 54 | 5 << 16).to_be_bytes();
    let cases: [(u64, &[u8], &str); 6] = [
        (l1, &[0x80, 0x7f, 0, 0, 0, 0, 0, 0], "L2 table at"),
        (l1, &[0x80, 0, 0, 0, 0, 4, 2, 0], "L2 table at"),
        (l2, &[0x80, 0x7f, 0, 0, 0, 0, 0, 0], "past the end"),
        (l2, &[0x80, 0, 0, 0, 0, 5, 2, 0], "isn't aligned"),
        (l2, &compressed, "past the end"),
        (l2, &garbage, "can't be decoded"),
    ];
    for (offset, bytes, words) in cases {
        let folder = Folder::new();
        good(&folder);
        patch(&folder, offset, bytes);
        assert_bad_read(&folder, words);
    }
}

#[test]
fn refcounts_dont_matter() {
    let folder = Folder::new();
    good(&folder);
    patch(&folder, 48, &[0x7f; 12]);
    let grant = format!("image={}:ro", folder.path("top").display());
    let server = Server::plugin("qcow2", &["--blob", &grant]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.read(0, 4096).unwrap(), [7; 4096]);
}

#[test]
fn random_damage_never_ends_the_server() {
    let mut random = Random::seeded(21);
    let folder = Folder::new();
    good(&folder);
    let bytes = fs::read(folder.path("top")).unwrap();
    for _ in 0..20 {
        fs::write(folder.path("top"), &bytes).unwrap();
        for _ in 0..4 {
            let table = [3 << 16, 4 << 16][usize::try_from(random.of(0..2)).unwrap()];
            let value = [u8::try_from(random.of(0..256)).unwrap()];
            patch(&folder, table + random.of(0..32), &value);
        }
        let grant = format!("image={}:ro", folder.path("top").display());
        let mut server = Server::plugin("qcow2", &["--blob", &grant]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        for at in (0..SIZE).step_by(1 << 16) {
            let _ = client.read(at, 1 << 16);
        }
        let _ = client.map(0, SIZE, SIZE);
        assert!(server.is_alive());
    }
}
