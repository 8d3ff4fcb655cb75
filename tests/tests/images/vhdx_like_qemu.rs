//! VHDX images: the bytes of `qemu-nbd`, which has no map of them; ours is held to what was written.

use nbd_proto::Framing;
use nbdbox_tests::{Client, Random};

use crate::folder::{Folder, assert_same_bytes, changes};

/// Not a multiple of a block.
const SIZE: u64 = (40 << 20) + 12_800;

/// The ranges of commands of `qemu-io`, each of which ends with offset and length.
fn ranges(changes: &[String]) -> Vec<(u64, u64)> {
    let number = |word: Option<&str>| word.unwrap().parse::<u64>().unwrap();
    let range = |change: &String| {
        let mut words = change.rsplit(' ');
        let length = number(words.next());
        (number(words.next()), length)
    };
    changes.iter().map(range).collect()
}

#[test]
fn fixed_and_dynamic_images_of_all_block_sizes() {
    let mut random = Random::seeded(41);
    for format in ["fixed", "dynamic"] {
        for block in [1, 2, 8, 64] {
            let options = format!("subformat={format},block_size={block}M");
            let folder = Folder::new();
            folder.create("vhdx", &["-o", &options], "top", SIZE);
            let changes = changes(&mut random, SIZE, 6);
            folder.change("vhdx", "top", &changes);
            let ours = folder.serve("vhdx", &["image=top:ro"], &[]);
            let theirs = folder.qemu_nbd(&["-f", "vhdx"], "top");
            assert_same_bytes(&options, &ours.socket(), &theirs.socket(), &mut random);

            let mut client = Client::connect(&ours.socket(), Framing::Extended);
            let map = client.map(0, SIZE, SIZE);
            let block = block << 20;
            let mut at = 0;
            for extent in map {
                let last = at + extent.length - 1;
                for number in at / block..=last / block {
                    let touched = ranges(&changes).iter().any(|(offset, length)| {
                        offset / block <= number && number <= (offset + length - 1) / block
                    });
                    // In a fixed image, too: QEMU marks its blocks as zero.
                    assert_eq!(extent.is_hole(), !touched, "{options}: block {number}");
                }
                at += extent.length;
            }
            assert_eq!(at, SIZE, "{options}");
        }
    }
}
