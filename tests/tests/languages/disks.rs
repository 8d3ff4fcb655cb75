//! The world in which a disk can be written, in C, Zig and TypeScript.

use nbdbox_tests::{Server, guest, qemu_io};

use super::{compile_once, keeps_the_contract};

/// Writes, reads and zeroes by qemu-io, then everything that the contract asks.
fn check(name: &str) {
    compile_once(&guest(name));
    let server = Server::start([guest(name)]);
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
    keeps_the_contract(&["--write".as_ref(), guest(name).as_os_str()]);
}

#[test]
fn a_disk_in_c_is_written_read_and_zeroed() {
    check("c-disk");
}

#[test]
fn a_disk_in_zig_is_written_read_and_zeroed() {
    check("zig-disk");
}

#[test]
fn a_disk_in_typescript_is_written_read_and_zeroed() {
    check("js-disk");
}
