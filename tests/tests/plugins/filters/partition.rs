//! `partition-filter`, next to nbdkit's, over disks that sfdisk made.

use nbdbox_tests::{Disk, Random, nbdbox, plugin, run, shell};

use super::compare::{Pair, content};

const SIZE: usize = 8 << 20;

/// The bytes of a disk on which sfdisk wrote this table.
fn disk(random: &mut Random, label: &str, table: &str) -> Vec<u8> {
    let disk = Disk::holding(&content(random, SIZE));
    let path = disk.path();
    let script = format!(
        "printf '{table}' | PATH=$PATH:/sbin:/usr/sbin sfdisk -q -X {label} --wipe never {}",
        path.display()
    );
    let _ = shell(&script).ok();
    disk.bytes()
}

/// The error of a server that refuses to serve a partition.
fn refused(bytes: &[u8], number: u64) -> String {
    let disk = Disk::holding(bytes);
    let filter = format!(
        "{},partition={number}",
        plugin("partition-filter").display()
    );
    let grant = format!("disk={}", disk.path().display());
    let file = plugin("file");
    let file = file.to_str().unwrap();
    let words = [
        "serve", "--filter", &filter, "--blob", &grant, file, "--run", "true",
    ];
    let refused = run(nbdbox(), words);
    assert_eq!(refused.code, 1, "{refused:?}");
    refused.stderr
}

fn assert_same(random: &mut Random, bytes: &[u8], number: u64) {
    let setting = format!("partition={number}");
    let filter = format!("partition-filter,{setting}");
    let mut pair = Pair::new(bytes, &filter, &["--filter=partition"], &[&setting]);
    pair.assert_same(random);
    pair.change(random, 10);
    pair.assert_same(random);
    let [ours, theirs] = pair.files();
    assert!(ours == theirs, "partition {number}: what came below");
}

#[test]
fn primary_and_logical_partitions_are_the_same_as_nbdkits() {
    let mut random = Random::seeded(11);
    let table = r"start=2048, size=3000\nstart=6144, size=8192, type=5\nstart=14336, size=2000\nstart=6200, size=1500\nstart=8192, size=2048\nstart=11000, size=3000\n";
    let bytes = disk(&mut random, "dos", table);
    for number in [1, 3, 5, 6, 7] {
        assert_same(&mut random, &bytes, number);
    }
    for number in [4, 8, 200] {
        assert!(refused(&bytes, number).contains("there is no such partition"));
    }
    assert!(refused(&bytes, 0).contains("the first partition is 1"));
}

#[test]
fn partitions_of_a_gpt_are_the_same_as_nbdkits() {
    let mut random = Random::seeded(4);
    let table = r"start=2048, size=3000\nstart=6144, size=8192\n";
    let bytes = disk(&mut random, "gpt", table);
    for number in [1, 2] {
        assert_same(&mut random, &bytes, number);
    }
    assert!(refused(&bytes, 3).contains("there is no such partition"));
    assert!(refused(&bytes, 129).contains("there is no such partition"));
}

#[test]
fn a_damaged_gpt_is_read_from_its_copy_and_refused_without_one() {
    let mut random = Random::seeded(5);
    let good = disk(&mut random, "gpt", r"start=2048, size=3000\n");
    let copy = SIZE - 512;
    // Damages the signature, the length, a checksummed field, and the entries.
    for place in [0, 12, 40, 512 + 40] {
        let mut bytes = good.clone();
        bytes[512 + place] ^= 1;
        let filter = "partition-filter,partition=1";
        let whole = ["--filter=partition"];
        // nbdkit reads the undamaged table, because it doesn't use the copy.
        let mut pair = Pair::new(&good, filter, &whole, &["partition=1"]);
        let damaged = Disk::holding(&bytes);
        let server = super::compare::serve(&damaged, &[filter]);
        let mut client =
            nbdbox_tests::Client::connect(&server.socket(), nbd_proto::Framing::Extended);
        assert_eq!(client.size(), pair.theirs.size());
        let length = u32::try_from(client.size()).unwrap();
        assert!(client.read(0, length) == pair.ours.read(0, length));
        assert!(server.log().contains("is damaged"), "{}", server.log());
        let entries = if place >= 512 {
            SIZE - 512 - 16_384
        } else {
            copy
        };
        bytes[entries + place % 512] ^= 1;
        assert!(refused(&bytes, 1).contains("is damaged"), "{place}");
    }
}

#[test]
fn a_table_that_lies_is_refused_in_words() {
    let mut random = Random::seeded(6);
    let table = r"start=2048, size=3000\nstart=6144, size=8192, type=5\nstart=6200, size=1500\n";
    let good = disk(&mut random, "dos", table);
    let with = |place: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[place..place + 4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    let first = 446 + 8;
    assert!(refused(&with(first, u32::MAX), 1).contains("isn't inside the disk"));
    assert!(refused(&with(first + 4, 0x0010_0000), 1).contains("isn't inside the disk"));
    assert!(refused(&with(first, 0), 1).contains("isn't inside the disk"));
    let link = 6144 * 512 + 446 + 8;
    assert!(refused(&with(link, 9000), 5).contains("isn't inside the extended partition"));
    // The reader stops at a chain that leads back to itself.
    let mut circle = good.clone();
    circle[link + 16 - 4] = 5;
    circle[link + 16..link + 20].copy_from_slice(&0_u32.to_le_bytes());
    circle[link + 20..link + 24].copy_from_slice(&1_u32.to_le_bytes());
    let said = refused(&circle, 5 + 128);
    assert!(said.contains("is a circle"), "{said}");
    assert!(refused(&vec![0; SIZE], 1).contains("no partition table"));
}
