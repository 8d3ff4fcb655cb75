//! Bad VMDK images: the plugin refuses them with a text when it opens them, or returns an errno for a read of the bad
//! part.

use std::fs;

use super::bad::{
    Image, assert_bad_read, assert_cuts_refused, assert_patches_refused, assert_zeroes_read,
    damage, refusal,
};
use super::folder::Folder;

const SIZE: u64 = 4 << 20;

const IMAGE: Image = Image {
    plugin: "vmdk",
    size: SIZE,
};

/// An image with data in its first grains. Returns the offset of its first grain table.
fn good(folder: &Folder) -> u64 {
    folder.create("vmdk", &["-o", "subformat=monolithicSparse"], "top", SIZE);
    folder.change("vmdk", "top", &["write -P 7 0 200k".to_owned()]);
    let bytes = fs::read(folder.path("top")).unwrap();
    let directory = usize::try_from(u64::from_le_bytes(bytes[56..64].try_into().unwrap())).unwrap();
    let entry = &bytes[directory * 512..][..4];
    u64::from(u32::from_le_bytes(entry.try_into().unwrap())) * 512
}

#[test]
fn bad_headers_are_refused_in_words() {
    let cases: &[(u64, &[u8], &str)] = &[
        (0, b"XDMV", "not a VMDK image"),
        (0, b"COWD", "VMFS"),
        (4, &[9], "version 9"),
        (12, &[0xff; 8], "sectors"),
        (12, &[0, 0, 0, 0, 0, 0, 1, 0], "too long"),
        (12, &[0; 8], "no sectors"),
        (20, &[0; 8], "invalid grain size: 0 sectors"),
        (20, &[3], "invalid grain size: 3 sectors"),
        (20, &[0, 0, 0, 0, 1], "grain size"),
        (44, &[0, 0, 0, 1], "entries"),
        (56, &[0xff; 8], "footer"),
        (56, &[0, 0, 0, 1, 0, 0, 0, 0], "past the end"),
    ];
    assert_patches_refused(
        &IMAGE,
        |folder| {
            let _table = good(folder);
        },
        cases,
    );
}

#[test]
fn files_cut_short_are_refused() {
    assert_cuts_refused(
        &IMAGE,
        |folder| {
            let _table = good(folder);
        },
        &[0, 3, 79, 511, 512],
    );
}

#[test]
fn descriptors_open_nothing_and_need_grants() {
    let cases = [
        ("RW 10 FLAT \"/etc/passwd\" 0\n", "extents="),
        ("RW 10 SPARSE \"nbd://localhost\"\n", "extents="),
        ("RW 10 FLAT \"json:{}\" 0\nRW 10 ZERO\n", "extents="),
        ("RW 10 VMFSRDM \"/dev/sda\"\n", "VMFSRDM"),
        ("RW 0 ZERO\n", "invalid extent"),
        ("RW 10 FLAT\n", "invalid extent"),
        ("", "has no extents"),
        (
            "parentCID=1\nparentFileNameHint=\"/etc/shadow\"\nRW 1 ZERO\n",
            "parent",
        ),
    ];
    for (lines, words) in cases {
        let folder = Folder::new();
        fs::write(
            folder.path("top"),
            format!("# Disk DescriptorFile\n{lines}"),
        )
        .unwrap();
        let said = refusal(&folder, &IMAGE, &[], &[]);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("root:"), "{said}");
    }
}

#[test]
fn places_past_the_end_are_zeroes_and_a_warning() {
    let past_the_end = [0, 0, 0, 0x10];
    let folder = Folder::new();
    let table = good(&folder);
    folder.patch("top", table, &past_the_end);
    assert_zeroes_read(&folder, &IMAGE);

    let folder = Folder::new();
    let _table = good(&folder);
    let bytes = fs::read(folder.path("top")).unwrap();
    let directory = u64::from_le_bytes(bytes[56..64].try_into().unwrap()) * 512;
    folder.patch("top", directory, &past_the_end);
    assert_zeroes_read(&folder, &IMAGE);
}

#[test]
fn bad_streams_are_an_errno_and_a_log_line() {
    for (length, words) in [
        (0_u32, "grain: 0 bytes"),
        (u32::MAX, "grain: 4294967295 bytes"),
        (9, "decoded"),
    ] {
        let folder = Folder::new();
        fs::write(folder.path("raw"), vec![7; 4 << 20]).unwrap();
        folder.qemu_img("convert -f raw -O vmdk -o subformat=streamOptimized @raw @top");
        let bytes = fs::read(folder.path("top")).unwrap();
        let place =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize * 512;
        let directory = place(56);
        let grain = place(place(directory));
        folder.patch("top", grain as u64 + 8, &length.to_le_bytes());
        assert_bad_read(&folder, &IMAGE, words);
    }
}

#[test]
fn random_damage_never_ends_the_server() {
    let folder = Folder::new();
    let table = good(&folder);
    damage(&folder, &IMAGE, &[table, table + 32]);
}
