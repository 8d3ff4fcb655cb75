//! `fio`: random writes at depth. fio reads each block back and checks its checksum.

use nbdbox_tests::{Server, run};

use super::oracle::Disk;

/// Runs a job that writes `size` bytes and verifies them.
fn verify(server: &Server, size: &str, options: &[&str]) {
    let folder = format!("--aux-path={}", server.folder().display());
    let uri = format!("--uri={}", server.uri());
    let size = format!("--size={size}");
    let mut arguments = vec!["--name=job", "--ioengine=nbd", &uri, &folder, &size];
    arguments.extend(["--verify=crc32c", "--do_verify=1", "--verify_fatal=1"]);
    arguments.extend(["--verify_state_save=0", "--randseed=1"]);
    arguments.extend(options);
    let text = run("fio", arguments).ok();
    assert!(
        !text.contains("issued rwts: total=0,"),
        "nothing was verified:\n{text}"
    );
}

const RANDOM: &[&str] = &["--rw=randwrite", "--bs=4k", "--iodepth=32"];
const UNALIGNED: &[&str] = &[
    "--rw=randrw",
    "--bsrange=512-20k",
    "--bs_unaligned=1",
    "--iodepth=16",
    "--norandommap=0",
];
const FLUSHES: &[&str] = &["--rw=write", "--bs=16k", "--iodepth=8", "--fsync=4"];

#[test]
fn memory_gives_back_what_was_written() {
    let server = Server::plugin("memory", &["size=4M"]);
    verify(&server, "4M", RANDOM);
}

#[test]
fn memory_gives_back_what_was_written_in_odd_pieces() {
    let server = Server::plugin("memory", &["size=4M"]);
    verify(&server, "4M", UNALIGNED);
}

#[test]
fn file_gives_back_what_was_written() {
    let server = Disk::new(&[0; 4 << 20]).serve("rw");
    verify(&server, "4M", RANDOM);
}

#[test]
fn file_gives_back_what_was_written_in_odd_pieces() {
    let server = Disk::new(&[0; 4 << 20]).serve("rw");
    verify(&server, "4M", UNALIGNED);
}

#[test]
fn file_gives_back_what_was_written_between_flushes() {
    let server = Disk::new(&[0; 4 << 20]).serve("rw");
    verify(&server, "4M", FLUSHES);
}

#[test]
fn trims_at_depth_leave_zeroes() {
    let disk = Disk::new(&[0xff; 4 << 20]);
    let server = disk.serve("rw");
    let uri = format!("--uri={}", server.uri());
    let job = [
        "--name=job",
        "--ioengine=nbd",
        "--rw=randtrim",
        "--bs=4k",
        "--iodepth=32",
    ];
    let _ = run("fio", job.iter().chain(&["--size=4M", &uri])).ok();
    assert!(
        disk.bytes().iter().all(|byte| *byte == 0),
        "fio trims every block once"
    );
}
