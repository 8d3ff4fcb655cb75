//! Every kind of VDI image has the bytes and maps of `qemu-nbd`.

use nbdbox_tests::Random;

use super::folder::{Folder, assert_same, assert_same_bytes, assert_same_zeroes, changes};

/// A size that isn't a multiple of a block.
const SIZE: u64 = (9 << 20) + 12_800;

fn compare(folder: &Folder, what: &str, random: &mut Random) {
    let ours = folder.serve("vdi", &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", "vdi"], "top");
    assert_same(what, &ours.socket(), &theirs.socket(), random);
}

/// The disk has the holes of a fixed image's file. QEMU reports them only as zeroes.
fn compare_fixed(folder: &Folder, what: &str, random: &mut Random) {
    let ours = folder.serve("vdi", &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", "vdi"], "top");
    assert_same_bytes(what, &ours.socket(), &theirs.socket(), random);
    assert_same_zeroes(what, &ours.socket(), &theirs.socket());
}

#[test]
fn fixed_and_dynamic_images_of_all_sizes() {
    let mut random = Random::seeded(91);
    for fixed in ["on", "off"] {
        for size in [SIZE, 64 << 10, 70 << 20] {
            let options = format!("static={fixed}");
            let folder = Folder::new();
            folder.create("vdi", &["-o", &options], "top", size);
            let count = if size < SIZE { 1 } else { 10 };
            folder.change("vdi", "top", &changes(&mut random, size - 2048, count));
            let what = format!("{options} size={size} raw=on");
            if fixed == "off" {
                compare(&folder, &what, &mut random);
            } else {
                compare_fixed(&folder, &what, &mut random);
            }
        }
    }
}

#[test]
fn sizes_off_sectors_and_discarded_blocks() {
    let mut random = Random::seeded(92);
    let folder = Folder::new();
    folder.create("vdi", &[], "top", SIZE);
    folder.change("vdi", "top", &["write -P 5 0 9M".to_owned()]);
    // VirtualBox has made such sizes, and marks discarded blocks with a number of its own.
    folder.patch("top", 0x170, &(SIZE - 1000).to_le_bytes());
    folder.patch("top", 512 + 4 * 3, &0xffff_fffe_u32.to_le_bytes());
    compare(&folder, "a size of odd bytes raw=on", &mut random);
}
