//! The world for writable disks, in every language except Rust.

use std::ffi::OsString;

use nbdbox_tests::{Disk, Server, guest, qemu_io};

use super::{compile_once, keeps_the_contract};

/// Writes, reads and zeroes with qemu-io, and then checks all rules of the contract.
fn check(name: &str, grants: &[&str]) {
    compile_once(&guest(name));
    let grants = grants.iter().map(Into::into);
    let arguments: Vec<OsString> = grants.chain([guest(name).into()]).collect();
    let server = Server::start(&arguments);
    let commands = [
        "write -P 7 4096 8192",
        "read -P 7 4096 8192",
        "write -z 4096 4096",
        "read -P 0 4096 4096",
        "read -P 7 8192 4096",
        "flush",
    ];
    let said = qemu_io("raw", &server.uri(), &commands);
    assert_eq!(said.matches("wrote ").count(), 2, "{said}");
    assert_eq!(said.matches("read ").count(), 3, "{said}");
    // A file has one writer.
    drop(server);
    let write = std::iter::once("--write".into());
    keeps_the_contract(&write.chain(arguments).collect::<Vec<OsString>>());
}

#[test]
fn a_disk_in_c_is_written_read_and_zeroed() {
    check("c-disk", &[]);
}

#[test]
fn a_disk_in_cpp_is_written_read_and_zeroed() {
    check("cpp-disk", &[]);
}

#[test]
fn a_disk_in_python_is_written_read_and_zeroed() {
    let disk = Disk::empty(65536);
    let grant = format!("disk={}:rw", disk.path().display());
    check("py-disk", &["--blob", &grant]);
}

#[test]
fn a_disk_in_zig_is_written_read_and_zeroed() {
    check("zig-disk", &[]);
}

#[test]
fn a_disk_in_typescript_is_written_read_and_zeroed() {
    check("js-disk", &[]);
}
