//! Bad VHD images: the plugin refuses them with a text when it opens them, or returns an errno for a read of the bad
//! part.

use std::fs;

use super::bad::{Image, assert_bad_read, assert_cuts_refused, damage, refusal};
use super::folder::Folder;

const SIZE: u64 = 8 << 20;

const IMAGE: Image = Image {
    plugin: "vhd",
    size: SIZE,
};

/// The offsets at which qemu-img puts the header and the block table of a dynamic disk.
const HEADER: usize = 512;
const TABLE: u64 = 1536;

/// A dynamic disk with data in its first block.
fn good(folder: &Folder) {
    let options = "subformat=dynamic,force_size=on";
    folder.create("vpc", &["-o", options], "top", SIZE);
    folder.change("vpc", "top", &["write -P 7 0 200k".to_owned()]);
}

/// Changes a structure, and corrects its checksum.
fn patch_checked(bytes: &mut [u8], sum: usize, at: usize, change: &[u8]) {
    bytes[at..at + change.len()].copy_from_slice(change);
    bytes[sum..sum + 4].fill(0);
    let total: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[sum..sum + 4].copy_from_slice(&(!total).to_be_bytes());
}

fn assert_refused(change: impl FnOnce(&mut Vec<u8>), words: &str) {
    let folder = Folder::new();
    good(&folder);
    let mut bytes = fs::read(folder.path("top")).unwrap();
    change(&mut bytes);
    fs::write(folder.path("top"), bytes).unwrap();
    let said = refusal(&folder, &IMAGE, &[], &[]);
    assert!(said.contains(words), "{words}: {said}");
}

#[test]
fn bad_footers_are_refused_in_words() {
    let cases: [(usize, &[u8], &str); 6] = [
        (0, b"CONECTIX", "not a VHD image"),
        (16, &[0xff; 8], "past the end"),
        (48, &[0; 8], "invalid disk size: 0 sectors"),
        (48, &[0xff; 8], "sectors"),
        (60, &[0, 0, 0, 4], "has a parent image"),
        (60, &[0, 0, 0, 7], "disk type 7"),
    ];
    for (at, change, words) in cases {
        assert_refused(
            |bytes| {
                let last = bytes.len() - 512;
                patch_checked(&mut bytes[..512], 64, at, change);
                patch_checked(&mut bytes[last..], 64, at, change);
            },
            words,
        );
    }
    assert_refused(
        |bytes| {
            let last = bytes.len() - 512;
            bytes[100] ^= 1;
            bytes[last + 100] ^= 1;
        },
        "the footer has a wrong checksum",
    );
}

#[test]
fn bad_headers_are_refused_in_words() {
    let cases: [(usize, &[u8], &str); 6] = [
        (0, b"CXSPARSE", "has no header"),
        (16, &[0xff; 8], "the block table at"),
        (16, &[0, 0, 0, 0, 0, 0, 6, 1], "isn't aligned"),
        (28, &[0; 4], "too short for the disk"),
        (32, &[0; 4], "invalid block size 0"),
        (32, &[0, 0x30, 0, 0], "invalid block size 3145728"),
    ];
    for (at, change, words) in cases {
        assert_refused(
            |bytes| patch_checked(&mut bytes[HEADER..HEADER + 1024], 36, at, change),
            words,
        );
    }
    assert_refused(
        |bytes| bytes[HEADER + 100] ^= 1,
        "the header has a wrong checksum",
    );
}

#[test]
fn one_right_footer_is_enough() {
    for front in [true, false] {
        let folder = Folder::new();
        good(&folder);
        let length = fs::metadata(folder.path("top")).unwrap().len();
        folder.patch("top", if front { 100 } else { length - 412 }, &[0x55]);
        let server = folder.serve("vhd", &["image=top:ro"], &[]);
        let mut client =
            nbdbox_tests::Client::connect(&server.socket(), nbd_proto::Framing::Extended);
        assert_eq!(client.read(0, 4096).unwrap(), [7; 4096]);
    }
}

#[test]
fn bad_blocks_are_an_errno_and_a_log_line() {
    for entry in [0xffff_fffe_u32, 0x0010_0000] {
        let folder = Folder::new();
        good(&folder);
        folder.patch("top", TABLE, &entry.to_be_bytes());
        assert_bad_read(&folder, &IMAGE, "past the end");
    }
}

#[test]
fn files_cut_short_are_refused() {
    assert_cuts_refused(&IMAGE, good, &[0, 7, 511, 512, 1024]);
}

#[test]
fn random_damage_never_ends_the_server() {
    let folder = Folder::new();
    good(&folder);
    damage(&folder, &IMAGE, &[TABLE, TABLE + 8]);
}
