//! Bad VHDX images: the plugin refuses them with a text when it opens them, or returns an errno for a read of the bad
//! part.

use std::fs;

use super::bad::{Image, assert_bad_read, assert_cuts_refused, damage, refusal};
use super::folder::Folder;
use super::vhdx_bytes::{BLOCKS, HEADERS, METADATA, REGIONS, create, patch_checked, region};

const SIZE: u64 = 8 << 20;

const IMAGE: Image = Image {
    plugin: "vhdx",
    size: SIZE,
};

#[test]
fn bad_headers_are_refused_in_words() {
    let cases: [(usize, &[u8], &str); 3] = [
        (66, &[2], "version 2"),
        (48, &[1; 16], "no complete sequence"),
        (48, &[1; 18], "log version"),
    ];
    for (at, bytes, words) in cases {
        let folder = Folder::new();
        create(&folder, SIZE);
        for header in HEADERS {
            patch_checked(&folder, header, 4096, at, bytes);
        }
        let said = refusal(&folder, &IMAGE, &[], &[]);
        assert!(said.contains(words), "{words}: {said}");
    }
    let folder = Folder::new();
    create(&folder, SIZE);
    folder.patch("top", 0, b"vhdxFILE");
    assert!(refusal(&folder, &IMAGE, &[], &[]).contains("not a VHDX image"));
}

#[test]
fn a_broken_copy_is_no_harm_and_two_are() {
    for (copies, words) in [
        (HEADERS, "the header has a wrong checksum"),
        (REGIONS, "the region table has a wrong"),
    ] {
        let folder = Folder::new();
        create(&folder, SIZE);
        folder.patch("top", copies[0] + 100, &[0x55; 8]);
        let server = folder.serve("vhdx", &["image=top:ro"], &[]);
        let mut client =
            nbdbox_tests::Client::connect(&server.socket(), nbd_proto::Framing::Extended);
        assert_eq!(client.read(0, 4096).unwrap(), [7; 4096]);
        drop(client);
        folder.patch("top", copies[1] + 100, &[0x55; 8]);
        let said = refusal(&folder, &IMAGE, &[], &[]);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn bad_regions_are_refused_in_words() {
    let cases: [(usize, &[u8], &str); 5] = [
        (8, &[0xff; 4], "too many regions: 4294967295"),
        (8, &[0; 4], "block table or the metadata is missing"),
        (16, &[0; 16], "block table or the metadata is missing"),
        (32, &[0xff; 8], "the region at"),
        (32, &[0; 8], "the region at"),
    ];
    for (at, bytes, words) in cases {
        let folder = Folder::new();
        create(&folder, SIZE);
        for table in REGIONS {
            patch_checked(&folder, table, 64 << 10, at, bytes);
        }
        let said = refusal(&folder, &IMAGE, &[], &[]);
        assert!(said.contains(words), "{words}: {said}");
    }
    let folder = Folder::new();
    create(&folder, SIZE);
    for table in REGIONS {
        // A third region, of another kind, which is required.
        patch_checked(&folder, table, 64 << 10, 8, &[3]);
        patch_checked(&folder, table, 64 << 10, 80, &[1; 16]);
        patch_checked(&folder, table, 64 << 10, 80 + 28, &[1]);
    }
    let said = refusal(&folder, &IMAGE, &[], &[]);
    assert!(said.contains("a required region is unknown"), "{said}");
}

#[test]
fn bad_metadata_is_refused_in_words() {
    let folder = Folder::new();
    create(&folder, SIZE);
    let metadata = region(&folder, METADATA);
    let bytes = fs::read(folder.path("top")).unwrap();
    let start = usize::try_from(metadata).unwrap();
    let item = |guid: [u8; 4]| {
        let entries = bytes[start + 32..start + (64 << 10)].chunks(32);
        let (number, entry) = entries
            .enumerate()
            .find(|(_, entry)| entry.starts_with(&guid))
            .unwrap();
        let offset = u32::from_le_bytes(entry[16..20].try_into().unwrap());
        (
            metadata + 32 + 32 * number as u64,
            metadata + u64::from(offset),
        )
    };
    let (parameters, block) = item([0x37, 0x67, 0xa1, 0xca]);
    let (_, size) = item([0x24, 0x42, 0xa5, 0x2f]);
    let (_, sector) = item([0x1d, 0xbf, 0x41, 0x81]);
    let cases: [(u64, &[u8], &str); 10] = [
        (metadata, b"METADATA", "there is no metadata"),
        (
            metadata + 10,
            &[0xff; 2],
            "too many items of metadata: 65535",
        ),
        (metadata + 10, &[0; 2], "the size of the disk"),
        (
            parameters,
            &[0xee; 16],
            "a required item of metadata is unknown",
        ),
        (parameters + 16, &[0xff; 4], "isn't inside its region"),
        (block, &[0; 4], "invalid block size 0"),
        (block, &[0, 0, 0, 0x80], "invalid block size 2147483648"),
        (block + 4, &[2], "has a parent image"),
        (size, &[0xff; 8], "invalid disk size 18446744073709551615"),
        (sector, &[1], "invalid sector size"),
    ];
    for (offset, change, words) in cases {
        fs::write(folder.path("top"), &bytes).unwrap();
        folder.patch("top", offset, change);
        let said = refusal(&folder, &IMAGE, &[], &[]);
        assert!(said.contains(words), "{words}: {said}");
    }
    fs::write(folder.path("top"), &bytes).unwrap();
    folder.patch("top", size, &(16_u64 << 40).to_le_bytes());
    assert!(refusal(&folder, &IMAGE, &[], &[]).contains("too short for the disk"));
}

#[test]
fn bad_blocks_are_an_errno_and_a_log_line() {
    for (entry, words) in [
        (u64::MAX << 20 | 6, "past the end"),
        (6, "past the end"),
        (4 << 20 | 4, "state 4"),
        (4 << 20 | 7, "partly in a parent"),
    ] {
        let folder = Folder::new();
        create(&folder, SIZE);
        let blocks = region(&folder, BLOCKS);
        folder.patch("top", blocks, &entry.to_le_bytes());
        assert_bad_read(&folder, &IMAGE, words);
    }
}

#[test]
fn files_cut_short_are_refused() {
    assert_cuts_refused(
        &IMAGE,
        |folder| create(folder, SIZE),
        &[0, 7, 70_000, 200_000, 1 << 20],
    );
}

#[test]
fn random_damage_never_ends_the_server() {
    let folder = Folder::new();
    create(&folder, SIZE);
    let blocks = region(&folder, BLOCKS);
    damage(&folder, &IMAGE, &[blocks, blocks + 32]);
}
