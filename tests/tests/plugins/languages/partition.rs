//! C: partitions of disks that sfdisk made.

use std::fs;
use std::path::Path;

use nbdbox_tests::{Disk, Random, Run, Server, guest, nbdbox, plugin, run, shell};

use super::keeps_the_contract;

const SIZE: usize = 8 << 20;
const SECTOR: usize = 512;

/// A disk of random bytes on which sfdisk wrote this table.
fn disk(label: &str, table: &str) -> Disk {
    let disk = Disk::holding(&Random::seeded(6).bytes(SIZE));
    let script = format!(
        "printf '{table}' | PATH=$PATH:/sbin sfdisk -q -X {label} --wipe never {}",
        disk.path().display()
    );
    let _ = shell(&script).ok();
    disk
}

fn copy_of(disk: &Disk, number: u32) -> Vec<u8> {
    copy_by(&plugin("partition"), disk, number)
}

fn copy_by(plugin: &Path, disk: &Disk, number: u32) -> Vec<u8> {
    let grant = format!("disk={}", disk.path().display());
    let plugin = plugin.display().to_string();
    let server = Server::start(["--blob", &grant, &plugin, &format!("number={number}")]);
    let copy = server.folder().join("copy");
    let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
    fs::read(copy).unwrap()
}

fn refused(disk: &Disk, number: u32) -> String {
    let grant = format!("disk={}", disk.path().display());
    let program = plugin("partition");
    let number = format!("number={number}");
    let arguments = [
        "serve",
        "--blob",
        &grant,
        program.to_str().unwrap(),
        &number,
    ];
    let refused: Run = run(nbdbox(), arguments.iter().chain(&["--run", "true"]));
    assert_eq!(refused.code, 1, "{refused:?}");
    refused.stderr
}

#[test]
fn partitions_are_where_sfdisk_put_them() {
    for label in ["dos", "gpt"] {
        let table = r"start=2048, size=100\nstart=4096, size=5000\n";
        let disk = disk(label, table);
        let bytes = disk.bytes();
        let expected = |first, count| &bytes[first * SECTOR..(first + count) * SECTOR];
        assert!(copy_of(&disk, 1) == expected(2048, 100), "{label}");
        assert!(copy_of(&disk, 2) == expected(4096, 5000), "{label}");
        assert!(refused(&disk, 3).contains("there is no such partition"));
        assert!(refused(&disk, 0).contains("the first partition is 1"));
    }
}

#[test]
fn a_partition_has_its_disks_holes() {
    let disk = Disk::empty(SIZE as u64);
    let script = r"printf 'start=2048, size=8192\n' | PATH=$PATH:/sbin sfdisk -q -X dos";
    let _ = shell(&format!("{script} {}", disk.path().display())).ok();
    let grant = format!("disk={}", disk.path().display());
    let server = Server::plugin("partition", &["--blob", &grant]);
    let map = run("nbdinfo", ["--map", &server.uri()]).ok();
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", "4194304", "3", "hole,zero"]);
}

#[test]
fn a_disk_that_lies_is_refused_in_words() {
    let disk = disk("dos", r"start=2048, size=100\n");
    assert!(
        refused(&disk, 5).contains("an MBR without an extended partition has partitions 1 to 4")
    );
    disk.resize(2048 * 512);
    assert!(refused(&disk, 1).contains("isn't inside the disk"));
    disk.resize(100);
    assert!(refused(&disk, 1).contains("smaller than a sector"));
    let blank = Disk::empty(1 << 20);
    assert!(refused(&blank, 1).contains("no partition table"));
}

#[test]
fn the_same_source_is_a_plugin_in_cpp() {
    let table = r"start=2048, size=100\nstart=4096, size=5000\n";
    let disk = disk("gpt", table);
    let expected = &disk.bytes()[4096 * SECTOR..9096 * SECTOR];
    assert!(copy_by(&guest("partition-cpp"), &disk, 2) == expected);
}

#[test]
fn it_keeps_the_contract() {
    let disk = disk("gpt", r"start=2048, size=4096\n");
    let grant = format!("disk={}", disk.path().display());
    let program = plugin("partition").display().to_string();
    keeps_the_contract(&["--blob", &grant, &program]);
}
