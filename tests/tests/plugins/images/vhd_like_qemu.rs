//! Every kind of VHD image has the bytes and maps of `qemu-nbd`.

use std::fs;

use nbdbox_tests::Random;

use super::folder::{Folder, assert_same, assert_same_bytes, assert_same_zeroes, changes};

/// A size that isn't a multiple of a block.
const SIZE: u64 = (9 << 20) + 12_800;

fn compare(folder: &Folder, what: &str, random: &mut Random) {
    let ours = folder.serve("vhd", &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", "vpc"], "top");
    assert_same(what, &ours.socket(), &theirs.socket(), random);
}

/// The disk has the holes of a fixed disk's file. QEMU reports them only as zeroes.
fn compare_fixed(folder: &Folder, what: &str, random: &mut Random) {
    let ours = folder.serve("vhd", &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", "vpc"], "top");
    assert_same_bytes(what, &ours.socket(), &theirs.socket(), random);
    assert_same_zeroes(what, &ours.socket(), &theirs.socket());
}

#[test]
fn fixed_and_dynamic_disks_by_geometry_and_by_size() {
    let mut random = Random::seeded(81);
    for format in ["fixed", "dynamic"] {
        for by_size in ["on", "off"] {
            for size in [SIZE, 64 << 10, 70 << 20] {
                let options = format!("subformat={format},force_size={by_size}");
                let folder = Folder::new();
                folder.create("vpc", &["-o", &options], "top", size);
                let count = if size < SIZE { 1 } else { 10 };
                folder.change("vpc", "top", &changes(&mut random, size - 2048, count));
                let what = format!("{options} size={size} raw=on");
                if format == "dynamic" {
                    compare(&folder, &what, &mut random);
                } else {
                    compare_fixed(&folder, &what, &mut random);
                }
            }
        }
    }
}

/// Writes a footer's checksum, which is the complement of a sum.
fn seal(footer: &mut [u8]) {
    footer[64..68].fill(0);
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
}

#[test]
fn a_disk_is_as_large_as_its_creator_means() {
    let mut random = Random::seeded(82);
    let folder = Folder::new();
    folder.create("vpc", &["-o", "subformat=dynamic"], "top", SIZE);
    folder.change("vpc", "top", &changes(&mut random, SIZE - 2048, 10));
    let whole = fs::read(folder.path("top")).unwrap();
    for creator in [
        b"vpc ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0", b"vbox",
        b"vs  ", b"????",
    ] {
        for geometry in [[0, 0x55, 4, 17], [0xff, 0xff, 16, 255]] {
            let mut bytes = whole.clone();
            let last = bytes.len() - 512;
            for at in [0, last] {
                let footer = &mut bytes[at..at + 512];
                footer[28..32].copy_from_slice(creator);
                footer[48..56].copy_from_slice(&(SIZE - 4096 + 100).to_be_bytes());
                footer[56..60].copy_from_slice(&geometry);
                seal(footer);
            }
            fs::write(folder.path("top"), bytes).unwrap();
            let what = format!("{creator:?} {geometry:?} raw=on");
            compare(&folder, &what, &mut random);
        }
    }
}

#[test]
fn a_fixed_disk_stays_one_whatever_is_in_its_first_sector() {
    let folder = Folder::new();
    folder.create("vpc", &["-o", "subformat=dynamic"], "dynamic", SIZE);
    folder.create("vpc", &["-o", "subformat=fixed"], "top", SIZE);
    let mut first = fs::read(folder.path("dynamic")).unwrap();
    first.resize(4096, 0);
    folder.patch("top", 0, &first);
    let server = folder.serve("vhd", &["image=top:ro"], &[]);
    let mut client = nbdbox_tests::Client::connect(&server.socket(), nbd_proto::Framing::Extended);
    assert!(client.read(0, 4096).unwrap() == first);
}
