//! VHDX images have the bytes of `qemu-nbd`. It has no map of them, so the test compares nbdbox's map with the writes.

use std::fs;

use nbd_proto::Framing;
use nbdbox_tests::{Client, Random};

use super::folder::{Folder, assert_same_bytes, changes};
use super::vhdx_bytes::{BLOCKS, HEADERS, checksum, create, patch_checked, region};

/// A size that isn't a multiple of a block.
const SIZE: u64 = (40 << 20) + 12_800;

/// The ranges of commands of `qemu-io`, each of which ends with an offset and a length.
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
                    // In a fixed image too, because QEMU marks its blocks as zero.
                    assert_eq!(extent.is_hole(), !touched, "{options}: block {number}");
                }
                at += extent.length;
            }
            assert_eq!(at, SIZE, "{options}");
        }
    }
}

/// A log entry that writes a sector at `offset` of the file.
fn log_entry(guid: &[u8; 16], offset: u64, sector: &[u8], size: u64) -> Vec<u8> {
    let sequence = 5_u64;
    let mut entry = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"loge");
    put(8, &8192_u32.to_le_bytes());
    put(16, &sequence.to_le_bytes());
    put(24, &1_u32.to_le_bytes());
    put(32, guid);
    put(48, &size.to_le_bytes());
    put(56, &size.to_le_bytes());
    put(64, b"desc");
    put(68, &sector[4092..]);
    put(72, &sector[..8]);
    put(80, &offset.to_le_bytes());
    put(88, &sequence.to_le_bytes());
    put(4096, sector);
    put(4096, b"data");
    put(4100, &[0; 4]);
    put(8188, &[5, 0, 0, 0]);
    let sum = checksum(&entry);
    entry[4..8].copy_from_slice(&sum.to_le_bytes());
    entry
}

#[test]
fn a_log_is_replayed_in_memory_as_qemu_does_in_the_file() {
    let mut random = Random::seeded(42);
    let folder = Folder::new();
    create(&folder, SIZE);
    // A block that only the log has.
    let mut bytes = fs::read(folder.path("top")).unwrap();
    bytes.resize(bytes.len().next_multiple_of(1 << 20), 0);
    let block = bytes.len() as u64;
    bytes.resize(bytes.len() + (1 << 20), 9);
    fs::write(folder.path("top"), &bytes).unwrap();
    let table = region(&folder, BLOCKS);
    let start = usize::try_from(table).unwrap();
    let mut sector = bytes[start..start + 4096].to_vec();
    sector[24..32].copy_from_slice(&(block | 6).to_le_bytes());
    let log = u64::from_le_bytes(bytes[(64 << 10) + 72..][..8].try_into().unwrap());
    let guid = [0x5a; 16];
    folder.patch(
        "top",
        log,
        &log_entry(&guid, table, &sector, bytes.len() as u64),
    );
    for header in HEADERS {
        patch_checked(&folder, header, 4096, 48, &guid);
    }
    fs::copy(folder.path("top"), folder.path("repaired")).unwrap();
    folder.qemu_img("check -q -f vhdx -r all @repaired");

    let before = fs::read(folder.path("top")).unwrap();
    let ours = folder.serve("vhdx", &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", "vhdx"], "repaired");
    assert_same_bytes("a log", &ours.socket(), &theirs.socket(), &mut random);
    let mut client = Client::connect(&ours.socket(), Framing::Extended);
    assert_eq!(client.read(3 << 20, 4096).unwrap(), [9; 4096]);
    assert!(fs::read(folder.path("top")).unwrap() == before);
}
