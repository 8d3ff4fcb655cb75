//! Bad VDI images: the plugin refuses them with a text when it opens them, or returns zeroes with a warning for what is
//! past the end.

use super::bad::{Image, assert_cuts_refused, assert_patches_refused, assert_zeroes_read, damage};
use super::folder::Folder;

const SIZE: u64 = 8 << 20;

const IMAGE: Image = Image {
    plugin: "vdi",
    size: SIZE,
};

/// The offset at which qemu-img puts the block table.
const TABLE: u64 = 512;

fn good(folder: &Folder) {
    folder.create("vdi", &[], "top", SIZE);
    folder.change("vdi", "top", &["write -P 7 0 200k".to_owned()]);
}

#[test]
fn bad_headers_are_refused_in_words() {
    let cases: &[(u64, &[u8], &str)] = &[
        (0x40, &[0; 4], "not a VDI image"),
        (0x44, &[0, 0, 2, 0], "version 2.0"),
        (0x4c, &[3], "image type 3"),
        (0x4c, &[4], "has a parent image"),
        (0x1b0, &[1], "has a parent image"),
        (0x1c0, &[1], "has a parent image"),
        (0x154, &[1], "aren't on whole sectors"),
        (0x154, &[0, 0, 0, 0x7f], "past the end"),
        (0x158, &[1], "aren't on whole sectors"),
        (0x168, &[0, 0x10], "sector size 4096"),
        (0x170, &[0; 8], "invalid disk size 0"),
        (0x170, &[0xff; 8], "invalid disk size"),
        (0x178, &[0; 4], "block size 0"),
        (0x178, &[0xff; 4], "block size 4294967295"),
        (0x17c, &[1], "before the data"),
        (0x180, &[1], "too short for the disk"),
    ];
    assert_patches_refused(&IMAGE, good, cases);
}

#[test]
fn files_cut_short_are_refused() {
    assert_cuts_refused(&IMAGE, good, &[0, 0x43, 0x170, 511, 512]);
}

#[test]
fn places_past_the_end_are_zeroes_and_a_warning() {
    let folder = Folder::new();
    good(&folder);
    folder.patch("top", TABLE, &0x7f00_0000_u32.to_le_bytes());
    assert_zeroes_read(&folder, &IMAGE);
}

#[test]
fn random_damage_never_ends_the_server() {
    let folder = Folder::new();
    good(&folder);
    damage(&folder, &IMAGE, &[TABLE, TABLE + 8]);
}
