//! Bad images: the plugin refuses them with a text when it opens them, or returns an errno for a read of the bad part.

use nbd_proto::Framing;
use nbdbox_tests::{Client, Server};

use super::bad::{
    Image, assert_bad_read, assert_cuts_refused, assert_patches_refused, assert_zeroes_read,
    damage, refusal,
};
use super::folder::Folder;

const SIZE: u64 = 4 << 20;

const IMAGE: Image = Image {
    plugin: "qcow2",
    size: SIZE,
};

/// An image with data in its first clusters. QEMU puts L1 into cluster 3, L2 into 4, and data from 5 on.
fn good(folder: &Folder) {
    folder.create("qcow2", &[], "top", SIZE);
    folder.change("qcow2", "top", &["write -P 7 0 200k".to_owned()]);
}

#[test]
fn bad_headers_are_refused_in_words() {
    let huge = (1_u64 << 63).to_be_bytes();
    let cases: &[(u64, &[u8], &str)] = &[
        (0, b"QFI\0", "not a qcow2 image"),
        (4, &[0, 0, 0, 9], "version 9"),
        (8, &[0, 0, 0, 0, 1, 0, 0, 0], "name of the backing file"),
        (20, &[0, 0, 0, 8], "cluster_bits 8"),
        (20, &[0, 0, 0, 22], "cluster_bits 22"),
        (20, &[0xff; 4], "cluster_bits"),
        (24, &huge, "invalid disk size 9223372036854775808"),
        (24, &[0, 1, 0, 0, 0, 0, 0, 0], "too small for the disk"),
        (32, &[0, 0, 0, 1], "encrypted"),
        (32, &[0, 0, 0, 2], "encrypted"),
        (
            36,
            &[0xff; 4],
            "the L1 table has too many entries: 4294967295",
        ),
        (36, &[0, 0, 0, 0], "too small for the disk"),
        (40, &[0x7f; 8], "L1 table at"),
        (40, &[0, 0, 0, 0, 0, 3, 0, 8], "L1 table at"),
        (72, &[0x80, 0, 0, 0, 0, 0, 0, 0x20], "bits [5, 63]"),
        (72, &[0, 0, 0, 0, 0, 0, 0, 8], "compression type"),
        (100, &[0, 0, 0, 7], "invalid header length 7"),
    ];
    assert_patches_refused(&IMAGE, good, cases);
}

#[test]
fn files_cut_short_are_refused() {
    assert_cuts_refused(&IMAGE, good, &[0, 3, 71, 103, 3 << 16]);
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
        folder.patch("top", offset, bytes);
        let said = refusal(&folder, &IMAGE, &[], &["snapshot=two"]);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn bad_tables_are_an_errno_and_a_log_line() {
    let l1 = 3 << 16;
    let l2 = 4 << 16;
    let compressed = (1_u64 << 62 | 1 << 40).to_be_bytes();
    let garbage = (1_u64 << 62 | 3 << 54 | 5 << 16).to_be_bytes();
    let cases: [(u64, &[u8], &str); 4] = [
        (l1, &[0x80, 0, 0, 0, 0, 4, 2, 0], "L2 table at"),
        (l2, &[0x80, 0, 0, 0, 0, 5, 2, 0], "isn't aligned"),
        (l2, &compressed, "past the end"),
        (l2, &garbage, "can't be decoded"),
    ];
    for (offset, bytes, words) in cases {
        let folder = Folder::new();
        good(&folder);
        folder.patch("top", offset, bytes);
        assert_bad_read(&folder, &IMAGE, words);
    }
}

#[test]
fn places_past_the_end_are_zeroes_and_a_warning() {
    for table in [3 << 16, 4 << 16] {
        let folder = Folder::new();
        good(&folder);
        folder.patch("top", table, &[0x80, 0x7f, 0, 0, 0, 0, 0, 0]);
        assert_zeroes_read(&folder, &IMAGE);
    }
}

#[test]
fn refcounts_dont_matter() {
    let folder = Folder::new();
    good(&folder);
    folder.patch("top", 48, &[0x7f; 12]);
    let grant = format!("image={}:ro", folder.path("top").display());
    let server = Server::plugin("qcow2", &["--blob", &grant]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.read(0, 4096).unwrap(), [7; 4096]);
}

#[test]
fn random_damage_never_ends_the_server() {
    let folder = Folder::new();
    good(&folder);
    damage(&folder, &IMAGE, &[3 << 16, 4 << 16]);
}
